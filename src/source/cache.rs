//! The content-addressed cache on disk. Its layout is documented in `docs/cache.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::lock::{self, FileLock};
use super::work::WorkDir;
use super::{SourceError, files};
use crate::cancel::Cancel;
use crate::event::Events;
use crate::recipe::Digest;

/// The version of the layout, and the directory everything is in.
const VERSION: &str = "v1";
/// What is in it.
const DIRECTORIES: [&str; 12] = [
    "agents",
    "apt",
    "bases",
    "bootstrap",
    "catalogue",
    "damaged",
    "downloads",
    "index",
    "keys",
    "layers",
    "locks",
    "pip",
];
/// Directories that are used, measured and removed as a whole.
pub(super) const SHELVES: [&str; 3] = ["agents", "apt", "pip"];

/// What is known of a directory with a disk; its time of modification is that of the last use.
pub(super) const META: &str = "meta.json";

/// The cache: bases, layers, downloaded files and working directories. Cheap to clone; many processes use the
/// same one at the same time.
#[derive(Debug, Clone)]
pub struct Cache {
    root: Arc<Path>,
}

/// What is known of a layer beside its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerMeta {
    /// The stage that made it.
    pub stage: String,
    /// The recipe it was made for first; another recipe with an equal stage uses it too.
    pub recipe: String,
    /// The layer or base below it.
    pub before: Digest,
    /// The base at the bottom.
    pub base: Digest,
    /// The version of tib that made it.
    pub tib: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

/// A layer in the cache. It is not removed while this value lives.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its disk: a qcow2 overlay, never to be written to.
    pub path: PathBuf,
    /// What is known of it.
    pub meta: LayerMeta,
    _lock: Arc<FileLock>,
}

/// `meta.json` of a directory with a disk: the length of the disk tells a torn copy from a good one.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed<T> {
    bytes: u64,
    #[serde(flatten)]
    meta: T,
}

impl Cache {
    /// Opens the cache, making it if there is none: `dir`, else `TIB_CACHE_DIR`, else `XDG_CACHE_HOME/tib`,
    /// else `HOME/.cache/tib`. Working directories of dead processes are removed.
    ///
    /// # Errors
    /// When there is no such place or it cannot be written.
    pub fn open(dir: Option<PathBuf>) -> Result<Self, SourceError> {
        let dir = Self::place(dir).ok_or(SourceError::NoCacheDirectory)?;
        // qemu and mmdebstrap run in other directories.
        let root = std::path::absolute(&dir).map_err(SourceError::io("find", &dir))?;
        if root.to_str().is_none() {
            return Err(SourceError::NotUtf8(root));
        }
        for name in DIRECTORIES.iter().chain(&["work"]) {
            let path = root.join(name);
            fs_err::create_dir_all(&path).map_err(SourceError::io("create the cache directory", path))?;
        }
        WorkDir::sweep(&root)?;
        Ok(Self { root: root.into() })
    }

    /// The directory with everything in it, for who only wants to know which it is: it need not be there.
    pub fn place(dir: Option<PathBuf>) -> Option<PathBuf> {
        Some(dir.or_else(|| default_directory(|name| std::env::var_os(name)))?.join(VERSION))
    }

    /// The directory with everything in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory of the cache that other rooms keep files in: `apt`, `pip` or `agents`.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Keeps packages and agents from being removed while the result lives, and notes that they are used.
    ///
    /// # Errors
    /// [`SourceError::Cancelled`], or why they cannot be locked.
    pub fn use_shelves(&self, events: &Events, cancel: &Cancel) -> Result<Vec<FileLock>, SourceError> {
        SHELVES
            .iter()
            .map(|name| {
                touch(&self.directory(name));
                let path = self.lock_path(&format!("shelf-{name}"));
                FileLock::shared(&path, "removing what was not used for long", events, cancel)
            })
            .collect()
    }

    /// The path of the lock file called `name`, for [`FileLock`].
    pub fn lock_path(&self, name: &str) -> PathBuf {
        lock::path(&self.root, name)
    }

