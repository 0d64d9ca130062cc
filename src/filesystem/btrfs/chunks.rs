//! Where the bytes of the file system lie: its addresses are its own, and chunks of them are somewhere on the device.

use super::superblock::{Superblock, damaged, unsupported};
use crate::block::DiskError;
use crate::block::bytes::{le16, le64};

/// Bytes of a key in front of a chunk, of a chunk without its stripes, and of a stripe.
const KEY: usize = 17;
const ITEM: usize = 48;
const STRIPE: usize = 32;
/// Which profiles a chunk can have: all bits of these are for copies and stripes.
const PROFILES: u64 = 0x7f8;
const DUPLICATE: u64 = 1 << 5;
const MAX_CHUNKS: usize = 1 << 20;
/// The kind of key that chunks have.
pub(super) const CHUNK: u8 = 228;

/// A stretch of addresses, and where each copy of it begins on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk {
    start: u64,
    end: u64,
    copies: Vec<u64>,
}

/// All chunks, sorted.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunks(Vec<Chunk>);

impl Chunks {
    /// The chunks that the superblock itself holds.
    pub(super) fn of_superblock(superblock: &Superblock) -> Result<Self, DiskError> {
        let mut chunks = Self::default();
        let mut rest = superblock.chunks.as_slice();
        while !rest.is_empty() {
            let Some((key, item)) = rest.split_at_checked(KEY) else { return Err(fault()) };
            let length = ITEM + STRIPE * usize::from(le16(item, 44));
            let Some((item, after)) = item.split_at_checked(length) else { return Err(fault()) };
            if key[8] != CHUNK {
                return Err(fault());
            }
            chunks.add(superblock, le64(key, 9), item)?;
            rest = after;
        }
        chunks.sorted()
    }

    /// Adds a chunk that begins at the address `start`.
    pub(super) fn add(&mut self, superblock: &Superblock, start: u64, item: &[u8]) -> Result<(), DiskError> {
        let end = start.checked_add(le64(item, 0)).filter(|end| *end > start).ok_or_else(fault)?;
        let profile = le64(item, 24) & PROFILES;
        let stripes = usize::from(le16(item, 44));
        let expected = match profile {
            0 => 1,
            DUPLICATE => 2,
            _ => return Err(unsupported("has chunks in a RAID")),
        };
        if stripes != expected || item.len() != ITEM + STRIPE * stripes || self.0.len() >= MAX_CHUNKS {
            return Err(fault());
        }
        let stripes = item[ITEM..].as_chunks::<STRIPE>().0;
        if stripes.iter().any(|stripe| le64(stripe, 0) != superblock.device) {
            return Err(unsupported("has chunks on another device"));
        }
        let copies = stripes.iter().map(|stripe| le64(stripe, 8)).collect();
        self.0.push(Chunk { start, end, copies });
        Ok(())
    }

    /// The same in order, if no two of them overlap.
    pub(super) fn sorted(mut self) -> Result<Self, DiskError> {
        self.0.sort_unstable_by_key(|chunk| chunk.start);
        let overlap = self.0.windows(2).any(|pair| pair[0].end > pair[1].start);
        if overlap { Err(damaged("has chunks that overlap")) } else { Ok(self) }
    }

    /// Where the copies of `length` bytes at an address are on the device. `None` if not all of them are in one chunk.
    pub(super) fn places(&self, at: u64, length: u64) -> Option<Vec<u64>> {
        let index = self.0.partition_point(|chunk| chunk.start <= at).checked_sub(1)?;
        let chunk = self.0.get(index)?;
        let end = at.checked_add(length)?;
        if end > chunk.end {
            return None;
        }
        chunk.copies.iter().map(|copy| copy.checked_add(at - chunk.start)).collect()
    }
}

fn fault() -> DiskError {
    damaged("has a chunk that makes no sense")
}
