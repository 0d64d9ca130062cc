//! Room on file systems of this machine.

use std::io;
use std::path::Path;

/// Bytes that an ordinary user may still write to the file system of `path`.
///
/// # Errors
/// Those of `statvfs`, such as that there is no such path.
pub(crate) fn free(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A file system that nobody writes to: what is free there stays the same while both look.
    #[test]
    fn df_agrees() {
        let output = Command::new("df").args(["--block-size=1", "--output=avail", "/proc"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let avail = text.lines().nth(1).unwrap().trim();
        // `df` writes `-` where there is nothing to count.
        assert_eq!(avail.parse().unwrap_or(0), free(Path::new("/proc")).unwrap());
        let error = free(Path::new("/nothing/here")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
