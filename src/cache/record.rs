//! `meta.json` beside a disk of the cache: what the disk must be, and what is known of it.
//!
//! A disk is named by what it was made from, and used by what it holds. The record ties the two together: it keeps the
//! digest of the disk's bytes, so that whatever was made upon them can say so.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::root::{META, write_json};
use super::{Cache, CacheError, files};
use crate::clock;
use crate::control::Control;
use crate::digest::Digest;

/// What is known of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record<T> {
    /// Length of the disk's file: tells a torn copy from a good one.
    bytes: u64,
    /// SHA-256 of the disk's file, computed while it was written. `None` in records of an older tib.
    #[serde(default)]
    pub(crate) sha256: Option<Digest>,
    /// When the file was written, in nanoseconds since 1970. With another time the digest is computed again before the
    /// disk is used.
    #[serde(default)]
    modified: Option<u64>,
    #[serde(flatten)]
    pub(crate) meta: T,
}

/// How a disk compares with its record, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// As it was written.
    Untouched,
    /// As long as it was, but written to or copied since: only its digest can tell.
    Touched,
    /// Missing, or of another length.
    Damaged,
}

impl<T: DeserializeOwned> Record<T> {
    /// The record in `dir`; `None` if there is none or it makes no sense.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, CacheError> {
        let path = dir.join(META);
        match fs_err::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CacheError::io("read", path)(error)),
        }
    }
}

impl<T: Serialize> Record<T> {
    /// Describes the disk at `path`, whose bytes have the digest `sha256`.
    pub(crate) fn of(path: &Path, sha256: Digest, meta: T) -> Result<Self, CacheError> {
        let (bytes, modified) = measure(path).map_err(CacheError::io("read", path))?;
        Ok(Self { bytes, sha256: Some(sha256), modified: Some(modified), meta })
    }

    /// Writes the record into `dir`.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), CacheError> {
        write_json(&dir.join(META), self)
    }

    /// Compares the disk at `path` with the record, by length and time.
    pub(crate) fn state(&self, path: &Path) -> State {
        match measure(path) {
            Ok((bytes, _)) if bytes != self.bytes => State::Damaged,
            Ok((_, modified)) if self.modified == Some(modified) => State::Untouched,
            Ok(_) => State::Touched,
            Err(_) => State::Damaged,
        }
    }

    /// Says whether the disk at `path` holds the bytes with the digest `expected`. One that was touched is read once, told
    /// of as `what`, and the record then holds its new time.
    ///
    /// # Errors
    /// [`CacheError::Cancelled`], or why it cannot be read.
    pub(crate) fn holds(
        &self,
        path: &Path,
        expected: Digest,
        (cache, what): (&Cache, &str),
        control: &Control,
    ) -> Result<bool, CacheError> {
        match self.state(path) {
            State::Damaged => return Ok(false),
            State::Untouched if self.sha256 == Some(expected) => return Ok(true),
            State::Untouched | State::Touched => {}
        }
        // Taken before the disk is read: whatever changes it meanwhile makes it a touched one again.
        let (bytes, modified) = measure(path).map_err(CacheError::io("read", path))?;
        let what = format!("reading {what}, which was touched since it was made");
        let found = files::hash(path, &control.cancel, &mut |done| {
            control.events.progress(&what, done, Some(bytes));
        })?;
        if found == expected {
            self.renew(path, expected, modified, cache);
        }
        Ok(found == expected)
    }

    /// Notes the time of a disk that has just been read. If that fails, the next use reads it again.
    fn renew(&self, path: &Path, sha256: Digest, modified: u64, cache: &Cache) {
        let Ok(work) = cache.work() else { return };
        let (bytes, sha256, modified) = (self.bytes, Some(sha256), Some(modified));
        let renewed = Record { bytes, sha256, modified, meta: &self.meta };
        let staged = work.path().join(META);
        if write_json(&staged, &renewed).is_ok() {
            let _ = files::publish(&staged, &path.with_file_name(META));
        }
    }
}

impl Cache {
    /// Makes an entry in `staged` durable, all but its name: the record of its disk and the directory.
    pub(crate) fn seal<T: Serialize>(
        &self,
        staged: &Path,
        disk: &str,
        sha256: Digest,
        meta: &T,
    ) -> Result<(), CacheError> {
        let path = staged.join(disk);
        files::sync_file(&path)?;
        Record::of(&path, sha256, meta)?.write(staged)?;
        files::sync_dir(staged)
    }
}

/// Length, and time of the last change in nanoseconds since 1970.
fn measure(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs_err::metadata(path)?;
    let since = clock::since_1970(meta.modified()?);
    Ok((meta.len(), u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}
