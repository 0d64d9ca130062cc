//! Text files that a person names on the command line: read with a limit, and never waited for.

use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use fs_err::File;

/// Bytes that such a file may have. Nobody writes more by hand, and a device without an end has more.
const LIMIT: u64 = 16 << 20;

/// Reads a file.
///
/// # Errors
/// What the file system says; that it is too large; that it is a named pipe, for which somebody would have to write. A pipe of
/// the shell's (`<(…)`) has its writer, and is read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let of_shell = ["/dev", "/proc"].iter().any(|place| path.starts_with(place));
    // What is not there is told when it is opened.
    if path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) && !of_shell {
        return Err(io::Error::other(format!("`{}` is a named pipe, not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LIMIT {
        true => Err(io::Error::other(format!("`{}` is too large: more than 16 MiB", path.display()))),
        false => Ok(bytes),
    }
}

/// Reads a file that is UTF-8.
///
/// # Errors
/// As of [`read`], and [`io::ErrorKind::InvalidData`].
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| {
        let reason = format!("`{}` is not text in UTF-8", path.display());
        io::Error::new(io::ErrorKind::InvalidData, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_or_no_writer_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs_err::write(path("text"), "ü").unwrap();
        assert_eq!(read_to_string(&path("text")).unwrap(), "ü");
        assert_eq!(read_to_string(Path::new("/dev/null")).unwrap(), "");
        fs_err::write(path("binary"), [0xff]).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
        for (name, reason) in [
            (path("binary"), "is not text in UTF-8"),
            (path("fifo"), "is a named pipe"),
            ("/dev/zero".into(), "too large"),
            (path("none"), "No such file"),
            (path(""), "Is a directory"),
        ] {
            let error = format!("{:?}", read_to_string(&name).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }
}
