//! Which blocks of the disk hold which blocks of a file: extent trees, and the block maps of ext2 and ext3.

use std::collections::HashSet;

use super::inode::{Inode, MAP, damaged};
use super::superblock::Superblock;
use super::{Window, checksum};
use crate::block::DiskError;
use crate::block::bytes::{le16, le32};
use crate::filesystem::runs::{MAX_RUNS, Run};

/// Levels of an extent tree, as in Linux.
const MAX_DEPTH: u16 = 5;
const EXTENT_MAGIC: u16 = 0xf30a;
/// Extents longer than this are allocated but not written: they read as zeros.
const MAX_INITIALISED: u64 = 0x8000;
/// Words of a block map that are blocks themselves; three more point to maps of maps.
const DIRECT: usize = 12;

/// All blocks of a file, in order.
///
/// # Errors
/// [`DiskError::Damaged`] when the map contradicts itself, [`DiskError::Unsupported`] for a file in a million pieces.
pub(super) fn runs(
    window: &mut Window,
    superblock: &Superblock,
    inode: &Inode,
) -> Result<Vec<Run>, DiskError> {
    let mut mapper =
        Mapper { window, superblock, inode, runs: Vec::new(), seen: HashSet::new(), next: 0, mapped: 0 };
    if inode.has_extents() {
        let root = inode.map();
        let depth = le16(root, 6);
        if depth > MAX_DEPTH {
            return Err(damaged(inode.number, "has an extent tree that is too deep"));
        }
        mapper.extents(root, depth, u64::from(u32::MAX) + 1)?;
    } else {
        mapper.block_map()?;
    }
    Ok(mapper.runs)
}

struct Mapper<'a> {
    window: &'a mut Window,
    superblock: &'a Superblock,
    inode: &'a Inode,
    runs: Vec<Run>,
    /// Blocks of the map itself. None may be used twice: small images could claim endless files.
    seen: HashSet<u64>,
    /// The first block of the file that has not been mapped.
    next: u64,
    /// Blocks mapped so far. More than the file system has cannot be.
    mapped: u64,
}

impl Mapper<'_> {
    fn add(&mut self, logical: u64, physical: u64, length: u64) -> Result<(), DiskError> {
        let end = physical.checked_add(length);
        if physical == 0 || end.is_none_or(|end| end > self.superblock.blocks) {
            return Err(damaged(self.inode.number, "has blocks outside its file system"));
        }
        self.mapped += length;
        if self.mapped > self.superblock.blocks {
            return Err(damaged(self.inode.number, "uses blocks more than once"));
        }
        let is_full = self.runs.len() >= MAX_RUNS;
        match self.runs.last_mut() {
            Some(last)
                if last.logical + last.length == logical && last.physical + last.length == physical =>
            {
                last.length += length;
            }
            _ if is_full => {
                let number = self.inode.number;
                return Err(DiskError::Unsupported(format!("ext4 inode {number} is in too many pieces")));
            }
            _ => self.runs.push(Run { logical, physical, length }),
        }
        Ok(())
    }

    /// Reads a block of the map.
    fn block(&mut self, number: u64) -> Result<Vec<u8>, DiskError> {
        if number >= self.superblock.blocks || !self.seen.insert(number) {
            return Err(damaged(self.inode.number, "has a map of blocks that leads nowhere or in a circle"));
        }
        let mut block = vec![0; self.superblock.block_size as usize];
        self.window.read_exact(number * self.superblock.block_size, &mut block)?;
        Ok(block)
    }

    /// One node of an extent tree. `end` is the first block of the file that it must not reach.
    fn extents(&mut self, node: &[u8], depth: u16, end: u64) -> Result<(), DiskError> {
        let fault = |what| Err(damaged(self.inode.number, what));
        let (entries, room) = (usize::from(le16(node, 2)), usize::from(le16(node, 4)));
        if le16(node, 0) != EXTENT_MAGIC || le16(node, 6) != depth {
            return fault("has an extent tree with something else in it");
        }
        if entries > room || 12 * (room + 1) > node.len() {
            return fault("has an extent tree with more entries than fit");
        }
        let entries: Vec<&[u8]> = node.chunks_exact(12).skip(1).take(entries).collect();
        for (index, entry) in entries.iter().enumerate() {
            let logical = u64::from(le32(entry, 0));
            let limit = entries.get(index + 1).map_or(end, |next| u64::from(le32(next, 0)));
            if logical < self.next || limit > end || limit < logical {
                return Err(damaged(self.inode.number, "has extents that overlap"));
            }
            if depth > 0 {
                self.next = logical;
                self.child(entry, depth - 1, limit)?;
                continue;
            }
            let stored = u64::from(le16(entry, 4));
            let is_written = stored <= MAX_INITIALISED;
            let length = if is_written { stored } else { stored - MAX_INITIALISED };
            if length == 0 || logical + length > limit {
                return Err(damaged(self.inode.number, "has extents that overlap"));
            }
            self.next = logical + length;
            if is_written {
                let physical = u64::from(le16(entry, 6)) << 32 | u64::from(le32(entry, 8));
                self.add(logical, physical, length)?;
            }
        }
        Ok(())
    }

    fn child(&mut self, entry: &[u8], depth: u16, limit: u64) -> Result<(), DiskError> {
        let at = u64::from(le16(entry, 8)) << 32 | u64::from(le32(entry, 4));
        let block = self.block(at)?;
        if let Some(seed) = self.inode.checksum_seed {
            // Behind the room for entries, which need not be full.
            let tail = 12 * (usize::from(le16(&block, 4)) + 1);
            let body = block.get(..tail).unwrap_or_default();
            if !checksum::fits(checksum::crc(seed, body), le32(&block, tail)) {
                return Err(damaged(self.inode.number, "has an extent tree with a wrong checksum"));
            }
        }
        self.extents(&block, depth, limit)
    }

    fn block_map(&mut self) -> Result<(), DiskError> {
        let words = words(self.inode.map());
        for (index, word) in words.iter().take(DIRECT).enumerate() {
            if *word != 0 {
                self.add(index as u64, *word, 1)?;
            }
        }
        let per_block = self.superblock.block_size / 4;
        let mut logical = DIRECT as u64;
        for (depth, word) in (1..).zip(&words[DIRECT..MAP / 4]) {
            let span = per_block.pow(depth);
            if *word != 0 {
                self.indirect(*word, depth, logical)?;
            }
            logical += span;
        }
        Ok(())
    }

    fn indirect(&mut self, block: u64, depth: u32, first: u64) -> Result<(), DiskError> {
        let span = (self.superblock.block_size / 4).pow(depth - 1);
        let block = self.block(block)?;
        for (logical, word) in (0..).map(|index| first + index * span).zip(words(&block)) {
            match (word, depth) {
                (0, _) => {}
                (word, 1) => self.add(logical, word, 1)?,
                (word, _) => self.indirect(word, depth - 1, logical)?,
            }
        }
        Ok(())
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_le_bytes(*word))).collect()
}
