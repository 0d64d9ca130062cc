//! Keys that repositories name by a URL, kept in the cache.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::error::DnfError;
use crate::control::Control;
use crate::digest::Digest;
use crate::fetch::{self, Fetcher, Url};

/// No key file, and no certificate, is bigger.
pub(super) const KEY_LIMIT: u64 = 4 << 20;

/// Keys that are fetched from where a repository says.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    /// Where they are kept.
    pub(crate) directory: PathBuf,
    pub(crate) offline: bool,
    pub(crate) control: &'a Control,
}

impl Keys<'_> {
    pub(crate) fn fetch(&self, repository: &str, url: &str) -> Result<Vec<u8>, DnfError> {
        let path = self.directory.join(format!("url-{}", Digest::of(url.as_bytes())));
        let repository = repository.to_owned();
        if self.offline {
            return std::fs::read(&path)
                .map_err(|_| DnfError::NoKeyOffline { repository, url: fetch::redact_text(url) });
        }
        let failed = |source| DnfError::KeyFetch { repository: repository.clone(), source };
        let parsed =
            Url::parse(url).map_err(|_| DnfError::Invalid { what: "key's URL", value: url.to_owned() })?;
        let fetcher = Fetcher::new(fetch::Options::default(), self.control).map_err(failed)?;
        let bytes = fetcher.small(&[parsed], KEY_LIMIT).map_err(failed)?.bytes;
        keep(&path, &bytes)?;
        Ok(bytes)
    }
}

/// Writes a file of the cache, whole or not at all.
pub(crate) fn keep(path: &Path, bytes: &[u8]) -> Result<(), DnfError> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).map_err(DnfError::io("create", directory))?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(DnfError::io("create", directory))?;
    std::io::Write::write_all(&mut file, bytes).map_err(DnfError::io("write", path))?;
    file.persist(path).map(drop).map_err(|error| DnfError::io("write", path)(error.error))
}
