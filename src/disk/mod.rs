//! The image as bytes: qcow2 and raw, partitions, volumes, the tree of its file systems, export.
//!
//! Nothing here starts a program or an appliance. Every byte read comes from an untrusted image.
//!
//! An image comes in through [`gate()`], [`open()`] or [`VirtualDisk::open`], which check its header and all it is backed by
//! first; [`VirtualDisk`] goes on to what is on the disk, [`export()`] makes the file a person uploads.

mod cached;
mod codec;
mod container;
mod efi;
mod export;
pub mod fstab;
mod gate;
mod growth;
pub mod header;
#[cfg(test)]
pub(crate) mod hostile_tests;
mod layout;
mod library;
mod lvm;
mod mounts;
mod open;
mod os_tree;
mod overlaps;
mod overlay;
pub mod partition;
mod partition_types;
mod place;
mod qcow2;
mod raw;
mod system;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
mod virtual_disk;
mod writer;

pub use efi::EfiProgram;
pub use export::{ExportOptions, ExportStats, Source, export};
pub use gate::{Backing, Format, ImageInfo, Policy, gate};
pub use growth::{Growth, GrowthPlan, Obstacle, Root, RootPlace};
pub use header::Compression;
pub use layout::{
    BootSector, CoreImage, Layout, LogicalVolumeLayout, PartitionLayout, TableKind, VolumeContent,
};
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub use lvm::any_lvm;
pub use open::{open, open_own};
pub use overlay::{LARGEST_DISK, create_overlay};
pub use partition::{Partition, SECTOR};
pub use system::open_tree;
pub use tree::Tree;
pub(crate) use tree::asks_for_directory;
pub use virtual_disk::VirtualDisk;

pub use crate::block::{BlockRead, DiskError, Extent};
pub use crate::filesystem::{ExtState, ExtVersion, FileKind, FileSystemKind, Room, Stat, Timestamp, Xattr};
