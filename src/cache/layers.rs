//! Layers: what the stages of builds made, each an overlay on a base or on another layer.
//!
//! A layer is named by what went into it. Made a second time it has the same name and other bytes (times, order of
//! blocks), and what was made upon the first is worth nothing upon the second. So each layer records which bytes it was
//! made upon, and counts as absent upon others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bases;
use super::lock::FileLock;
use super::record::{Record, State};
use super::root::{META, touch, vanished};
use super::{Bucket, Cache, CacheError, LockName, files};
use crate::cancel::Cancel;
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::{self, Policy};
use crate::error::Failure;
use crate::event::Events;

/// The file in a layer's directory.
pub(crate) const DISK: &str = "disk.qcow2";

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
    /// SHA-256 of the file that its disk is backed by, as it was when the layer was made upon it.
    pub parent: Digest,
    /// The version of tib that made it.
    pub tib: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

/// A layer in the cache. Neither it nor what it is made upon is removed while this value lives.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its disk: a qcow2 overlay, never to be written to.
    pub path: PathBuf,
    /// SHA-256 of its disk's file.
    pub sha256: Digest,
    /// What is known of it.
    pub meta: LayerMeta,
    _locks: Vec<Arc<FileLock>>,
}

/// What a disk is backed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    Base(Digest),
    Layer(Digest),
}

impl Below {
    /// What a backing file's path in the cache stands for: `…/layers/DIGEST/disk.qcow2`.
    fn of(path: &Path) -> Option<Self> {
        let directory = path.parent()?;
        let digest = Digest::parse(directory.file_name()?.to_str()?)?;
        match directory.parent()?.file_name()?.to_str()? {
            name if name == Bucket::Bases.name() => Some(Self::Base(digest)),
            name if name == Bucket::Layers.name() => Some(Self::Layer(digest)),
            _ => None,
        }
    }

    fn digest(self) -> Digest {
        match self {
            Self::Base(digest) | Self::Layer(digest) => digest,
        }
    }
}

/// How a layer stands, as far as that can be told without reading disks.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) meta: Option<LayerMeta>,
    pub(crate) sha256: Option<Digest>,
    /// All that it is made upon, nearest first.
    below: Vec<Below>,
    /// Why it must not be used.
    pub(crate) problem: Option<String>,
}

impl Standing {
    /// Names of all that the layer is made upon, nearest first.
    pub(crate) fn needs(&self) -> Vec<String> {
        self.below.iter().map(|below| below.digest().to_string()).collect()
    }
}

