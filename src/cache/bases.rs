//! Bases in the cache: `bases/DIGEST/`, a disk and its record.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lock::FileLock;
use super::record::Record;
use super::{Cache, CacheError, LockName, Origin, WorkDir, root};
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::Format;

/// A base image in the cache. It is not removed while this value lives.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its disk, never to be written to.
    pub path: PathBuf,
    /// The format of the disk.
    pub format: Format,
    /// SHA-256 of the disk's file.
    pub digest: Digest,
    /// Size of the virtual disk in bytes.
    pub virtual_size: u64,
    /// Where it comes from.
    pub origin: Origin,
    lock: Arc<FileLock>,
}

impl Base {
    /// The same base, had another way this time.
    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// What keeps it from being removed.
    pub(crate) fn lock(&self) -> Arc<FileLock> {
        Arc::clone(&self.lock)
    }
}

/// `meta.json` of a base.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BaseMeta {
    pub(crate) format: Format,
    pub(crate) virtual_size: u64,
    pub(crate) origin: Origin,
}

/// Puts the directory `staged` with a disk of this digest into the cache.
pub(crate) fn store(
    cache: &Cache,
    work: &WorkDir,
    staged: &Path,
    digest: Digest,
    meta: &BaseMeta,
) -> Result<Base, CacheError> {
    let target = cache.base(digest);
    let here = || find(cache, digest, Some(meta.origin.clone()), &Control::none());
    cache.seal(staged, disk_name(meta.format), digest, meta)?;
    // One that is damaged may even be in use: it is named by what it ought to hold.
    if !cache.publish_entry(staged, &target)? && here()?.is_none() {
        cache.replace_entry(work, staged, &target)?;
    }
    here()?.ok_or_else(|| root::vanished(&target))
}

/// The base with this digest, if the cache has it whole; with `origin` if one is given, else the recorded one.
pub(crate) fn find(
    cache: &Cache,
    digest: Digest,
    origin: Option<Origin>,
    control: &Control,
) -> Result<Option<Base>, CacheError> {
    let Some(lock) = cache.in_use(&LockName::Base(digest))? else { return Ok(None) };
    let Some((record, path)) = record(cache, digest)? else { return Ok(None) };
    if !record.holds(&path, digest, (cache, &format!("base {}", digest.short())), control)? {
        return Ok(None);
    }
    root::touch(&path.with_file_name(root::META));
    let BaseMeta { format, virtual_size, origin: recorded } = record.meta;
    let origin = origin.unwrap_or(recorded);
    Ok(Some(Base { path, format, digest, virtual_size, origin, lock }))
}

/// The record of a base, and where its disk is.
pub(crate) fn record(
    cache: &Cache,
    digest: Digest,
) -> Result<Option<(Record<BaseMeta>, PathBuf)>, CacheError> {
    let dir = cache.base(digest);
    let record: Option<Record<BaseMeta>> = Record::read(&dir)?;
    Ok(record.map(|record| {
        let path = dir.join(disk_name(record.meta.format));
        (record, path)
    }))
}

pub(crate) fn disk_name(format: Format) -> &'static str {
    match format {
        Format::Raw => "disk.raw",
        Format::Qcow2 => "disk.qcow2",
    }
}
