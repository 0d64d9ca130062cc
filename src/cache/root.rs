//! The content-addressed cache on disk. Its layout is documented in `docs/cache.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lock::{self, FileLock};
use super::work::WorkDir;
use super::{Bucket, CacheError, LockName, files};
use crate::control::Control;
use crate::digest::Digest;

/// The version of the layout, and the directory everything is in.
const VERSION: &str = "v1";

/// What is known of a directory with a disk; its time of modification is that of the last use.
pub(crate) const META: &str = "meta.json";

/// The cache: bases, layers, downloaded files and working directories. Cheap to clone; many processes use the
/// same one at the same time.
#[derive(Debug, Clone)]
pub struct Cache {
    root: Arc<Path>,
}

impl Cache {
    /// Opens the cache, making it if there is none: `dir`, else `TIB_CACHE_DIR`, else `XDG_CACHE_HOME/tib`,
    /// else `HOME/.cache/tib`. Working directories of dead processes are removed.
    ///
    /// # Errors
    /// When there is no such place, or [`CacheError::NotOurs`] when it cannot be written.
    pub fn open(dir: Option<PathBuf>) -> Result<Self, CacheError> {
        let cache = Self::look(dir)?;
        for bucket in Bucket::ALWAYS {
            let path = cache.directory(bucket);
            fs_err::create_dir_all(&path).map_err(CacheError::in_cache("create", &path))?;
            // Found out now, and not when the first result is to be kept.
            let usable = rustix::fs::access(&path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
            usable.map_err(|errno| CacheError::in_cache("write", &path)(errno.into()))?;
        }
        WorkDir::sweep(&cache.root)?;
        Ok(cache)
    }

    /// The same cache for those who only look: it need not be there, nothing is made or removed in it, and it may belong to
    /// somebody else.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn look(dir: Option<PathBuf>) -> Result<Self, CacheError> {
        let dir = Self::place(dir).ok_or(CacheError::NoCacheDirectory)?;
        // qemu and mmdebstrap run in other directories.
        let root = std::path::absolute(&dir).map_err(CacheError::io("find", &dir))?;
        if root.to_str().is_none() {
            return Err(CacheError::NotUtf8(root));
        }
        Ok(Self { root: root.into() })
    }

    /// The directory with everything in it, for those who only want to know which it is: it need not be there.
    pub fn place(dir: Option<PathBuf>) -> Option<PathBuf> {
        Some(dir.or_else(|| default_directory(|name| std::env::var_os(name)))?.join(VERSION))
    }

    /// The directory with everything in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a bucket.
    pub fn directory(&self, bucket: Bucket) -> PathBuf {
        self.root.join(bucket.name())
    }

    /// Keeps packages and agents from being removed while the result lives, and notes that they are used.
    ///
    /// # Errors
    /// [`CacheError::Cancelled`], or why they cannot be locked.
    pub fn use_shelves(&self, control: &Control) -> Result<Vec<FileLock>, CacheError> {
        Bucket::SHELVES
            .into_iter()
            .map(|bucket| {
                touch(&self.directory(bucket));
                let path = self.lock_path(&LockName::Shelf(bucket));
                FileLock::shared(&path, "removing what was not used for long", control)
            })
            .collect()
    }

    /// The path of a lock's file, for [`FileLock`].
    pub fn lock_path(&self, name: &LockName) -> PathBuf {
        lock::path(&self.root, name)
    }

