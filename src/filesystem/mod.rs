//! File systems as numbered inodes on a stretch of a disk: ext2/3/4, XFS, Btrfs, FAT.
//!
//! Nothing here knows of paths, links or mount points: that is the business of whoever puts file systems together to a tree.
//! What is recognised by its first bytes goes further ([`FileSystemKind`]). Every byte read comes from an untrusted image.

#[cfg(any(test, fuzzing, debug_assertions))]
mod any;
mod btrfs;
mod detect;
pub(crate) mod ext4;
pub(crate) mod fat;
pub(crate) mod inodes;
mod open;
mod runs;
mod stat;
pub(crate) mod usage;
pub(crate) mod xfs;

#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub use any::{any_btrfs_in_pieces, any_ext, any_fat, any_xfs_in_pieces};
pub use detect::{FileSystem, FileSystemKind, detect};
pub(crate) use detect::{LVM_LABEL, is_blank, luks_version};
pub use ext4::{ExtState, ExtVersion};
pub(crate) use open::{is_native, open_inodes};
pub use stat::{FileKind, Stat, Timestamp, Xattr};
pub use usage::Room;
