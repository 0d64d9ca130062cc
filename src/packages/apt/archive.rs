//! Package files in the cache, named by their content.

use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::PackageFile;
use super::error::AptError;
use super::host::Apt;

/// Where a package file stands in the cache.
pub(crate) fn path(cache: &Path, sha256: &str) -> PathBuf {
    cache.join("archives").join(format!("{sha256}.deb"))
}

/// Makes sure that all of `files` are in the cache and are what the signed index says.
///
/// Every file is hashed each time: that is some tenths of a second for a database server, and a note saying
/// that it was right last time could itself be wrong.
pub(crate) fn provide(
    apt: &Apt<'_>,
    cache: &Path,
    root: &Path,
    files: &[PackageFile],
    names: &[String],
    offline: bool,
) -> Result<(), AptError> {
    let directory = cache.join("archives");
    fs::create_dir_all(&directory).map_err(AptError::io("create", directory))?;
    let mut missing = Vec::new();
    let private = root.join("archives");
    for file in files {
        apt.cancel.check()?;
        if is_good(file, &file.path)? {
            // apt takes what stands here as fetched.
            let link = private.join(file.file_name());
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(&file.path, &link).map_err(AptError::io("create", link))?;
        } else {
            missing.push(file);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    if offline {
        return Err(AptError::Missing { files: missing.iter().map(|file| file.file_name()).collect() });
    }
    let total = missing.iter().map(|file| file.size).sum();
    let mut arguments = vec!["--download-only", "-qq", "--allow-remove-essential", "install", "--"];
    arguments.extend(names.iter().map(String::as_str));
    apt.download("fetching packages", Some(total), arguments)?;
    for file in missing {
        let fetched = private.join(file.file_name());
        if !is_good(file, &fetched)? {
            return Err(AptError::Content(file.file_name()));
        }
        let opened = fs::File::open(&fetched).map_err(AptError::io("open", &fetched))?;
        opened.sync_all().map_err(AptError::io("write", &fetched))?;
        fs::rename(&fetched, &file.path).map_err(AptError::io("write", &file.path))?;
    }
    Ok(())
}

/// Whether the file at `path` exists and has the right content.
fn is_good(file: &PackageFile, path: &Path) -> Result<bool, AptError> {
    let mut opened = match fs::File::open(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(AptError::io("open", path)(error)),
    };
    if opened.metadata().map_err(AptError::io("read", path))?.len() != file.size {
        return Ok(false);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match std::io::Read::read(&mut opened, &mut buffer).map_err(AptError::io("read", path))? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let found = crate::digest::Digest::from_bytes(hash.finalize().into());
    Ok(crate::digest::Digest::parse(&file.sha256) == Some(found))
}
