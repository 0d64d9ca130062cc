//! The image as bytes: qcow2 and raw, partitions, file systems, export.
//!
//! Nothing here starts a program or an appliance. Every byte read comes from an untrusted image.
//!
//! An image comes in through [`gate()`], [`open()`] or [`VirtualDisk::open`], which check its header and all it is backed by
//! first; [`VirtualDisk`] goes on to what is on the disk, [`export()`] makes the file a person uploads.

#[cfg(any(test, fuzzing, debug_assertions))]
mod any;
mod btrfs;
mod bytes;
mod cached;
mod codec;
mod container;
mod efi;
mod error;
mod export;
mod ext4;
mod fat;
pub mod filesystem;
pub mod fstab;
mod gate;
mod growth;
pub mod header;
#[cfg(test)]
mod hostile_tests;
mod inodes;
mod layout;
mod library;
mod lvm;
mod mounts;
mod open;
mod open_fs;
mod os_tree;
mod overlaps;
mod overlay;
pub mod partition;
mod partition_types;
mod place;
mod qcow2;
mod raw;
mod runs;
mod system;
#[cfg(test)]
mod testing;
mod tree;
mod usage;
mod virtual_disk;
mod window;
mod writer;
mod xfs;

#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub use any::{any_btrfs, any_btrfs_in_pieces, any_ext, any_fat, any_lvm, any_xfs, any_xfs_in_pieces};
pub use efi::EfiProgram;
pub use error::DiskError;
pub use export::{ExportOptions, ExportStats, Source, export};
pub use ext4::{ExtState, ExtVersion};
pub use filesystem::FileSystemKind;
pub use gate::{Backing, Format, ImageInfo, Policy, gate};
pub use growth::{Growth, GrowthPlan, Obstacle, Root, RootPlace};
pub use header::Compression;
pub use layout::{
    BootSector, CoreImage, Layout, LogicalVolumeLayout, PartitionLayout, TableKind, VolumeContent,
};
pub use open::{open, open_own};
pub use overlay::{LARGEST_DISK, create_overlay};
pub use partition::{Partition, SECTOR};
pub use system::open_tree;
pub(crate) use tree::asks_for_directory;
pub use tree::{FileKind, Stat, Timestamp, Tree, Xattr};
pub use usage::Room;
pub use virtual_disk::VirtualDisk;

/// Random access to the bytes of a virtual disk, whatever its format.
pub trait BlockRead: Send {
    /// Size of the virtual disk in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` (bytes). Reading past [`size`](Self::size) is an error.
    ///
    /// # Errors
    /// [`DiskError`] when the image is damaged or cannot be read.
    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError>;

    /// Says whether the cluster-sized piece at `offset` is known to read as zeros, and how many bytes from
    /// `offset` on that answer holds for (at least 1, never past the end).
    ///
    /// # Errors
    /// [`DiskError`] when the image is damaged or cannot be read.
    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError>;

    /// A reader of the same disk for another thread. `None` where there can be only one.
    fn fork(&self) -> Option<Box<dyn BlockRead>> {
        None
    }
}

/// A run of bytes of a virtual disk of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes from the offset asked for to the end of the run.
    pub length: u64,
    /// The run is not allocated, or marked as zero: it reads as zeros without being read.
    pub zero: bool,
}
