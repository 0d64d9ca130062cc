//! A disk in memory, for tests and fuzzers.

use super::{BlockRead, DiskError, Extent, check_range};

/// A disk in memory. Nothing of it is known to be zero without being read.
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl BlockRead for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len() as u64)?;
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        Ok(Extent { length: self.size() - offset, zero: false })
    }
}
