//! Where the full log of a build goes.

use std::path::PathBuf;

use crate::source::Cache;

use super::BuildError;

/// Logs of older builds that are kept.
const KEPT: usize = 20;

/// A path for the log of a build of `recipe`; makes room among the older ones.
pub(super) fn path(cache: &Cache, recipe: &str) -> Result<PathBuf, BuildError> {
    let directory = cache.directory("logs");
    let failed = |source| BuildError::Output { path: directory.clone(), source };
    fs_err::create_dir_all(&directory).map_err(failed)?;
    let mut logs: Vec<_> = fs_err::read_dir(&directory)
        .map_err(failed)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    logs.sort();
    for (_, old) in logs.iter().rev().skip(KEPT - 1) {
        // Another process may have removed it.
        let _ = fs_err::remove_file(old);
    }
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    Ok(directory.join(format!("{recipe}-{seconds}-{}.log", std::process::id())))
}