    /// A new working directory, removed when dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn work(&self) -> Result<WorkDir, CacheError> {
        WorkDir::create(&self.root)
    }

    /// The directory of the base with this digest.
    pub(crate) fn base(&self, digest: Digest) -> PathBuf {
        self.entry(Bucket::Bases, digest)
    }

    /// A lock that keeps a base or layer from being removed; `None` while it is being removed.
    pub(crate) fn in_use(&self, name: &LockName) -> Result<Option<Arc<FileLock>>, CacheError> {
        Ok(FileLock::try_shared(&self.lock_path(name))?.map(Arc::new))
    }

    /// Reads `NAME.json` in a bucket of notes; `None` if there is none or it makes no sense.
    pub(crate) fn read_note<T: DeserializeOwned>(&self, bucket: Bucket, name: &str) -> Option<T> {
        let text = fs_err::read(self.note(bucket, name)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes `NAME.json` in a bucket of notes.
    pub(crate) fn write_note<T: Serialize>(
        &self,
        work: &WorkDir,
        bucket: Bucket,
        name: &str,
        note: &T,
    ) -> Result<(), CacheError> {
        let staged = work.path().join("note");
        write_json(&staged, note)?;
        files::publish(&staged, &self.note(bucket, name))
    }

    /// The path of a note.
    pub(crate) fn note(&self, bucket: Bucket, name: &str) -> PathBuf {
        self.directory(bucket).join(format!("{name}.json"))
    }

    /// Gives a sealed entry its name. `false` if something bears it already.
    pub(crate) fn publish_entry(&self, staged: &Path, target: &Path) -> Result<bool, CacheError> {
        match files::publish(staged, target) {
            Err(CacheError::Io { source, .. }) if is_taken(&source) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Puts a sealed entry in the place of one that is no good, which goes with the working directory.
    pub(crate) fn replace_entry(
        &self,
        work: &WorkDir,
        staged: &Path,
        target: &Path,
    ) -> Result<(), CacheError> {
        let aside = work.path().join("damaged");
        fs_err::rename(target, &aside).map_err(CacheError::io("replace", target))?;
        files::publish(staged, target)
    }

    /// The directory of the base or layer with this digest; `kind` is `bases` or `layers`.
    pub(crate) fn entry(&self, bucket: Bucket, digest: Digest) -> PathBuf {
        self.directory(bucket).join(digest.to_string())
    }
}

/// Notes that something is used, for whoever collects what is not. It is no harm if that fails.
pub(crate) fn touch(path: &Path) {
    use rustix::fs::{CWD, Timespec, Timestamps, UTIME_NOW};
    // Both times: with one alone only the owner may do it, and a cache may be shared.
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let now = Timestamps { last_access: now, last_modification: now };
    let _ = rustix::fs::utimensat(CWD, path, &now, rustix::fs::AtFlags::empty());
}

/// The directory the environment asks for.
fn default_directory(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("TIB_CACHE_DIR")
        // A relative one is invalid by its specification.
        .or_else(|| set("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("tib")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/tib")))
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), CacheError> {
    let write = || {
        let mut text = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
        text.push(b'\n');
        fs_err::write(path, text)
    };
    write().map_err(CacheError::io("write", path))?;
    files::sync_file(path)
}

/// Whether a rename failed because a directory with something in it has the name.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

/// What has just been stored is gone.
pub(crate) fn vanished(path: &Path) -> CacheError {
    CacheError::io("find again", path)(io::Error::from(io::ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_in_order() {
        type Case = (&'static [(&'static str, &'static str)], Option<&'static str>);
        let cases: [Case; 6] = [
            (&[("TIB_CACHE_DIR", "/t"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/t")),
            (&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/x/tib")),
            (&[("TIB_CACHE_DIR", ""), ("XDG_CACHE_HOME", ""), ("HOME", "/h")], Some("/h/.cache/tib")),
            (&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")], Some("/h/.cache/tib")),
            (&[("TIB_CACHE_DIR", "relative")], Some("relative")),
            (&[], None),
        ];
        for (variables, expected) in cases {
            let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into());
            assert_eq!(default_directory(get), expected.map(PathBuf::from), "{variables:?}");
        }
    }

    #[test]
    fn a_cache_that_cannot_be_made_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs_err::write(&file, "").unwrap();
        let error = Cache::open(Some(file)).unwrap_err().to_string();
        assert!(error.starts_with("cannot create `"), "{error}");
    }
}
