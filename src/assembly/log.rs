//! Where the full log of a build goes.

use std::path::PathBuf;

use crate::cache::Bucket;
use crate::cache::Cache;
use crate::clock;

use super::BuildError;

/// Logs of older builds that are kept.
const KEPT: usize = 20;

/// A path for the log of a build of `recipe`; makes room among the older ones.
pub(crate) fn path(cache: &Cache, recipe: &str) -> Result<PathBuf, BuildError> {
    let directory = cache.directory(Bucket::Logs);
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
    let seconds = clock::now();
    Ok(directory.join(format!("{recipe}-{seconds}-{}.log", std::process::id())))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn the_last_logs_are_kept_and_there_is_room_for_one_more() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
        path(&cache, "first").unwrap();
        for age in 0..25 {
            let log = cache.directory(Bucket::Logs).join(format!("{age}.log"));
            fs_err::write(&log, "").unwrap();
            let time = SystemTime::now() - Duration::from_secs(age * 60);
            std::fs::File::options().write(true).open(&log).unwrap().set_modified(time).unwrap();
        }
        let new = path(&cache, "mariadb").unwrap();
        assert!(new.file_name().unwrap().to_str().unwrap().starts_with("mariadb-") && !new.exists());
        let mut left: Vec<u32> = fs_err::read_dir(cache.directory(Bucket::Logs))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().parse().unwrap())
            .collect();
        left.sort_unstable();
        assert_eq!(left, (0..19).collect::<Vec<_>>(), "the newest");
    }
}
