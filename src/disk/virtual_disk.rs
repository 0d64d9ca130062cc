//! The disk in an image file, opened once for everyone who reads it.

use std::path::Path;

use super::cached::share;
use super::{
    DiskError, GrowthPlan, ImageInfo, Layout, Policy, Root, SECTOR, Tree, gate, layout, open, partition,
    system,
};
use crate::block::{Shared, lock};

/// The disk in an image that has passed the gate. Each file is opened and checked once; all that is asked of the disk is
/// read from there.
pub struct VirtualDisk {
    info: ImageInfo,
    disk: Shared,
}

impl std::fmt::Debug for VirtualDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VirtualDisk").field("info", &self.info).finish_non_exhaustive()
    }
}

impl VirtualDisk {
    /// Opens an image, through the gate.
    ///
    /// # Errors
    /// As [`gate()`](super::gate()) and [`open()`](super::open()).
    pub fn open(path: &Path, policy: &Policy) -> Result<Self, DiskError> {
        let chain = gate::chain(path, policy)?;
        Ok(Self { info: gate::info(&chain)?, disk: share(open::disk(&chain)?) })
    }

    /// What the gate learned about the image.
    pub fn info(&self) -> &ImageInfo {
        &self.info
    }

    /// Bytes of a sector, as the partition table counts them.
    ///
    /// # Errors
    /// [`DiskError`] when the image is damaged or cannot be read; likewise for all that follow.
    pub fn sector(&self) -> Result<u64, DiskError> {
        let table = partition::read_table(&mut **lock(&self.disk))?;
        Ok(table.map_or(SECTOR, |table| table.sector))
    }

    /// How it is laid out.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] for a table that makes no sense. What is wrong inside a partition is told with it.
    pub fn layout(&self) -> Result<Layout, DiskError> {
        layout::read(self.info.clone(), &self.disk)
    }

    /// The operating system on it: the ext file system that has an `os-release`, with the others mounted as its
    /// `/etc/fstab` says.
    ///
    /// # Errors
    /// As [`open_tree`](super::open_tree).
    pub fn tree(&self) -> Result<Box<dyn Tree>, DiskError> {
        system::tree_on(&self.disk)
    }

    /// Whether and how its root file system, which lies there, can be made larger.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn growth(&self, root: Root) -> Result<GrowthPlan, DiskError> {
        GrowthPlan::of(&mut **lock(&self.disk), root)
    }
}
