//! The metadata of repositories: fetched into the cache, and handed to the private root.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::answer::{Loaded, refusal};
use super::archive;
use super::error::DnfError;
use super::host::Dnf;
use super::repositories::Repositories;
use super::root::Root;
use crate::cache::FileLock;
use crate::digest::Digest;

/// Written after metadata was fetched completely; without it there is nothing to work offline with.
const COMPLETE: &str = "complete";

/// What metadata the private root has, and where it comes from.
#[derive(Debug)]
pub(crate) struct Metadata {
    cache: PathBuf,
    offline: bool,
    /// Of which repositories it is there already.
    provided: HashSet<Digest>,
}

impl Metadata {
    pub(crate) fn new(cache: &Path, offline: bool) -> Self {
        Self { cache: cache.to_owned(), offline, provided: HashSet::new() }
    }

    /// Gives the private root the metadata of a stage's repositories.
    ///
    /// dnf asks the servers every time, unless `offline`: what has not changed costs one request. Only one process at a time
    /// works on the cache's copy; each then goes on with hard links of its own.
    pub(crate) fn provide(
        &mut self,
        dnf: &Dnf<'_>,
        root: &Root,
        repositories: &Repositories,
        stage: usize,
    ) -> Result<(), DnfError> {
        // Those of the last stage are those of all, mostly.
        let last = repositories.last_stage();
        let all_in_last = repositories
            .of(stage)
            .iter()
            .all(|known| repositories.of(last).iter().any(|other| other.section == known.section));
        for stage in if all_in_last { vec![last] } else { vec![last, stage] } {
            let digest = repositories.digest(root, stage);
            if self.provided.insert(digest) {
                self.fetch(dnf, root, repositories, stage, digest)?;
            }
        }
        Ok(())
    }

    fn fetch(
        &self,
        dnf: &Dnf<'_>,
        root: &Root,
        repositories: &Repositories,
        stage: usize,
        digest: Digest,
    ) -> Result<(), DnfError> {
        const DOING: &str = "fetching the metadata of repositories";
        let shared = archive::metadata(&self.cache, digest);
        let lock = shared.with_extension("lock");
        let _lock = FileLock::exclusive(&lock, "fetching metadata", dnf.control)?;
        let complete = shared.join(COMPLETE);
        if self.offline {
            if !complete.exists() {
                return Err(DnfError::NoMetadata);
            }
        } else {
            fs::create_dir_all(&shared).map_err(DnfError::io("create", &shared))?;
            let mut request = root.request("metadata", &format!("stage-{stage}"), &shared);
            request["cached"] = false.into();
            request["logins"] = repositories.logins(stage, &dnf.control.netrc);
            dnf.ask::<Loaded>(DOING, &request)?.map_err(|refused| {
                refusal(DOING, refused).of_sources(&repositories.places(stage, root.arch()), dnf.control)
            })?;
            fs::write(&complete, "").map_err(DnfError::io("write", &complete))?;
        }
        archive::link_all(&shared, &root.path().join("cache"))
    }
}
