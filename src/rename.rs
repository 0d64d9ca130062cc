//! Names that change without anybody's file being replaced unasked.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

/// Moves what is called `old` in the directory `from` to the name `new` in the directory `to`, unless something has
/// that name. Killed in between, where the file system makes two steps of it, the file has both names.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], or what the file system says.
pub(crate) fn to_free(from: impl AsFd, old: &OsStr, to: impl AsFd, new: &OsStr) -> io::Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    match rustix::fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
        // Not every file system knows this kind of renaming: NFS does not.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        done => return Ok(done?),
    }
    match rustix::fs::linkat(from, old, to, new, AtFlags::empty()) {
        Ok(()) => return Ok(rustix::fs::unlinkat(from, old, AtFlags::empty())?),
        Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
        // Nor this: FAT has no hard links, and directories never have. Then nobody can promise that the name is still
        // free.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::MLINK) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST.into()),
        Err(Errno::NOENT) => Ok(rustix::fs::renameat(from, old, to, new)?),
        Err(error) => Err(error.into()),
    }
}

/// Lets two names change places in one step; `false` where the file system cannot do that.
///
/// # Errors
/// What the file system says: [`io::ErrorKind::NotFound`] if either is not there.
pub(crate) fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    match rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether two paths lead to one and the same file that is there.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;

    #[test]
    fn whatever_has_the_name_keeps_it() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::write(path("file"), "mine").unwrap();
        std::fs::create_dir(path("directory")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        for old in ["file", "directory", "link"] {
            for new in ["file", "directory", "link"].into_iter().filter(|new| *new != old) {
                let error = to_free(CWD, path(old).as_os_str(), CWD, path(new).as_os_str()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{old} {new}");
            }
            to_free(CWD, path(old).as_os_str(), CWD, path("moved").as_os_str()).unwrap();
            to_free(CWD, path("moved").as_os_str(), CWD, path(old).as_os_str()).unwrap();
        }
        assert_eq!(std::fs::read(path("file")).unwrap(), b"mine");
    }

    #[test]
    fn names_change_places_whatever_they_are() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::write(path("one"), "file").unwrap();
        std::fs::create_dir(path("other")).unwrap();
        assert!(exchange(&path("one"), &path("other")).unwrap());
        assert!(path("one").is_dir() && path("other").is_file());
        let error = exchange(&path("one"), &path("nothing")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
