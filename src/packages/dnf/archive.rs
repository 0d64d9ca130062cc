//! Package files, keys and metadata in the cache.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::error::DnfError;
use crate::digest::Digest;

/// Where a package file stands in the cache.
pub(crate) fn package(cache: &Path, digest: Digest) -> PathBuf {
    packages(cache).join(format!("{digest}.rpm"))
}

/// Where all package files stand.
pub(crate) fn packages(cache: &Path) -> PathBuf {
    cache.join("packages")
}

/// Where it is noted which package files repositories know by other checksums than SHA-256.
pub(crate) fn aliases(cache: &Path) -> PathBuf {
    cache.join("aliases")
}

/// Where a key stands that guests get.
pub(crate) fn key(cache: &Path, digest: Digest) -> PathBuf {
    keys(cache).join(format!("{digest}.asc"))
}

/// Where all keys stand.
pub(crate) fn keys(cache: &Path) -> PathBuf {
    cache.join("keys")
}

/// Where the metadata of a set of repositories stands.
pub(crate) fn metadata(cache: &Path, digest: Digest) -> PathBuf {
    cache.join("metadata").join(digest.to_string())
}

/// Gives a verified package file its name in the cache.
pub(crate) fn keep(cache: &Path, fetched: &Path, digest: Digest) -> Result<(), DnfError> {
    let directory = packages(cache);
    fs::create_dir_all(&directory).map_err(DnfError::io("create", &directory))?;
    let opened = fs::File::open(fetched).map_err(DnfError::io("open", fetched))?;
    opened.sync_all().map_err(DnfError::io("write", fetched))?;
    let path = package(cache, digest);
    fs::rename(fetched, &path).map_err(DnfError::io("write", path))
}

/// Makes hard links of all plain files below `from` below `to`. dnf replaces its files and never writes into them, so what is
/// done to one side is not seen on the other.
pub(crate) fn link_all(from: &Path, to: &Path) -> Result<(), DnfError> {
    fs::create_dir_all(to).map_err(DnfError::io("create", to))?;
    for entry in fs::read_dir(from).map_err(DnfError::io("read", from))? {
        let entry = entry.map_err(DnfError::io("read", from))?;
        let kind = entry.file_type().map_err(DnfError::io("read", from))?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            link_all(&entry.path(), &target)?;
        } else if kind.is_file() {
            match fs::hard_link(entry.path(), &target) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                result => result.map_err(DnfError::io("link", target))?,
            }
        }
    }
    Ok(())
}
