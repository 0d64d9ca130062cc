//! What a file system says of a file.

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
    /// Bytes of disk it takes up.
    pub allocated: u64,
    /// Number of hard links.
    pub links: u32,
    /// Its number. Equal numbers on one [`device`](Self::device) are one file under two names.
    pub inode: u64,
    /// A number for the file system it is on; good for nothing but comparing.
    pub device: u64,
    /// Major and minor number of a device node; zeros for everything else.
    pub special: (u32, u32),
    /// Last access.
    pub accessed: Timestamp,
    /// Last modification of the content.
    pub modified: Timestamp,
    /// Last change of the content or of anything here.
    pub changed: Timestamp,
}

/// A moment, as file systems keep it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Nanoseconds after that, below 1 000 000 000.
    pub nanoseconds: u32,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// Its full name, such as `security.selinux`.
    pub name: Vec<u8>,
    /// Its value, as `getxattr` gives it.
    pub value: Vec<u8>,
}
