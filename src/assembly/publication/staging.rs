//! The private directory beside an output in which files wait for their names.
//!
//! ```text
//! .tib-XXXXXXXXXXXX.publication/   of mode 0700
//!   tib-publication                says what this is; locked as long as its process lives
//!   journal                        what changes outside, while it does
//!   revoked                        the set failed when all of it had arrived, and could not be taken back
//!   new/                           files of the new set, under the names they are to get
//!   old/                           what had these names before
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{Mode, Stat};

use super::directory::{Directory, is_file};
use super::journal::Journal;

const PREFIX: &str = ".tib-";
const SUFFIX: &str = ".publication";
/// Random characters between them.
const RANDOM: usize = 12;
const MARKER: &str = "tib-publication";
/// What the marker holds.
const MAGIC: &[u8] = b"tib keeps files here until they get their names, and removes this directory\n";
const NEW: &str = "new";
const OLD: &str = "old";

/// A staging directory that belongs to this process. Dropping it removes it, unless it is kept.
#[derive(Debug)]
pub(crate) struct Staging {
    /// The directory it is in.
    place: Directory,
    name: OsString,
    root: Directory,
    keep: bool,
    /// Its lock tells others that we live. Not every file system has locks; then nothing is ever taken for abandoned.
    _marker: File,
}

impl Staging {
    /// Makes one in `place`. Nobody may look for abandoned ones meanwhile.
    pub(crate) fn create(place: &Directory) -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .rand_bytes(RANDOM)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(place.path())?;
        let name = directory.path().file_name().unwrap_or_default().to_owned();
        let root = place.inner(&name)?;
        let mut marker = root.create(OsStr::new(MARKER))?;
        let _ = marker.try_lock();
        marker.write_all(MAGIC)?;
        root.make(OsStr::new(NEW))?;
        root.make(OsStr::new(OLD))?;
        // From here on it is removed by ourselves.
        let _ = directory.keep();
        Ok(Self { place: place.clone(), name, root, keep: false, _marker: marker })
    }

    /// Takes over those of ours in `place` whose process is dead.
    pub(crate) fn abandoned(place: &Directory) -> io::Result<Vec<Self>> {
        let names = place.names()?.into_iter().filter(|name| is_our_name(name));
        Ok(names.filter_map(|name| Self::adopt(place, name).ok().flatten()).collect())
    }

    fn adopt(place: &Directory, name: OsString) -> io::Result<Option<Self>> {
        let root = place.inner(&name)?;
        if !is_private(&root.stat()?) {
            return Ok(None);
        }
        let mut marker = match root.file(OsStr::new(MARKER), true) {
            Ok(marker) => marker,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Killed before it got a marker; then there is nothing in it. Otherwise it is not ours, and stays.
                place.remove_directory(&name)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let stat = rustix::fs::fstat(&marker)?;
        if !is_file(&stat) || !is_private(&stat) || marker.try_lock().is_err() {
            return Ok(None);
        }
        let mut text = Vec::new();
        Read::by_ref(&mut marker).take(MAGIC.len() as u64 + 1).read_to_end(&mut text)?;
        // It may have been killed while it wrote the marker.
        if !MAGIC.starts_with(&text) {
            return Ok(None);
        }
        Ok(Some(Self { place: place.clone(), name, root, keep: false, _marker: marker }))
    }

    /// Where the new files wait.
    pub(crate) fn new_files(&self) -> io::Result<Directory> {
        self.root.inner(OsStr::new(NEW))
    }

    /// Where the old ones go.
    pub(crate) fn old_files(&self) -> io::Result<Directory> {
        self.root.inner(OsStr::new(OLD))
    }

    /// Where the journal is.
    pub(crate) fn root(&self) -> &Directory {
        &self.root
    }

    /// Leaves everything for whoever comes next: it holds what could not be put back.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }

    fn remove(&self) -> io::Result<()> {
        // First, so that nobody undoes what is done.
        Journal::remove(&self.root)?;
        for name in [NEW, OLD].map(OsStr::new) {
            match self.root.inner(name) {
                Ok(directory) => {
                    for file in directory.names()? {
                        directory.remove(&file)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.root.remove_directory(name)?;
        }
        // Last, since without it nobody knows what this is.
        self.root.remove(OsStr::new(MARKER))?;
        self.place.remove_directory(&self.name)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is recognised and removed by the next build, and is in nobody's way.
            let _ = self.remove();
        }
    }
}

fn is_our_name(name: &OsStr) -> bool {
    let random = name.as_bytes().strip_prefix(PREFIX.as_bytes());
    let random = random.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
}

/// Whether it is ours and nobody else could have written to it.
fn is_private(stat: &Stat) -> bool {
    let others = Mode::WGRP | Mode::WOTH;
    stat.st_uid == rustix::process::geteuid().as_raw()
        && !Mode::from_raw_mode(stat.st_mode).intersects(others)
}
