//! A read-only file tree inside an image, however it is read.

use super::{DiskError, Root, Stat, Xattr};

/// A read-only view of all file systems of an image, mounted as its `/etc/fstab` says.
///
/// Paths are absolute, `/`-separated bytes; they are resolved inside the image, never on the host. A path that ends in a
/// slash means a directory.
pub trait Tree: Send {
    /// The names in a directory, without `.` and `..`, in no particular order. Follows links.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::NotDirectory`], or what is wrong with the image.
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError>;

    /// What is at `path`. Does not follow a link in the last part.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::NotDirectory`], or what is wrong with the image.
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

    /// Extended attributes, sorted by name, as root would see them. Does not follow a link in the last part.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], or what is wrong with the image.
    fn xattrs(&mut self, path: &[u8]) -> Result<Vec<Xattr>, DiskError>;

    /// Whether files where `path` is can have extended attributes: on FAT they cannot.
    ///
    /// # Errors
    /// As [`lstat`](Self::lstat).
    fn keeps_xattrs(&mut self, path: &[u8]) -> Result<bool, DiskError>;

    /// Hands `length` bytes from `offset` of a file to `sink` piece by piece; fewer where the file ends. Follows
    /// links. Returns how many.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], [`DiskError::WrongKind`], or what is wrong with the image or the sink.
    fn read_range(
        &mut self,
        path: &[u8],
        offset: u64,
        length: u64,
        sink: &mut dyn std::io::Write,
    ) -> Result<u64, DiskError>;

    /// The same tree for another thread, with a memory of its own. `None` where there can be only one.
    fn fork(&self) -> Option<Box<dyn Tree + '_>> {
        None
    }

    /// The file system at `/`.
    ///
    /// # Errors
    /// What is wrong with the image.
    fn root(&mut self) -> Result<Root, DiskError>;

    /// How the tree is read, and why that way, for people.
    fn explain(&self) -> String;

    /// What the image's fstab mounts and the image does not have, a sentence each, for people.
    fn missed(&self) -> &[String] {
        &[]
    }

    /// Hands the content of a file to `sink` piece by piece. Follows links.
    ///
    /// # Errors
    /// As [`read_range`](Self::read_range).
    fn read_to(&mut self, path: &[u8], sink: &mut dyn std::io::Write) -> Result<u64, DiskError> {
        self.read_range(path, 0, u64::MAX, sink)
    }

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
    /// What is wrong with the image; a missing path is `false`, and so is one that goes through a file.
    fn exists(&mut self, path: &[u8]) -> Result<bool, DiskError> {
        match self.lstat(path) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether a path can only mean a directory, as it can for Linux.
pub(crate) fn asks_for_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || path.ends_with(b"/.")
}
