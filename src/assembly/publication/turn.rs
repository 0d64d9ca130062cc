//! One at a time: who may change names in a directory.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, Stat};

use super::directory::{Directory, is_file};
use crate::assembly::BuildError;
use crate::control::Control;

const NAME: &str = ".tib-publication.lock";
/// How often a lock somebody else holds is tried again.
const POLL: Duration = Duration::from_millis(20);
/// After this long, the user is told what is being waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Changing a few names takes milliseconds. Who holds the lock for this long does something else: in a shared directory
/// anybody could.
const LIMIT: Duration = Duration::from_secs(60);

/// Our turn to change names in a directory; no other tib does while the value lives. The lock is a file that is there
/// only as long.
#[derive(Debug)]
pub(crate) struct Turn {
    directory: Directory,
    file: File,
}

impl Turn {
    /// Waits for it.
    ///
    /// # Errors
    /// [`BuildError::Cancelled`], [`BuildError::Busy`], [`BuildError::NotAFile`] if something else has the lock's name,
    /// or why the lock cannot be made.
    pub(crate) fn wait(directory: &Directory, control: &Control) -> Result<Self, BuildError> {
        Self::wait_at_most(LIMIT, directory, control)
    }

    fn wait_at_most(limit: Duration, directory: &Directory, control: &Control) -> Result<Self, BuildError> {
        let path = directory.join(OsStr::new(NAME));
        let failed = |source| BuildError::Output { path: path.clone(), source };
        let started = Instant::now();
        let mut told = false;
        loop {
            control.cancel.check()?;
            let file = open(directory)?;
            let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
            if !is_file(&stat) {
                return Err(BuildError::NotAFile(path));
            }
            match file.try_lock() {
                Ok(()) if is_current(directory, &stat).map_err(failed)? => {
                    return Ok(Self { directory: directory.clone(), file });
                }
                // Who held it before has removed it meanwhile.
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                // Not every file system has locks. Without them nobody waits for anybody.
                Err(TryLockError::Error(_)) => return Ok(Self { directory: directory.clone(), file }),
            }
            let waited = started.elapsed();
            if waited >= limit {
                return Err(BuildError::Busy(path));
            }
            if waited >= PATIENCE && !told {
                control.events.note(format!("waiting for another program to release `{}`", path.display()));
                told = true;
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Removed while it is held: who opened it before finds out that it is not the current one. If it cannot be
        // removed, the next one uses it.
        let _ = self.directory.remove(OsStr::new(NAME));
        let _ = self.file.unlock();
    }
}

fn open(directory: &Directory) -> Result<File, BuildError> {
    let name = OsStr::new(NAME);
    let failed = |source| BuildError::Output { path: directory.join(name), source };
    loop {
        match directory.file(name, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // That of another user. To read is enough for locking it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return directory.file(name, false).map_err(failed);
            }
            opened => return opened.map_err(failed),
        }
        let created = directory.create(name).and_then(|file| {
            // Whatever our umask is, others have to wait for us.
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
            Ok(file)
        });
        match created {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // The name of the lock means nothing to anybody.
            created => {
                return created
                    .map_err(|source| BuildError::Output { path: directory.path().to_owned(), source });
            }
        }
    }
}

fn is_current(directory: &Directory, held: &Stat) -> io::Result<bool> {
    let current = directory.look(OsStr::new(NAME))?;
    Ok(current.is_some_and(|current| (current.st_dev, current.st_ino) == (held.st_dev, held.st_ino)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_without_end() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path()).unwrap();
        let wait = || Turn::wait_at_most(Duration::from_millis(50), &directory, &Control::none());
        let held = wait().unwrap();
        let error = wait().unwrap_err();
        assert!(matches!(&error, BuildError::Busy(path) if path.ends_with(NAME)), "{error}");
        drop(held);
        drop(wait().unwrap());
        assert!(directory.names().unwrap().is_empty());
    }
}
