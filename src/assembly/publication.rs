//! Files that get their names together or not at all: an image and its evidence.
//!
//! They are written in a private directory beside their names (`staging`). To publish them, one process at a time
//! (`turn`) writes down what is about to change (`journal`), moves what has the names aside, the image first, and moves
//! the new files in, the image last. So there is no moment at which an image lies beside evidence of another, and the
//! image's arrival decides: whatever fails before is undone, by this process or, if it is killed, by the next that
//! publishes in the same directory. Whoever made a file of that name meanwhile keeps it.

mod directory;
mod journal;
mod staging;
mod turn;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, Stat};

use super::BuildError;
use crate::control::Control;
use crate::error::without_path;
use crate::event::Events;
use directory::{Directory, is_file, is_link};
use journal::{Holder, Identity, Item, Journal};
use staging::Staging;
use turn::Turn;

/// A set of files of one directory on their way to their names. Dropped unpublished, it leaves nothing.
#[derive(Debug)]
pub struct Publication {
    place: Directory,
    /// In the order in which they get their names.
    names: Vec<OsString>,
    force: bool,
    staging: Staging,
    new: Directory,
}

impl Publication {
    /// Prepares to publish files called `names` in `directory`, the last being that which the others are about. What
    /// processes that were killed left in `directory` is mended first, and told. With `force`, files that have the names
    /// are going to be replaced; names in the set for which no file is then written lose the file they have.
    ///
    /// # Errors
    /// [`BuildError::Exists`], [`BuildError::NotAFile`], [`BuildError::Busy`], [`BuildError::Cancelled`], or
    /// [`BuildError::Output`]: why files of these names cannot be made here.
    pub fn prepare(
        directory: &Path,
        names: Vec<OsString>,
        force: bool,
        control: &Control,
    ) -> Result<Self, BuildError> {
        let failed = |source| BuildError::Output { path: directory.to_owned(), source };
        let place = Directory::open(directory).map_err(failed)?;
        // Who names a device is told that, and not that nobody may write beside it.
        for name in names.iter().rev() {
            check_kind(&place, name)?;
        }
        let _turn = Turn::wait(&place, control)?;
        mend(&place, &control.events)?;
        for name in names.iter().rev() {
            check(&place, name, force)?;
        }
        let staging = Staging::create(&place).map_err(|error| failed(without_path(error)))?;
        let new = staging.new_files().map_err(failed)?;
        let publication = Self { place, names, force, staging, new };
        for name in &publication.names {
            // Only the file system knows which names it takes.
            let tried = publication.new.create(name).and_then(|_| publication.new.remove(name));
            tried.map_err(|error| publication.failed(name)(error))?;
        }
        Ok(publication)
    }

    /// Where the file called `name` waits for its name.
    pub fn path(&self, name: &OsStr) -> PathBuf {
        self.new.join(name)
    }

    /// Makes the file called `name`, to be written by the caller.
    ///
    /// # Errors
    /// [`BuildError::Output`].
    pub fn create(&self, name: &OsStr) -> Result<File, BuildError> {
        self.new.create(name).map_err(self.failed(name))
    }

    /// Makes the file called `name`, and writes it.
    ///
    /// # Errors
    /// [`BuildError::Output`].
    pub fn write(&self, name: &OsStr, content: &[u8]) -> Result<(), BuildError> {
        self.create(name)?.write_all(content).map_err(self.failed(name))
    }

