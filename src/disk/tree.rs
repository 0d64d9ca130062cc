//! A read-only file tree inside an image, however it is read.

use super::DiskError;

/// What a path in an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// What is known of a path without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Kind of file.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky, `0o7777` at the most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes (of the target's name, for a link).
    pub size: u64,
    /// Last modification, seconds since 1970.
    pub mtime: i64,
    /// Number of hard links; 0 where the reader cannot tell.
    pub links: u32,
}

/// A read-only view of all file systems of an image, mounted as its `/etc/fstab` says.
///
/// Paths are absolute, `/`-separated bytes; they are resolved inside the image, never on the host.
pub trait Tree: Send {
    /// The names in a directory, without `.` and `..`, in no particular order. Follows links.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::WrongKind`], or what is wrong with the image.
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError>;

    /// What is at `path`. Does not follow a link in the last part.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], or what is wrong with the image.
    fn lstat(&mut self, path: &[u8]) -> Result<Stat, DiskError>;

    /// What a link points to, unresolved.
    ///
    /// # Errors
    /// [`DiskError::WrongKind`] when it is not a link, or what is wrong with the image.
    fn read_link(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError>;

    /// The canonical path: absolute, every link resolved.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::WrongKind`] for a loop, or what is wrong with the image.
    fn canonicalize(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError>;

    /// Hands the content of a file to `sink` piece by piece. Follows links.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::WrongKind`], or what is wrong with the image or the sink.
    fn read_to(&mut self, path: &[u8], sink: &mut dyn std::io::Write) -> Result<u64, DiskError>;

    /// The content of a file of at most `limit` bytes; a longer one is an error. Follows links.
    ///
    /// # Errors
    /// As [`read_to`](Self::read_to).
    fn read(&mut self, path: &[u8], limit: u64) -> Result<Vec<u8>, DiskError> {
        let stat = self.stat(path)?;
        if stat.size > limit {
            return Err(DiskError::WrongKind {
                path: String::from_utf8_lossy(path).into_owned(),
                problem: format!("is larger than {limit} bytes"),
            });
        }
        let mut content = Vec::new();
        self.read_to(path, &mut content)?;
        Ok(content)
    }

    /// What is at `path`, following links.
    ///
    /// # Errors
    /// As [`canonicalize`](Self::canonicalize) and [`lstat`](Self::lstat).
    fn stat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        let path = self.canonicalize(path)?;
        self.lstat(&path)
    }

    /// Whether anything, even a dangling link, is at `path`.
    ///
    /// # Errors
    /// What is wrong with the image; a missing path is `false`.
    fn exists(&mut self, path: &[u8]) -> Result<bool, DiskError> {
        match self.lstat(path) {
            Ok(_) => Ok(true),
            Err(DiskError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
