//! Blocks of the B-trees (`btrfs_header`, `btrfs_node`, `btrfs_leaf`), all of which is checked before it is used.

use super::superblock::{Root, SECTOR, Superblock};
use crate::block::bytes::{le32, le64};

const HEADER: usize = 101;
const KEY: usize = 17;
/// Bytes of a key with the place of its item's data, and of a key with that of a block.
const ITEM: usize = 25;
const POINTER: usize = 33;

/// What an item is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The inode, or whatever else the item is about.
    pub(super) object: u64,
    /// What the item says of it.
    pub(super) kind: u8,
    pub(super) offset: u64,
}

impl Key {
    pub(super) const MIN: Self = Self::new(0, 0, 0);
    pub(super) const MAX: Self = Self::new(u64::MAX, u8::MAX, u64::MAX);

    pub(super) const fn new(object: u64, kind: u8, offset: u64) -> Self {
        Self { object, kind, offset }
    }

    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self::new(le64(bytes, 0), bytes.get(8).copied().unwrap_or(0), le64(bytes, 9))
    }

    /// The least key above this one.
    pub(super) fn next(self) -> Option<Self> {
        let Self { object, kind, offset } = self;
        if let Some(offset) = offset.checked_add(1) {
            return Some(Self::new(object, kind, offset));
        }
        if let Some(kind) = kind.checked_add(1) {
            return Some(Self::new(object, kind, 0));
        }
        object.checked_add(1).map(|object| Self::new(object, 0, 0))
    }
}

/// A block that makes sense.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) level: u8,
    pub(super) generation: u64,
    pub(super) count: usize,
    bytes: Vec<u8>,
}

impl Node {
    /// Looks at a block. `Err` says what is wrong with it, after "a tree block that".
    pub(super) fn parse(superblock: &Superblock, root: Root, bytes: Vec<u8>) -> Result<Self, &'static str> {
        if !superblock.checksum.fits_block(&bytes) {
            return Err("has a wrong checksum");
        }
        let level = bytes.get(100).copied().unwrap_or(u8::MAX);
        let (at, generation) = (le64(&bytes, 0x30), le64(&bytes, 0x50));
        if bytes.get(0x20..0x30) != Some(&superblock.fsid) || at != root.at {
            return Err("belongs somewhere else");
        }
        if level != root.level || generation != root.generation {
            return Err("is older or younger than what points to it");
        }
        let count = le32(&bytes, 0x60) as usize;
        let size = if level == 0 { ITEM } else { POINTER };
        if count > bytes.len().saturating_sub(HEADER) / size || level > 0 && count == 0 {
            return Err("claims more entries than fit, or has none");
        }
        let node = Self { level, generation, count, bytes };
        node.check()?;
        Ok(node)
    }

    fn check(&self) -> Result<(), &'static str> {
        if (1..self.count).any(|index| self.key(index - 1) >= self.key(index)) {
            return Err("has keys in the wrong order");
        }
        if self.level > 0 {
            let is_odd = |index| !self.child(index).at.is_multiple_of(SECTOR);
            return if (0..self.count).any(is_odd) { Err("points to no block") } else { Ok(()) };
        }
        // Data is put down from the end, one behind the other, towards the keys.
        let mut end = self.bytes.len();
        for index in 0..self.count {
            let (start, length) = self.place(index);
            if start.checked_add(length) != Some(end) {
                return Err("has items that overlap");
            }
            end = start;
        }
        if end < HEADER + ITEM * self.count { Err("has items that overlap") } else { Ok(()) }
    }

    fn entry(&self, index: usize) -> &[u8] {
        let size = if self.level == 0 { ITEM } else { POINTER };
        self.bytes.get(HEADER + size * index..).unwrap_or_default()
    }

    /// Where the data of an item begins in the block, and its length.
    fn place(&self, index: usize) -> (usize, usize) {
        let entry = self.entry(index);
        (HEADER.saturating_add(le32(entry, KEY) as usize), le32(entry, KEY + 4) as usize)
    }

    pub(super) fn key(&self, index: usize) -> Key {
        Key::parse(self.entry(index))
    }

    /// The data of an item of a leaf.
    pub(super) fn data(&self, index: usize) -> &[u8] {
        let (start, length) = self.place(index);
        self.bytes.get(start..).and_then(|rest| rest.get(..length)).unwrap_or_default()
    }

    /// What an entry of an inner block points to.
    pub(super) fn child(&self, index: usize) -> Root {
        let entry = self.entry(index);
        let level = self.level.saturating_sub(1);
        Root { at: le64(entry, KEY), level, generation: le64(entry, KEY + 8) }
    }

    /// How many keys come before `key`, or before it and at it.
    pub(super) fn before(&self, key: Key, or_at: bool) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.key(middle);
            if found < key || or_at && found == key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
