//! File systems that tib reads by itself, whatever their kind.

use super::FileSystemKind;
use super::btrfs::Btrfs;
use super::ext4::Ext;
use super::fat::{Access, Fat};
use super::inodes::Inodes;
use super::xfs::Xfs;
use crate::block::DiskError;
use crate::block::Shared;

/// Whether [`open_inodes`] opens such file systems.
pub(crate) fn is_native(kind: FileSystemKind) -> bool {
    use FileSystemKind::{Btrfs, Ext, Vfat, Xfs};
    matches!(kind, Ext | Xfs | Btrfs | Vfat)
}

/// Opens a file system of a kind in `length` bytes from `start`. `options` are those it is mounted with.
///
/// # Errors
/// [`DiskError::Unsupported`] for what only an appliance reads, [`DiskError::Damaged`].
pub(crate) fn open_inodes(
    disk: &Shared,
    kind: FileSystemKind,
    start: u64,
    length: u64,
    options: &[String],
) -> Result<Box<dyn Inodes>, DiskError> {
    Ok(match kind {
        FileSystemKind::Ext => Box::new(Ext::open(disk, start, length)?),
        FileSystemKind::Btrfs => Box::new(Btrfs::open(disk, start, length)?),
        FileSystemKind::Xfs => Box::new(Xfs::open(disk, start, length)?),
        FileSystemKind::Vfat => {
            let access = Access::new(options.iter().map(String::as_str));
            Box::new(Fat::open(disk, start, length, access)?)
        }
        other => return Err(DiskError::Unsupported(format!("tib does not read {}", other.name()))),
    })
}
