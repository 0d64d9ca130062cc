//! Which blocks of the disk hold which blocks of a fork: lists of extents and trees of them (`xfs_bmbt_rec` and
//! `xfs_btree_block` in Linux' `fs/xfs/libxfs/xfs_format.h`).

use std::collections::HashSet;

use super::inode::{Fork, Form};
use super::marks::{TREE, damaged};
use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::{be16, be32, be64};
use crate::block::window::Window;
use crate::filesystem::runs::{MAX_RUNS, Run};

/// Levels of a tree, as in Linux.
const MAX_LEVELS: u16 = 9;
/// What blocks of a tree begin with, and bytes before their entries: in version 4, and in version 5.
const MAGIC: u32 = 0x424d_4150;
const HEADER: usize = 24;
const MAGIC_V5: u32 = 0x424d_4133;
const HEADER_V5: usize = 72;
/// Bytes before the entries of the root, which lies in the inode.
const ROOT_HEADER: usize = 4;
/// Bytes of an extent; those of a key and a pointer of a node.
const EXTENT: usize = 16;

/// What is known about the blocks of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The content of a file, which may have blocks that were never written. They read as zeros, as holes do.
    File,
    /// What the file system itself wrote.
    Metadata,
}

/// All blocks of a fork of inode `owner`, in order.
///
/// # Errors
/// [`DiskError::Damaged`] when the map contradicts itself, [`DiskError::Unsupported`] for a fork in a million pieces.
pub(super) fn runs(
    window: &mut Window,
    superblock: &Superblock,
    owner: u64,
    fork: Fork<'_>,
    kind: Kind,
) -> Result<Vec<Run>, DiskError> {
    let mut mapper = Mapper {
        window,
        superblock,
        owner,
        kind,
        runs: Vec::new(),
        seen: HashSet::new(),
        next: 0,
        mapped: 0,
        extents: 0,
    };
    match fork.form {
        Form::Extents => {
            let length = usize::try_from(fork.extents).ok().and_then(|count| count.checked_mul(EXTENT));
            let Some(list) = length.and_then(|length| fork.bytes.get(..length)) else {
                return Err(damaged(owner, "has more extents than fit"));
            };
            mapper.list(list)?;
        }
        Form::Tree => {
            let level = be16(fork.bytes, 0);
            if !(1..=MAX_LEVELS).contains(&level) {
                return Err(damaged(owner, "has a tree of extents of an impossible height"));
            }
            mapper.node(fork.bytes, ROOT_HEADER, be16(fork.bytes, 2), level)?;
        }
        Form::Device | Form::Local => return Err(damaged(owner, "has no blocks where it should have some")),
    }
    if mapper.extents != fork.extents {
        return Err(damaged(owner, "has another number of extents than it says"));
    }
    Ok(mapper.runs)
}

struct Mapper<'a> {
    window: &'a mut Window,
    superblock: &'a Superblock,
    owner: u64,
    kind: Kind,
    runs: Vec<Run>,
    /// Blocks of the tree itself. None may be used twice: small images could claim endless files.
    seen: HashSet<u64>,
    /// The first block of the fork that has not been mapped.
    next: u64,
    /// Blocks mapped so far. More than the file system has cannot be, unless blocks are shared.
    mapped: u64,
    /// Extents met so far.
    extents: u64,
}

impl Mapper<'_> {
    /// Extents, one behind the other.
    fn list(&mut self, list: &[u8]) -> Result<(), DiskError> {
        for extent in list.as_chunks::<EXTENT>().0 {
            let fields = u128::from_be_bytes(*extent);
            // From the top: one bit, 54, 52 and 21.
            let is_unwritten = fields >> 127 == 1;
            let logical = (fields >> 73) as u64 & ((1 << 54) - 1);
            let block = (fields >> 21) as u64 & ((1 << 52) - 1);
            let length = fields as u64 & ((1 << 21) - 1);
            if logical < self.next || length == 0 {
                return Err(damaged(self.owner, "has extents that overlap"));
            }
            self.next = logical + length;
            if self.next > i64::MAX.unsigned_abs() >> self.superblock.block_log {
                return Err(damaged(self.owner, "has extents beyond the end of any file"));
            }
            let Some(physical) = self.superblock.block(block, length).filter(|physical| *physical > 0) else {
                return Err(damaged(self.owner, "has blocks outside its file system"));
            };
            self.extents += 1;
            self.add(Run { logical, physical, length }, is_unwritten)?;
        }
        Ok(())
    }

    fn add(&mut self, run: Run, is_unwritten: bool) -> Result<(), DiskError> {
        self.mapped += run.length;
        if self.mapped > self.superblock.blocks && !(self.superblock.shares_blocks && self.kind == Kind::File)
        {
            return Err(damaged(self.owner, "uses blocks more than once"));
        }
        if is_unwritten {
            return match self.kind {
                Kind::File => Ok(()),
                Kind::Metadata => Err(damaged(self.owner, "has blocks that were never written")),
            };
        }
        let is_full = self.runs.len() >= MAX_RUNS;
        match self.runs.last_mut() {
            Some(last)
                if last.logical + last.length == run.logical
                    && last.physical + last.length == run.physical =>
            {
                last.length += run.length;
            }
            _ if is_full => {
                return Err(DiskError::Unsupported(format!(
                    "XFS inode {} is in too many pieces",
                    self.owner
                )));
            }
            _ => self.runs.push(run),
        }
        Ok(())
    }

    /// A node of the tree, whose `count` keys and pointers lie in two rows behind `header` bytes. The rows have room for
    /// as many as would fit.
    fn node(&mut self, node: &[u8], header: usize, count: u16, level: u16) -> Result<(), DiskError> {
        let row = node.len().saturating_sub(header) / EXTENT * 8;
        let (keys, pointers) =
            node.get(header..).unwrap_or_default().split_at_checked(row).unwrap_or_default();
        if usize::from(count) > row / 8 || count == 0 {
            return Err(damaged(self.owner, "has a tree of extents with more entries than fit, or none"));
        }
        for index in 0..usize::from(count) {
            if be64(keys, 8 * index) < self.next {
                return Err(damaged(self.owner, "has extents that overlap"));
            }
            self.child(be64(pointers, 8 * index), level - 1)?;
        }
        Ok(())
    }

    fn child(&mut self, number: u64, level: u16) -> Result<(), DiskError> {
        let place = self.superblock.block(number, 1).filter(|place| self.seen.insert(*place));
        let Some(place) = place else {
            return Err(damaged(self.owner, "has a tree of extents that leads nowhere or in a circle"));
        };
        let at = place << self.superblock.block_log;
        let mut block = vec![0; self.superblock.block_size as usize];
        self.window.read_exact(at, &mut block)?;
        let (magic, header) =
            if self.superblock.has_checksums { (MAGIC_V5, HEADER_V5) } else { (MAGIC, HEADER) };
        if be32(&block, 0) != magic || be16(&block, 4) != level {
            return Err(damaged(self.owner, "has a tree of extents with something else in it"));
        }
        TREE.check(self.superblock, self.owner, &block, at, "has a tree of extents")?;
        let count = be16(&block, 6);
        if level > 0 {
            return self.node(&block, header, count, level);
        }
        match block.get(header..header + EXTENT * usize::from(count)) {
            Some(list) => self.list(list),
            None => Err(damaged(self.owner, "has a tree of extents with more entries than fit, or none")),
        }
    }
}
