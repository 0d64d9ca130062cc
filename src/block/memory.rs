//! Disks in memory, for tests and fuzzers.

use std::collections::HashMap;

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

/// A disk that is told by its pieces: how many sectors it has, then the number of a sector and its 512 bytes, again and again
/// (numbers have four bytes, little-endian). All else is zeros. Fuzzers change and combine small inputs alone, and the smallest
/// Btrfs and XFS have 16 MiB.
pub(crate) struct Pieces {
    sectors: HashMap<u32, [u8; SECTOR]>,
    size: u64,
}

const SECTOR: usize = 512;
const MOST_SECTORS: u32 = 1 << 20;

impl Pieces {
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let (count, mut rest) = bytes.split_first_chunk()?;
        let count = u32::from_le_bytes(*count) % MOST_SECTORS;
        let mut sectors = HashMap::new();
        while let Some((number, after)) = rest.split_first_chunk() {
            let Some((content, after)) = after.split_first_chunk() else { break };
            sectors.insert(u32::from_le_bytes(*number) % count.max(1), *content);
            rest = after;
        }
        Some(Self { sectors, size: u64::from(count) * SECTOR as u64 })
    }

    /// What tells a disk, as `scripts/fuzz.sh` does it, too.
    #[cfg(test)]
    pub(crate) fn told(disk: &[u8]) -> Vec<u8> {
        let mut pieces = ((disk.len() / SECTOR) as u32).to_le_bytes().to_vec();
        for (number, sector) in disk.chunks_exact(SECTOR).enumerate() {
            if sector.iter().any(|byte| *byte != 0) {
                pieces.extend((number as u32).to_le_bytes());
                pieces.extend(sector);
            }
        }
        pieces
    }
}

impl BlockRead for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size, offset, buffer.len() as u64)?;
        let mut at = offset as usize;
        let mut left = buffer;
        while !left.is_empty() {
            let from = at % SECTOR;
            let length = left.len().min(SECTOR - from);
            let (part, after) = left.split_at_mut(length);
            match self.sectors.get(&((at / SECTOR) as u32)) {
                Some(sector) => part.copy_from_slice(&sector[from..from + length]),
                None => part.fill(0),
            }
            (at, left) = (at + length, after);
        }
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        Ok(Extent { length: self.size - offset, zero: false })
    }
}
