//! Working directories: locked while in use, removed afterwards, whoever has to do it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock::{self, FileLock};
use super::{Bucket, CacheError, LockName, files};
use crate::control::Control;

/// A link in a working directory to a directory elsewhere that belongs to it.
const ELSEWHERE: &str = "elsewhere";
/// How the names of such directories begin; nothing else is ever removed outside the cache.
const PREFIX: &str = "tib-work-";

/// A private directory in the cache, two levels below `v1` as bases and layers are, so that relative backing
/// names made here stay valid there. Removed when dropped, or by the next tib if this one dies.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: FileLock,
}

impl WorkDir {
    pub(crate) fn create(root: &Path) -> Result<Self, CacheError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let _start =
            FileLock::exclusive(&lock::path(root, &LockName::WorkStart), "its start", &Control::none())?;
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let id = format!("{}-{number}", std::process::id());
            let path = root.join(Bucket::Work.name()).join(&id);
            let lock_path = lock_path(root, &id);
            // A process of another PID namespace may have the same id.
            let Some(lock) = FileLock::try_exclusive(&lock_path)? else { continue };
            match fs_err::create_dir(&path) {
                Ok(()) => return Ok(Self { path, lock_path, _lock: lock }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(CacheError::io("create", path)(error)),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory that a user namespace of this user can reach: the working directory itself where every
    /// directory above it lets others pass, otherwise one of our own in `TMPDIR` or `/var/tmp`, which is
    /// removed together with the working directory.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub(crate) fn reachable(&self) -> Result<PathBuf, CacheError> {
        if others_pass(&self.path) {
            return Ok(self.path.clone());
        }
        let parent = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&parent)
            .map_err(CacheError::io("create a directory in", parent))?;
        // Before anything is in it: from now on the directory is found and removed after a crash.
        let link = self.path.join(ELSEWHERE);
        std::os::unix::fs::symlink(dir.path(), &link).map_err(CacheError::io("create", link))?;
        let path = dir.keep();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        fs_err::set_permissions(&path, mode).map_err(CacheError::io("open up", &path))?;
        Ok(path)
    }

    /// Removes what tibs that died have left behind.
    pub(crate) fn sweep(root: &Path) -> Result<(), CacheError> {
        // Somebody else is making or sweeping one at this moment; the next open sweeps.
        let Some(_start) = FileLock::try_exclusive(&lock::path(root, &LockName::WorkStart))? else {
            return Ok(());
        };
        let work = root.join(Bucket::Work.name());
        let entries = fs_err::read_dir(&work).map_err(CacheError::io("read", &work))?;
        for entry in entries {
            let entry = entry.map_err(CacheError::io("read", &work))?;
            let lock_path = lock_path(root, &entry.file_name().to_string_lossy());
            if let Some(_lock) = FileLock::try_exclusive(&lock_path)? {
                remove(&entry.path(), &lock_path);
            }
        }
        Ok(())
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        remove(&self.path, &self.lock_path);
    }
}

/// Removes a working directory that is locked by us. What cannot be removed now is tried again by every later
/// open; there is nothing better to do with the error.
fn remove(path: &Path, lock_path: &Path) {
    if let Ok(elsewhere) = fs_err::read_link(path.join(ELSEWHERE)) {
        let ours = elsewhere.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if ours && files::remove_tree(&elsewhere).is_err() {
            return;
        }
    }
    if files::remove_tree(path).is_ok() {
        let _ = fs_err::remove_file(lock_path);
    }
}

fn lock_path(root: &Path, id: &str) -> PathBuf {
    lock::path(root, &LockName::Work(id.to_owned()))
}

/// Whether anyone may pass through `path` and every directory above it.
fn others_pass(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.ancestors().all(|dir| fs_err::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in ["work", "locks"] {
            fs_err::create_dir(root.path().join(name)).unwrap();
        }
        root
    }

    #[test]
    fn a_directory_in_use_is_kept_and_a_left_one_swept() {
        let root = root();
        let mine = WorkDir::create(root.path()).unwrap();
        let other = WorkDir::create(root.path()).unwrap();
        let left = root.path().join("work/4711-0");
        fs_err::create_dir_all(left.join("deep/inside")).unwrap();
        WorkDir::sweep(root.path()).unwrap();
        assert!(mine.path().is_dir() && other.path().is_dir());
        assert!(!left.exists());
        let path = mine.path().to_owned();
        drop((mine, other));
        assert!(!path.exists());
        let locks: Vec<_> =
            fs_err::read_dir(root.path().join("locks")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(locks, ["work"], "locks of working directories go with them");
    }

    #[test]
    fn a_directory_elsewhere_goes_with_the_working_directory() {
        let root = root();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs_err::set_permissions(root.path(), closed).unwrap();
        let work = WorkDir::create(root.path()).unwrap();
        let elsewhere = work.reachable().unwrap();
        assert_ne!(elsewhere, work.path());
        fs_err::write(elsewhere.join("x"), "").unwrap();
        drop(work);
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_planted_link_does_not_lead_outside() {
        let (root, outside) = (root(), tempfile::tempdir().unwrap());
        let left = root.path().join("work/1-1");
        fs_err::create_dir(&left).unwrap();
        std::os::unix::fs::symlink(outside.path(), left.join(ELSEWHERE)).unwrap();
        WorkDir::sweep(root.path()).unwrap();
        assert!(outside.path().is_dir() && !left.exists());
    }
}