    /// A new working directory, removed when dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn work(&self) -> Result<WorkDir, SourceError> {
        WorkDir::create(&self.root)
    }

    /// The layer with this digest, if the cache has it.
    ///
    /// # Errors
    /// When the cache cannot be read. A damaged layer counts as absent.
    pub fn layer(&self, digest: Digest) -> Result<Option<Layer>, SourceError> {
        // Locked first: what is found then stays.
        let Some(lock) = self.in_use("layer", digest)? else { return Ok(None) };
        let dir = self.entry("layers", digest);
        let Some(meta) = read_sealed(&dir, "disk.qcow2")? else { return Ok(None) };
        touch(&dir.join(META));
        Ok(Some(Layer { path: dir.join("disk.qcow2"), meta, _lock: lock }))
    }

    /// Puts a copy of the overlay `from` into the cache as the layer `digest`; one that is already there stays.
    /// The file shares its blocks with `from` where the file system can.
    ///
    /// # Errors
    /// When the copy cannot be made; then the cache is as it was.
    pub fn store_layer(
        &self,
        digest: Digest,
        from: &Path,
        meta: &LayerMeta,
        cancel: &Cancel,
    ) -> Result<Layer, SourceError> {
        if let Some(layer) = self.layer(digest)? {
            return Ok(layer);
        }
        let work = self.work()?;
        let staged = work.path().join("layer");
        fs_err::create_dir(&staged).map_err(SourceError::io("create", &staged))?;
        files::copy(from, &staged.join("disk.qcow2"), cancel)?;
        self.publish_sealed(&work, &staged, "disk.qcow2", meta, &self.entry("layers", digest))?;
        let path = self.entry("layers", digest).join("disk.qcow2");
        self.layer(digest)?.ok_or_else(|| vanished(&path))
    }

    /// The directory of the base with this digest.
    pub(super) fn base(&self, digest: Digest) -> PathBuf {
        self.entry("bases", digest)
    }

    /// A lock that keeps a base or layer from being removed; `None` while it is being removed.
    pub(super) fn in_use(&self, kind: &str, digest: Digest) -> Result<Option<Arc<FileLock>>, SourceError> {
        let path = self.lock_path(&format!("{kind}-{digest}"));
        Ok(FileLock::try_shared(&path)?.map(Arc::new))
    }

    /// Reads a small file of JSON below the cache; `None` if there is none or it makes no sense.
    pub(super) fn read_note<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = fs_err::read(self.root.join(name)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes a small file of JSON below the cache.
    pub(super) fn write_note<T: Serialize>(
        &self,
        work: &WorkDir,
        name: &str,
        note: &T,
    ) -> Result<(), SourceError> {
        let staged = work.path().join("note");
        write_json(&staged, note)?;
        files::publish(&staged, &self.root.join(name))
    }

    /// Writes `meta.json` beside `disk` in `staged`, makes all of it durable and renames the directory to
    /// `target`. Nothing happens if there is a good one already.
    pub(super) fn publish_sealed<T: Serialize + DeserializeOwned>(
        &self,
        work: &WorkDir,
        staged: &Path,
        disk: &str,
        meta: &T,
        target: &Path,
    ) -> Result<(), SourceError> {
        let path = staged.join(disk);
        files::sync_file(&path)?;
        let bytes = fs_err::metadata(&path).map_err(SourceError::io("read", &path))?.len();
        write_json(&staged.join(META), &Sealed { bytes, meta })?;
        files::sync_dir(staged)?;
        match files::publish(staged, target) {
            Err(SourceError::Io { source, .. }) if is_taken(&source) => {}
            other => return other,
        }
        if read_sealed::<T>(target, disk)?.is_some() {
            return Ok(());
        }
        // A damaged one is in the way; it goes with the working directory.
        let aside = work.path().join("damaged");
        fs_err::rename(target, &aside).map_err(SourceError::io("replace", target))?;
        files::publish(staged, target)
    }

    /// The directory of the base or layer with this digest; `kind` is `bases` or `layers`.
    pub(super) fn entry(&self, kind: &str, digest: Digest) -> PathBuf {
        self.root.join(kind).join(digest.to_string())
    }
}

