//! A disk as bytes at places, wherever they come from, and what can be wrong with an image.
//!
//! What reads a disk (file systems, volumes, partition tables) needs no more than this; what is below it (qcow2, raw files)
//! offers no less.

pub(crate) mod bytes;
mod error;
#[cfg(any(test, fuzzing, debug_assertions))]
mod memory;
pub(crate) mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use error::DiskError;
pub(crate) use error::{IS_DIRECTORY, TOO_MANY_LINKS};
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) use memory::{Memory, Pieces};

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

/// A disk that several readers read from.
pub(crate) type Shared = Arc<Mutex<Box<dyn BlockRead>>>;

/// The disk, for one who reads from it now.
pub(crate) fn lock(disk: &Shared) -> MutexGuard<'_, Box<dyn BlockRead>> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error for an access that reaches past the end of a virtual disk.
pub(crate) fn check_range(size: u64, offset: u64, length: u64) -> Result<(), DiskError> {
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(DiskError::Damaged(format!(
            "{length} bytes at {offset} reach past the end of the disk ({size} bytes)"
        )));
    }
    Ok(())
}
