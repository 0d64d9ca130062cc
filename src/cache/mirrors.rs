//! Mirrors of other people's git repositories: one bare repository for each URL and each user of the cache.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::root::{META, touch, write_json};
use super::{Bucket, Cache, CacheError, LockName, WorkDir, files};
use crate::control::Control;
use crate::digest::Digest;
use crate::host::git::git;
use crate::host::process;
use crate::host::process::ProcessError;

/// The bare repository in a mirror's directory.
const REPOSITORY: &str = "repository.git";

/// What is known of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorMeta {
    /// The URL, or the path on this host, that it mirrors.
    pub url: String,
    /// The branch that the repository shows first, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// When it was last brought up to date, in seconds since 1970.
    pub fetched: u64,
}

/// Where a mirror is, or would be.
#[derive(Debug, Clone)]
pub struct MirrorPlace {
    /// Its name in the cache.
    pub key: Digest,
    directory: PathBuf,
}

impl MirrorPlace {
    /// The bare repository.
    pub fn repository(&self) -> PathBuf {
        self.directory.join(REPOSITORY)
    }

    /// The lock that whoever changes it has alone, and whoever reads it shares.
    pub fn lock(&self) -> LockName {
        LockName::Mirror(self.key)
    }

    /// What is known of it; `None` if it is not there.
    pub fn meta(&self) -> Option<MirrorMeta> {
        meta(&self.directory)
    }

    /// Writes down what is known of it, which also says that it is used.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_meta(&self, work: &WorkDir, meta: &MirrorMeta) -> Result<(), CacheError> {
        let staged = work.path().join("mirror.json");
        write_json(&staged, meta)?;
        files::publish(&staged, &self.directory.join(META))
    }

    /// Says that it is used.
    pub fn touch(&self) {
        touch(&self.directory.join(META));
    }

    /// Puts a new mirror, a bare repository in `work`, into its place.
    ///
    /// # Errors
    /// When it cannot be moved there.
    pub fn publish(&self, work: &WorkDir, repository: &Path, meta: &MirrorMeta) -> Result<(), CacheError> {
        let staged = work.path().join("mirror");
        fs_err::create_dir(&staged).map_err(CacheError::io("create", &staged))?;
        fs_err::rename(repository, staged.join(REPOSITORY)).map_err(CacheError::io("rename", repository))?;
        write_json(&staged.join(META), meta)?;
        let bucket = self.directory.parent().unwrap_or(&self.directory);
        fs_err::create_dir_all(bucket).map_err(CacheError::io("create", bucket))?;
        // What is there without being known is no mirror.
        if self.directory.exists() {
            files::remove_tree(&self.directory).map_err(CacheError::io("remove", &self.directory))?;
        }
        files::publish(&staged, &self.directory)
    }
}

impl Cache {
    /// The place of the mirror of `url`. Whoever shares a cache has mirrors of their own, since git obeys a repository's
    /// configuration.
    pub fn mirror(&self, url: &str) -> MirrorPlace {
        let key = Digest::of(format!("{} {url}", rustix::process::getuid().as_raw()).as_bytes());
        MirrorPlace { key, directory: self.entry(Bucket::Git, key) }
    }
}

pub(super) fn meta(directory: &Path) -> Option<MirrorMeta> {
    serde_json::from_slice(&fs_err::read(directory.join(META)).ok()?).ok()
}

/// What is wrong with a mirror: every object is read and hashed by git.
pub(super) fn damage(mirror: &Path, control: &Control) -> Result<Option<String>, CacheError> {
    let mut command = git(&[]);
    command.arg("-C").arg(mirror.join(REPOSITORY)).args(["fsck", "--full", "--no-dangling", "--no-progress"]);
    match process::run(&mut command, control) {
        Ok(_) => Ok(None),
        Err(ProcessError::Cancelled(cancelled)) => Err(cancelled.into()),
        Err(error @ ProcessError::Failed { .. }) => {
            let said =
                error.tail().iter().find(|line| line.starts_with("error:") || line.starts_with("fatal:"));
            Ok(Some(said.or(error.tail().last()).cloned().unwrap_or_else(|| error.to_string())))
        }
        Err(ProcessError::Start { source, .. }) => Err(CacheError::io("check with git", mirror)(source)),
    }
}