    /// Gives the files that have been written their names: all, or on any error none, and then everything is as it was
    /// before. From the moment it begins to change names it cannot be interrupted; once it returns `Ok`, the work
    /// cannot be any more.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), or [`BuildError::NotRestored`] if not even what was there before could be put back.
    pub fn publish(mut self, control: &Control) -> Result<(), BuildError> {
        let files = self.names.iter().map(|name| Ok((name.clone(), self.sync(name)?)));
        let journal = Journal::new(files.collect::<Result<_, BuildError>>()?);
        let _turn = Turn::wait(&self.place, control)?;
        for name in self.names.iter().rev() {
            // Somebody may have made the file while we were building.
            check(&self.place, name, self.force)?;
        }
        let failed = |source| BuildError::Output { path: self.place.path().to_owned(), source };
        let written = self.new.sync().and_then(|()| journal.write(self.staging.root()));
        written.and_then(|()| self.place.sync()).map_err(failed)?;

        let hold = control.cancel.hold()?;
        if let Err(error) = self.change_names(&journal) {
            return Err(match undo(&self.place, &self.staging, &journal) {
                Ok(_) => error,
                Err(reason) => {
                    self.staging.keep();
                    // If even that cannot be written, the next publication sees no more than a kill.
                    let _ = Journal::revoke(self.staging.root());
                    let error = BuildError::NotRestored {
                        directory: self.place.path().to_owned(),
                        kept: self.staging.root().path().to_owned(),
                        reason,
                        source: Box::new(error),
                    };
                    // If the user interrupts now, nothing else tells of it.
                    control.events.warning(error.to_string());
                    error
                }
            });
        }
        hold.keep();
        Ok(())
    }

    /// Makes the content of a new file survive a crash; `None` if none was written.
    fn sync(&self, name: &OsStr) -> Result<Option<Identity>, BuildError> {
        let sync = || {
            if self.new.look(name)?.is_none() {
                return Ok(None);
            }
            let file = self.new.file(name, false)?;
            file.sync_all()?;
            Ok(Some(Identity::of(&rustix::fs::fstat(&file)?)))
        };
        sync().map_err(self.failed(name))
    }

    fn change_names(&self, journal: &Journal) -> Result<(), BuildError> {
        let sync = || {
            self.place
                .sync()
                .map_err(|source| BuildError::Output { path: self.place.path().to_owned(), source })
        };
        let main = journal.main().map_err(self.failed(OsStr::new("")))?;
        self.aside(&main)?;
        // Each of these steps must be on the disk before the next, whatever order the file system prefers.
        sync()?;
        for item in journal.items().rev().skip(1) {
            self.aside(&item)?;
        }
        for item in journal.items().filter(|item| item.name != main.name) {
            self.arrive(&item)?;
        }
        sync()?;
        self.arrive(&main)?;
        sync()
    }