/// Notes that something is used, for whoever collects what is not. It is no harm if that fails.
pub(super) fn touch(path: &Path) {
    use rustix::fs::{CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let now = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
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

/// Reads the `meta.json` of `dir`; `None` if it or its disk is missing, damaged or of another length.
pub(super) fn read_sealed<T: DeserializeOwned>(dir: &Path, disk: &str) -> Result<Option<T>, SourceError> {
    let path = dir.join(META);
    let text = match fs_err::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SourceError::io("read", path)(error)),
    };
    let Ok(sealed) = serde_json::from_slice::<Sealed<T>>(&text) else { return Ok(None) };
    let whole = fs_err::metadata(dir.join(disk)).is_ok_and(|meta| meta.len() == sealed.bytes);
    Ok(whole.then_some(sealed.meta))
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), SourceError> {
    let write = || {
        let mut text = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
        text.push(b'\n');
        fs_err::write(path, text)
    };
    write().map_err(SourceError::io("write", path))?;
    files::sync_file(path)
}

/// Whether a rename failed because a directory with something in it has the name.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

/// What has just been stored is gone.
pub(super) fn vanished(path: &Path) -> SourceError {
    SourceError::io("find again", path)(io::Error::from(io::ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> LayerMeta {
        LayerMeta {
            stage: "system".into(),
            recipe: "mariadb".into(),
            before: Digest::of(b"before"),
            base: Digest::of(b"base"),
            tib: "0".into(),
            created: 1,
        }
    }

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
    fn layers_round_trip_and_the_first_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
        let (digest, cancel) = (Digest::of(b"layer"), Cancel::new());
        assert!(cache.layer(digest).unwrap().is_none());
        let overlay = cache.work().unwrap();
        let from = overlay.path().join("overlay.qcow2");
        fs_err::write(&from, "first").unwrap();
        let layer = cache.store_layer(digest, &from, &meta(), &cancel).unwrap();
        assert_eq!(layer.meta, meta());
        fs_err::write(&from, "second").unwrap();
        cache.store_layer(digest, &from, &meta(), &cancel).unwrap();
        assert_eq!(fs_err::read(&layer.path).unwrap(), b"first");
        assert!(from.exists(), "the working overlay goes on being used");
        assert_eq!(layer.path.strip_prefix(cache.root()).unwrap().components().count(), 3);
        assert_eq!(from.strip_prefix(cache.root()).unwrap().components().count(), 3);
    }

    #[test]
    fn a_damaged_layer_counts_as_absent_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
        let (digest, cancel) = (Digest::of(b"layer"), Cancel::new());
        let from = dir.path().join("from");
        fs_err::write(&from, "content").unwrap();
        let damage: [fn(&Path); 4] = [
            |dir| fs_err::write(dir.join("disk.qcow2"), "cut").unwrap(),
            |dir| fs_err::remove_file(dir.join("disk.qcow2")).unwrap(),
            |dir| fs_err::write(dir.join("meta.json"), "{").unwrap(),
            |dir| fs_err::remove_file(dir.join("meta.json")).unwrap(),
        ];
        for (number, damage) in damage.iter().enumerate() {
            let layer = cache.store_layer(digest, &from, &meta(), &cancel).unwrap();
            damage(layer.path.parent().unwrap());
            assert!(cache.layer(digest).unwrap().is_none(), "{number}");
            let layer = cache.store_layer(digest, &from, &meta(), &cancel).unwrap();
            assert_eq!(fs_err::read(&layer.path).unwrap(), b"content", "{number}");
        }
    }

    #[test]
    fn a_layer_in_use_is_locked_against_removal() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
        let digest = Digest::of(b"layer");
        let from = dir.path().join("from");
        fs_err::write(&from, "content").unwrap();
        let layer = cache.store_layer(digest, &from, &meta(), &Cancel::new()).unwrap();
        let lock = cache.lock_path(&format!("layer-{digest}"));
        assert!(FileLock::try_exclusive(&lock).unwrap().is_none());
        drop(layer);
        let _removing = FileLock::try_exclusive(&lock).unwrap().unwrap();
        assert!(cache.layer(digest).unwrap().is_none(), "one that is being removed is not handed out");
    }

    #[test]
    fn a_cache_that_cannot_be_made_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs_err::write(&file, "").unwrap();
        let error = Cache::open(Some(file)).unwrap_err().to_string();
        assert!(error.starts_with("cannot create the cache directory"), "{error}");
    }
}
