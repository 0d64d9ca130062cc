//! An open directory, and names in it. What is done to a name never follows a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::rename;

/// Opens nothing but what is asked for: no link, and no pipe that somebody would have to write to first.
const CAREFUL: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// A directory that stays the same one whatever happens to its path. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
    fd: Arc<OwnedFd>,
}

impl Directory {
    /// Opens the directory at `path`; a link to one will do.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), fd: Arc::new(fd) })
    }

    /// Opens a directory in this one.
    pub(crate) fn inner(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | CAREFUL;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        Ok(Self { path: self.path.join(name), fd: Arc::new(fd) })
    }

    /// Makes a directory in this one that only its owner may use.
    pub(crate) fn make(&self, name: &OsStr) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.fd, name, Mode::RWXU)?;
        self.inner(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in it.
    pub(crate) fn join(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// Opens an existing file to read, and with `write` to write too.
    pub(crate) fn file(&self, name: &OsStr, write: bool) -> io::Result<File> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        Ok(rustix::fs::openat(&self.fd, name, access | CAREFUL, Mode::empty())?.into())
    }

    /// Makes a file, which must not be there, with the mode files have that everybody may read.
    pub(crate) fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | CAREFUL;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o644))?.into())
    }

    /// What is known of the directory itself.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// What has this name, a link being a link; `None` if nothing has.
    pub(crate) fn look(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        self.look_with(name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// What this name leads to; `None` if nothing has it, or a link that leads nowhere.
    pub(crate) fn look_behind(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        self.look_with(name, AtFlags::empty())
    }

    fn look_with(&self, name: &OsStr, flags: AtFlags) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, flags) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All names in it.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Moves `name` to `target` under the same name, which must be free there.
    pub(crate) fn move_to(&self, name: &OsStr, target: &Self) -> io::Result<()> {
        rename::to_free(&self.fd, name, &target.fd, name)
    }

    /// Renames within the directory, replacing what is there.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Removes a file; none is as good.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.remove_with(name, AtFlags::empty())
    }

    /// Removes an empty directory; none is as good.
    pub(crate) fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        self.remove_with(name, AtFlags::REMOVEDIR)
    }

    fn remove_with(&self, name: &OsStr, flags: AtFlags) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the names in it survive a crash, where the file system can.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.fd) {
            // Some file systems do not sync directories at all.
            Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether it is a regular file.
pub(crate) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Whether it is a symbolic link.
pub(crate) fn is_link(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}
