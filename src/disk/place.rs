//! Where a file system lies on a disk.

use std::sync::Arc;

use super::lvm::{self, LogicalVolume};
use super::{DiskError, RootPlace, partition};
use crate::block::Shared;

/// A partition or a logical volume.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// By its number; 0 for the whole of a disk without partitions.
    Partition(u32),
    Logical(Arc<LogicalVolume>),
}

impl Place {
    /// The disk on which the bytes of what is there are found: a logical volume is one of its own.
    ///
    /// # Errors
    /// [`DiskError::Unsupported`] for a logical volume that tib does not put together. The text goes on after its name.
    pub(super) fn disk(&self, disk: &Shared) -> Result<Shared, DiskError> {
        match self {
            Self::Partition(_) => Ok(Arc::clone(disk)),
            Self::Logical(volume) => match &volume.map {
                Ok(map) => Ok(lvm::view(disk, map)),
                Err(reason) => Err(DiskError::Unsupported(reason.clone())),
            },
        }
    }

    pub(super) fn root(&self) -> RootPlace {
        match self {
            Self::Partition(number) => RootPlace::Partition(*number),
            Self::Logical(_) => RootPlace::LogicalVolume,
        }
    }
}

/// As people call it, such as `partition 2`.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Partition(number) => f.write_str(&partition::place(*number)),
            Self::Logical(volume) => volume.fmt(f),
        }
    }
}
