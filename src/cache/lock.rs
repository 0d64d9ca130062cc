//! Advisory locks on files of the cache: they end with the process, however it ends.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Bucket, CacheError, LockName};
use crate::control::Control;

/// How often a lock somebody else holds is tried again.
const POLL: Duration = Duration::from_millis(50);
/// After this long, the user is told what is being waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct FileLock {
    // The lock belongs to the open file; closing it is releasing it.
    _file: File,
}

#[derive(Clone, Copy)]
enum Kind {
    Shared,
    Exclusive,
}

impl FileLock {
    /// Waits until nobody else holds the lock at `path`. After a second, an event says that `what` is being
    /// waited for.
    ///
    /// # Errors
    /// [`CacheError::Cancelled`], or why the file cannot be opened or locked.
    pub fn exclusive(path: &Path, what: &str, control: &Control) -> Result<Self, CacheError> {
        let lock = Self::wait(path, Kind::Exclusive, what, control)?;
        record(path);
        Ok(lock)
    }

    /// Waits until nobody has the lock at `path` for oneself, and shares it. Waiting is told as by
    /// [`exclusive`](Self::exclusive).
    ///
    /// # Errors
    /// [`CacheError::Cancelled`], or why the file cannot be opened or locked.
    pub fn shared(path: &Path, what: &str, control: &Control) -> Result<Self, CacheError> {
        Self::wait(path, Kind::Shared, what, control)
    }

    fn wait(path: &Path, kind: Kind, what: &str, control: &Control) -> Result<Self, CacheError> {
        let file = open(path)?;
        let started = Instant::now();
        let mut told = false;
        // Polling, since a blocked flock cannot be interrupted by a flag.
        while !lock(&file, path, kind)? {
            control.cancel.check()?;
            if !told && started.elapsed() >= PATIENCE {
                control.events.note(format!("waiting for another tib ({}) to finish {what}", holder(path)));
                told = true;
            }
            std::thread::sleep(POLL);
        }
        Ok(Self { _file: file })
    }

    /// Takes the lock at `path` for oneself if nobody holds it.
    ///
    /// # Errors
    /// Why the file cannot be opened or locked.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, CacheError> {
        let file = open(path)?;
        let locked = lock(&file, path, Kind::Exclusive)?;
        if locked {
            record(path);
        }
        Ok(locked.then_some(Self { _file: file }))
    }

    /// Takes the lock at `path` together with others who share it, if nobody has it for oneself.
    ///
    /// # Errors
    /// Why the file cannot be opened or locked.
    pub fn try_shared(path: &Path) -> Result<Option<Self>, CacheError> {
        let file = open(path)?;
        Ok(lock(&file, path, Kind::Shared)?.then_some(Self { _file: file }))
    }
}

fn open(path: &Path) -> Result<File, CacheError> {
    // Never truncated: another process may have written its id there.
    let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
    file.map_err(CacheError::in_cache("lock", path))
}

fn lock(file: &File, path: &Path, kind: Kind) -> Result<bool, CacheError> {
    let result = match kind {
        Kind::Shared => file.try_lock_shared(),
        Kind::Exclusive => file.try_lock(),
    };
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(CacheError::io("lock", path)(source)),
    }
}

/// Notes who holds the lock. Only for messages, so it does not matter if it cannot be written.
fn record(path: &Path) {
    let _ = fs_err::write(path, format!("process {}", std::process::id()));
}

/// Who has the lock at `path` for oneself, for messages: `process 7`.
pub(crate) fn holder(path: &Path) -> String {
    match fs_err::read_to_string(path) {
        Ok(text) if !text.is_empty() => text,
        _ => "unknown process".to_owned(),
    }
}

/// The path of a lock in the cache below `root`.
pub(crate) fn path(root: &Path, name: &LockName) -> PathBuf {
    root.join(Bucket::Locks.name()).join(name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::event::Events;
    use crate::event::testing::Notes;

    #[test]
    fn shared_locks_exclude_an_exclusive_one_until_they_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let one = FileLock::try_shared(&path).unwrap().unwrap();
        let two = FileLock::try_shared(&path).unwrap().unwrap();
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        drop((one, two));
        let own = FileLock::try_exclusive(&path).unwrap().unwrap();
        assert!(FileLock::try_shared(&path).unwrap().is_none());
        drop(own);
    }

    #[test]
    fn waiting_is_told_once_and_ends_with_the_lock_or_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let notes = Notes::default();
        let control = Control::new(Events::new(notes.clone()), Cancel::new());
        let held = FileLock::exclusive(&path, "x", &control).unwrap();
        let waiter = {
            let (path, control) = (path.clone(), control.clone());
            std::thread::spawn(move || FileLock::exclusive(&path, "the base", &control).map(drop))
        };
        std::thread::sleep(Duration::from_millis(1500));
        drop(held);
        waiter.join().unwrap().unwrap();
        let told = notes.take();
        let expected = format!("waiting for another tib (process {}) to finish the base", std::process::id());
        assert_eq!(told, [expected]);

        let _held = FileLock::exclusive(&path, "x", &control).unwrap();
        control.cancel.raise();
        let error = FileLock::exclusive(&path, "x", &control).unwrap_err();
        assert!(matches!(error, CacheError::Cancelled(_)));
    }
}
