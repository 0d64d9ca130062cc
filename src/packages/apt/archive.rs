//! Package files in the cache, named by their content.

use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::error::AptError;
use super::host::Apt;
use super::{Resolved, answer};
use crate::digest::Digest;

/// Where a package file stands in the cache.
pub(crate) fn path(cache: &Path, digest: Digest) -> PathBuf {
    cache.join("archives").join(format!("{digest}.deb"))
}

/// The name that apt gives to the file of a package.
pub(crate) fn file_name(file: &Resolved) -> String {
    answer::file_name(&file.name, &file.version, &file.arch)
}

/// Makes sure that all of `files` are in the cache and are what the signed index says.
///
/// Every file is hashed each time: that is some tenths of a second for a database server, and a note saying
/// that it was right last time could itself be wrong.
pub(crate) fn provide(
    apt: &Apt<'_>,
    cache: &Path,
    root: &Path,
    files: &[Resolved],
    names: &[String],
    offline: bool,
) -> Result<(), AptError> {
    let directory = cache.join("archives");
    fs::create_dir_all(&directory).map_err(AptError::io("create", directory))?;
    let mut missing = Vec::new();
    let private = root.join("archives");
    for file in files {
        apt.control.cancel.check()?;
        let path = path(cache, file.digest);
        if is_good(file, &path)? {
            // apt takes what stands here as fetched.
            let link = private.join(file_name(file));
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(&path, &link).map_err(AptError::io("create", link))?;
        } else {
            missing.push(file);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    if offline {
        return Err(AptError::Missing { files: missing.into_iter().map(file_name).collect() });
    }
    let total = missing.iter().map(|file| file.size).sum();
    let mut arguments = vec!["--download-only", "-qq", "--allow-remove-essential", "install", "--"];
    arguments.extend(names.iter().map(String::as_str));
    apt.download("fetching packages", Some(total), arguments)?;
    for file in missing {
        let fetched = private.join(file_name(file));
        if !is_good(file, &fetched)? {
            return Err(AptError::Content(file_name(file)));
        }
        let opened = fs::File::open(&fetched).map_err(AptError::io("open", &fetched))?;
        opened.sync_all().map_err(AptError::io("write", &fetched))?;
        let path = path(cache, file.digest);
        fs::rename(&fetched, &path).map_err(AptError::io("write", &path))?;
    }
    Ok(())
}

/// Whether the file at `path` exists and has the right content.
fn is_good(file: &Resolved, path: &Path) -> Result<bool, AptError> {
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
    Ok(Digest::from_bytes(hash.finalize().into()) == file.digest)
}
