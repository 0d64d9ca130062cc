//! What the cache keeps of container images: their parts by digest, and what names stood for.
//!
//! ```text
//! <cache>/containers/blobs/SHA256     manifests, configurations, layers as their registry has them
//! <cache>/containers/names/KEY.json   what a name stood for when it was last asked
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::ContainerError;
use super::manifest::Blob;
use crate::cache::{Bucket, Cache};
use crate::digest::Digest;
use crate::recipe::ImageReference;

/// What a name stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Of the manifest, or the list of them.
    pub(crate) digest: Digest,
}

/// The directory of the cache.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    cache: Cache,
    blobs: PathBuf,
    names: PathBuf,
}

impl Store {
    pub(crate) fn open(cache: &Cache) -> Result<Self, ContainerError> {
        let root = cache.directory(Bucket::Containers);
        let store = Self { cache: cache.clone(), blobs: root.join("blobs"), names: root.join("names") };
        for directory in [&store.blobs, &store.names] {
            fs::create_dir_all(directory).map_err(ContainerError::io("create", directory))?;
        }
        Ok(store)
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Where a blob is, or would be.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.blobs.join(digest.to_string())
    }

    /// Whether a blob is there, by its length. What its bytes are is looked at when they are used.
    pub(crate) fn has(&self, blob: &Blob) -> bool {
        fs::metadata(self.path(blob.digest)).is_ok_and(|status| status.len() == blob.size)
    }

    /// A small blob; `None` if it is not there, or damaged, and then it is removed.
    pub(crate) fn read(&self, digest: Digest, limit: u64) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        fs::File::open(&path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
        if Digest::of(&bytes) == digest {
            return Some(bytes);
        }
        let _ = fs::remove_file(&path);
        None
    }

    /// Keeps a small blob.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, ContainerError> {
        let digest = Digest::of(bytes);
        write(&self.path(digest), bytes)?;
        Ok(digest)
    }

    /// Takes a file that has been verified, and synced.
    pub(crate) fn take(&self, file: &Path, digest: Digest) -> Result<(), ContainerError> {
        let path = self.path(digest);
        fs::rename(file, &path).map_err(ContainerError::io("create", &path))
    }

    /// What a name stood for.
    pub(crate) fn note(&self, image: &ImageReference) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.note_path(image)).ok()?).ok()
    }

    /// Remembers what a name stands for.
    pub(crate) fn remember(&self, image: &ImageReference, note: &Note) -> Result<(), ContainerError> {
        let text = serde_json::to_vec(note).expect("plain data always serialises");
        write(&self.note_path(image), &text)
    }

    fn note_path(&self, image: &ImageReference) -> PathBuf {
        self.names.join(format!("{}.json", Digest::of(image.to_string().as_bytes())))
    }
}

/// Writes a file under a temporary name, and renames.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ContainerError> {
    use std::io::Write as _;
    let directory = path.parent().unwrap_or(Path::new("."));
    let staged = || {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|persist| persist.error)?;
        Ok(())
    };
    staged().map_err(ContainerError::io("write", path))
}