    /// Moves what has the name of a file out of the way.
    fn aside(&self, item: &Item<'_>) -> Result<(), BuildError> {
        let failed = self.failed(item.name);
        match self.place.look(item.name) {
            Ok(None) => Ok(()),
            Ok(Some(_)) if !self.force => Err(BuildError::Exists(self.place.join(item.name))),
            Ok(Some(_)) => {
                self.staging.old_files().and_then(|old| self.place.move_to(item.name, &old)).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn arrive(&self, item: &Item<'_>) -> Result<(), BuildError> {
        if item.new.is_none() {
            return Ok(());
        }
        self.new.move_to(item.name, &self.place).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BuildError::Exists(self.place.join(item.name)),
            _ => self.failed(item.name)(error),
        })
    }

    fn failed(&self, name: &OsStr) -> impl Fn(io::Error) -> BuildError + use<> {
        let path = self.place.join(name);
        move |source| BuildError::Output { path: path.clone(), source }
    }
}

/// Finds out whether what is called `name`, if there is anything, is something that can be replaced. A link is replaced
/// like a file; what it leads to is not touched. But who names a device by a link means the device.
fn check_kind(place: &Directory, name: &OsStr) -> Result<Option<Stat>, BuildError> {
    let failed = |source| BuildError::Output { path: place.join(name), source };
    let stat = place.look(name).map_err(failed)?;
    let behind =
        if stat.as_ref().is_some_and(is_link) { place.look_behind(name).map_err(failed)? } else { stat };
    match behind {
        Some(behind) if !is_file(&behind) => Err(BuildError::NotAFile(place.join(name))),
        _ => Ok(stat),
    }
}

/// Finds out whether a file called `name` may and can be made or replaced.
fn check(place: &Directory, name: &OsStr, force: bool) -> Result<(), BuildError> {
    let Some(stat) = check_kind(place, name)? else { return Ok(()) };
    if !force {
        return Err(BuildError::Exists(place.join(name)));
    }
    let failed = |source| BuildError::Output { path: place.join(name), source };
    if protects(&place.stat().map_err(failed)?, &stat) {
        return Err(failed(io::ErrorKind::PermissionDenied.into()));
    }
    Ok(())
}

/// Whether it lies in a directory like `/tmp`, where nobody can move files of others.
fn protects(directory: &Stat, file: &Stat) -> bool {
    let user = rustix::process::geteuid();
    let sticky = Mode::from_raw_mode(directory.st_mode).contains(Mode::SVTX);
    sticky && !user.is_root() && ![directory.st_uid, file.st_uid].contains(&user.as_raw())
}

/// Takes back what has been done: the new files move back into the private directory, the image first, and the old ones
/// get their names again, the image last. Whatever was done, and however often this is tried or interrupted, it leads to
/// the same. Says whether the image of before has moved.
fn undo(place: &Directory, staging: &Staging, journal: &Journal) -> io::Result<bool> {
    let (new, old) = (staging.new_files()?, staging.old_files()?);
    for item in journal.items().rev() {
        if same_file(place, &new, item.name)? {
            place.remove(item.name)?;
        } else if item.holder(place)? == Holder::Us {
            place.move_to(item.name, &new)?;
        }
    }
    let mut replaced = Vec::new();
    for item in journal.items() {
        if same_file(place, &old, item.name)? {
            old.remove(item.name)?;
        } else if old.look(item.name)?.is_some() {
            replaced.push(item);
        }
    }
    // Nobody's file is replaced, nor gets evidence that is not its own.
    let main = journal.main()?;
    for item in replaced.iter().chain((!replaced.is_empty()).then_some(&main)) {
        if item.holder(place)? == Holder::Another {
            let problem = format!("somebody has made `{}` meanwhile", place.join(item.name).display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
        }
    }
    let is_back = replaced.iter().any(|item| item.name == main.name);
    for item in replaced {
        old.move_to(item.name, place)?;
    }
    // A crash may undo this; the journal is still there then.
    let _ = place.sync();
    Ok(is_back)
}

/// Whether a name in two directories is of one file: where moving takes two steps, it was killed in between.
fn same_file(one: &Directory, other: &Directory, name: &OsStr) -> io::Result<bool> {
    let number = |stat: Stat| (stat.st_dev, stat.st_ino);
    let (one, other) = (one.look(name)?.map(number), other.look(name)?.map(number));
    Ok(one.is_some() && one == other)
}

/// Undoes, or completes, what killed processes left. The caller has the turn.
fn mend(place: &Directory, events: &Events) -> Result<(), BuildError> {
    let failed = |source| BuildError::Output { path: place.path().to_owned(), source };
    for mut staging in Staging::abandoned(place).map_err(failed)? {
        match settle(place, &staging) {
            Ok(None) => {}
            Ok(Some(message)) => events.note(message),
            Err(error) => {
                staging.keep();
                events.warning(format!(
                    "a build that was killed in `{}` cannot be undone: {error}; what was there before is in `{}`",
                    place.path().display(),
                    staging.root().path().display()
                ));
            }
        }
    }
    Ok(())
}

/// Brings one interrupted publication to an end, and says to which.
fn settle(place: &Directory, staging: &Staging) -> io::Result<Option<String>> {
    let Some(journal) = Journal::read(staging.root())? else { return Ok(None) };
    let main = journal.main()?;
    let path = place.join(main.name);
    let image = path.display();
    // It is the last to leave: then all the others have, and what has become of it since is its user's business.
    let has_arrived = main.new.is_some() && staging.new_files()?.look(main.name)?.is_none();
    if has_arrived && !Journal::is_revoked(staging.root())? {
        return Ok(Some(match main.holder(place)? {
            Holder::Nobody => {
                format!("`{image}` was complete when its build was killed, and is not there any more")
            }
            _ => format!("`{image}` is complete: the build was killed only after it had been published"),
        }));
    }
    let is_back = undo(place, staging, &journal)?;
    Ok(Some(match main.holder(place)? {
        _ if is_back => format!("put `{image}` back, which a build that was killed was about to replace"),
        Holder::Nobody => format!("removed what a build that was killed left of `{image}`"),
        _ => format!(
            "removed what a build that was killed left beside `{image}`, which is not from that build"
        ),
    }))
}