impl Cache {
    /// The layer with this digest, if the cache has it and it lies on the bytes it was made upon. One that is no good is
    /// told of, and counts as absent.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn layer(&self, digest: Digest, control: &Control) -> Result<Option<Layer>, CacheError> {
        if !self.entry(Bucket::Layers, digest).is_dir() {
            return Ok(None);
        }
        match self.usable(digest, control)? {
            Ok(layer) => Ok(Some(layer)),
            Err(problem) => {
                control.events.note(format!("layer {} is made again: {problem}", digest.short()));
                Ok(None)
            }
        }
    }

    /// Notes that a layer is in use although its disk is not read, because a newer one is. Tells whether it is there.
    pub fn touch_layer(&self, digest: Digest) -> bool {
        let meta = self.entry(Bucket::Layers, digest).join(META);
        touch(&meta);
        meta.is_file()
    }

    fn usable(&self, digest: Digest, control: &Control) -> Result<Result<Layer, String>, CacheError> {
        // Locked before it is looked at: what is found then stays.
        let Some(lock) = self.in_use(&LockName::Layer(digest))? else {
            return Ok(Err("another tib is removing it".to_owned()));
        };
        let standing = self.standing(digest)?;
        if let Some(problem) = standing.problem {
            return Ok(Err(problem));
        }
        let (Some(meta), Some(sha256), Some(below)) =
            (standing.meta, standing.sha256, standing.below.first())
        else {
            return Ok(Err("its record is incomplete".to_owned()));
        };
        let mut locks = vec![lock];
        match below {
            Below::Base(base) => match bases::find(self, *base, None, control)? {
                Some(base) => locks.push(base.lock()),
                None => return Ok(Err("its base is damaged".to_owned())),
            },
            Below::Layer(parent) => match self.usable(*parent, control)? {
                // It may have been made again before it was locked.
                Ok(parent) if parent.sha256 == meta.parent => locks.extend(parent._locks),
                Ok(_) => return Ok(Err(OTHER_BYTES.to_owned())),
                Err(problem) => return Ok(Err(below_problem(&problem))),
            },
        }
        let dir = self.entry(Bucket::Layers, digest);
        let path = dir.join(DISK);
        let record: Option<Record<LayerMeta>> = Record::read(&dir)?;
        let what = format!("layer {}", digest.short());
        let holds = |record: Record<LayerMeta>| record.holds(&path, sha256, (self, &what), control);
        if !record.map_or(Ok(false), holds)? {
            return Ok(Err("its disk was changed".to_owned()));
        }
        touch(&dir.join(META));
        Ok(Ok(Layer { path, sha256, meta, _locks: locks }))
    }

    /// Looks at a layer and at all that is below it, without reading the disks.
    pub(crate) fn standing(&self, digest: Digest) -> Result<Standing, CacheError> {
        let dir = self.entry(Bucket::Layers, digest);
        let path = dir.join(DISK);
        let record: Option<Record<LayerMeta>> = Record::read(&dir)?;
        let chain = disk::gate(&path, &Policy::within(self.root()));
        let below: Option<Vec<Below>> = match &chain {
            Ok(info) => info.backing.iter().map(|backing| Below::of(&backing.path)).collect(),
            Err(_) => None,
        };
        let problem = match (&record, chain) {
            (None, _) => Some("its record is missing, damaged or of an older tib".to_owned()),
            (Some(record), _) if record.sha256.is_none() => {
                Some("its record does not say what its disk holds".to_owned())
            }
            (Some(record), _) if record.state(&path) == State::Damaged => {
                Some("its disk is missing or of another length".to_owned())
            }
            (_, Err(error)) => Some(Failure::from(error).to_string()),
            (Some(record), Ok(_)) => match below.as_ref().and_then(|below| below.first()) {
                Some(below) => self.problem_below(*below, record.meta.parent)?,
                None => Some("it is made upon something that is not in the cache".to_owned()),
            },
        };
        Ok(Standing {
            sha256: record.as_ref().and_then(|record| record.sha256),
            meta: record.map(|record| record.meta),
            below: below.unwrap_or_default(),
            problem,
        })
    }

    /// Why a layer that was made upon bytes with the digest `parent` must not be used upon `below`.
    fn problem_below(&self, below: Below, parent: Digest) -> Result<Option<String>, CacheError> {
        let (digest, problem) = match below {
            // Named by what it holds.
            Below::Base(digest) => {
                let damaged = bases::record(self, digest)?
                    .is_none_or(|(record, path)| record.state(&path) == State::Damaged);
                (Some(digest), damaged.then(|| "its base is damaged".to_owned()))
            }
            Below::Layer(digest) => {
                let standing = self.standing(digest)?;
                (standing.sha256, standing.problem.as_deref().map(below_problem))
            }
        };
        Ok(problem.or_else(|| (digest != Some(parent)).then(|| OTHER_BYTES.to_owned())))
    }

    /// Puts a copy of the overlay `from` into the cache as the layer `digest`; a good one that is already there stays. The
    /// file shares its blocks with `from` where the file system can. `None` if one that is no good is in its place, and in
    /// use by another tib.
    ///
    /// # Errors
    /// When the copy cannot be made; then the cache is as it was.
    pub fn store_layer(
        &self,
        digest: Digest,
        from: &Path,
        meta: &LayerMeta,
        cancel: &Cancel,
    ) -> Result<Option<Layer>, CacheError> {
        let quiet = Control::new(Events::none(), cancel.clone());
        if let Some(layer) = self.layer(digest, &quiet)? {
            return Ok(Some(layer));
        }
        let work = self.work()?;
        let staged = work.path().join("layer");
        fs_err::create_dir(&staged).map_err(CacheError::io("create", &staged))?;
        let sha256 = files::copy_hashed(from, &staged.join(DISK), cancel, &mut |_| ())?;
        self.seal(&staged, DISK, sha256, meta)?;
        let target = self.entry(Bucket::Layers, digest);
        if !self.publish_entry(&staged, &target)? {
            if let Some(layer) = self.layer(digest, &quiet)? {
                return Ok(Some(layer));
            }
            // Whoever reads it has to find one and the same file to the end.
            let lock = FileLock::try_exclusive(&self.lock_path(&LockName::Layer(digest)))?;
            if lock.is_none() {
                return Ok(None);
            }
            self.replace_entry(&work, &staged, &target)?;
        }
        let layer = self.layer(digest, &quiet)?;
        layer.map(Some).ok_or_else(|| vanished(&target.join(DISK)))
    }
}

const OTHER_BYTES: &str = "it was made upon other bytes than those below it now";

fn below_problem(problem: &str) -> String {
    // The cause is told once, however deep it lies.
    const BELOW: &str = "what it is made upon is no good: ";
    if problem.starts_with(BELOW) { problem.to_owned() } else { format!("{BELOW}{problem}") }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
