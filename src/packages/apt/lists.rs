//! Package indexes, kept in the cache for each set of sources and keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::error::AptError;
use super::host::Apt;
use crate::cancel::Cancel;
use crate::digest::Digest;

/// Written after indexes were fetched completely; without it there is nothing to work offline with.
const COMPLETE: &str = "complete";

/// Gives a private root the indexes it needs.
///
/// apt asks the servers every time, unless `offline`: it sends the date of what it has, so an unchanged index
/// costs one round trip, and what is built is never older than it has to be. Only one process at a time works
/// on the cache's copy; each then goes on with hard links of its own, since apt replaces files and never
/// writes into them.
pub(crate) fn provide(
    apt: &Apt<'_>,
    cache: &Path,
    root: &Path,
    digest: Digest,
    offline: bool,
) -> Result<(), AptError> {
    let lists = cache.join("lists");
    let shared = lists.join(digest.to_string());
    let partial = shared.join("partial");
    fs::create_dir_all(&partial).map_err(AptError::io("create", partial))?;
    let _lock = lock(&lists.join(format!("{digest}.lock")), &apt.control.cancel)?;
    let complete = shared.join(COMPLETE);
    if offline {
        if !complete.exists() {
            return Err(AptError::NoIndex);
        }
    } else {
        // apt's lists directory is the shared one, for this call only; what it would compile is not ours.
        let option = format!("Dir::State::lists={}", shared.display());
        let arguments = ["-o", &option, "-o", "pkgCacheFile::Generate=false", "update"];
        apt.download("fetching package indexes", None, arguments)?;
        fs::write(&complete, "").map_err(AptError::io("write", complete))?;
    }
    for entry in fs::read_dir(&shared).map_err(AptError::io("read", &shared))? {
        let entry = entry.map_err(AptError::io("read", &shared))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) && entry.file_name() != COMPLETE {
            let to = root.join("lists").join(entry.file_name());
            fs::hard_link(entry.path(), &to).map_err(AptError::io("link", to))?;
        }
    }
    Ok(())
}

/// Waits for a lock, but not longer than the user wants to.
fn lock(path: &PathBuf, cancel: &Cancel) -> Result<std::fs::File, AptError> {
    let file = std::fs::File::create(path).map_err(AptError::io("create", path))?;
    loop {
        cancel.check()?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(100)),
            Err(std::fs::TryLockError::Error(source)) => return Err(AptError::io("lock", path)(source)),
        }
    }
}
