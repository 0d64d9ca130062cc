//! Entries of directories (`fs/xfs/libxfs/xfs_da_format.h` in Linux).
//!
//! A small directory lies in its inode; of others only the blocks of entries are read. Behind these, from 32 GiB on, lie the
//! hash table and its tree, which only help to find names.

use super::inode::Inode;
use super::marks::{ENTRIES, damaged};
use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::{be16, be32, be64};
use crate::filesystem::inodes::Named;

/// Entries of a directory that are read, and bytes of blocks.
const MAX_ENTRIES: usize = 4 << 20;
const MAX_BYTES: u64 = 256 << 20;
/// Where the hash table begins, in bytes.
pub(super) const TABLE: u64 = 32 << 30;
/// What blocks begin with: entries alone, and those that have all of their directory in them, in versions 4 and 5.
const DATA: [u32; 2] = [0x5844_3244, 0x5844_4433];
const WHOLE: [u32; 2] = [0x5844_3242, 0x5844_4233];
/// Bytes before the first entry, in versions 4 and 5.
const HEADER: [usize; 2] = [16, 64];
/// What stretches without an entry begin with.
const UNUSED: u16 = 0xffff;

/// Names and inodes, so far.
pub(super) struct Entries<'a> {
    superblock: &'a Superblock,
    inode: u64,
    found: Vec<Named>,
    /// Bytes of blocks read.
    read: u64,
}

impl<'a> Entries<'a> {
    pub(super) fn new(superblock: &'a Superblock, inode: u64) -> Self {
        Self { superblock, inode, found: Vec::new(), read: 0 }
    }

    pub(super) fn into_inner(self) -> Vec<Named> {
        self.found
    }

    fn fault<T>(&self, what: &str) -> Result<T, DiskError> {
        Err(damaged(self.inode, &format!("is a directory with {what}")))
    }

    /// Adds what lies in the inode itself.
    pub(super) fn add_local(&mut self, inode: &Inode) -> Result<(), DiskError> {
        let bytes = inode.content().bytes;
        let Some(mut rest) = usize::try_from(inode.size).ok().and_then(|size| bytes.get(..size)) else {
            return self.fault("more in it than fits");
        };
        let [count, large, ..] = *rest else { return self.fault("nothing in it") };
        // All numbers of inodes are of the size that the largest needs.
        let number = if large > 0 { 8 } else { 4 };
        // Behind the numbers of entries comes that of the parent.
        rest = rest.get(2 + number..).unwrap_or_default();
        for _ in 0..count {
            let length = usize::from(rest.first().copied().unwrap_or_default());
            let end = 3 + length + usize::from(self.superblock.file_type);
            let (Some(name), Some(target)) = (rest.get(3..3 + length), rest.get(end..end + number)) else {
                return self.fault("an entry that is cut off");
            };
            let target = if large > 0 { be64(target, 0) } else { be32(target, 0).into() };
            self.add(name, target)?;
            rest = &rest[end + number..];
        }
        if rest.is_empty() { Ok(()) } else { self.fault("something behind its last entry") }
    }

    /// Adds what lies in a block, which begins at byte `at` of the file system. `is_only` says that there is no other.
    pub(super) fn add_block(&mut self, block: &[u8], at: u64, is_only: bool) -> Result<(), DiskError> {
        self.read += block.len() as u64;
        if self.read > MAX_BYTES {
            return self.fault("more blocks than tib reads");
        }
        let version = usize::from(self.superblock.has_checksums);
        let end = match be32(block, 0) {
            magic if magic == DATA[version] => block.len(),
            // The hash table is at the end of the block; the number of its entries is behind it.
            magic if magic == WHOLE[version] && is_only => {
                let table = 8 * (1 + be32(block, block.len().saturating_sub(8)) as usize);
                block.len().saturating_sub(table)
            }
            _ => return self.fault("a block that is something else"),
        };
        ENTRIES.check(self.superblock, self.inode, block, at, "is a directory with a block")?;
        let mut start = HEADER[version];
        while start < end {
            start += self.add_entry(&block[..end], start)?;
        }
        if start == end { Ok(()) } else { self.fault("a table of names that is too large") }
    }

    /// Adds the entry at `start`, if it is one, and says how long it is.
    fn add_entry(&mut self, block: &[u8], start: usize) -> Result<usize, DiskError> {
        let entry = &block[start..];
        let is_unused = be16(entry, 0) == UNUSED;
        let name = usize::from(entry.get(8).copied().unwrap_or_default());
        let length = if is_unused {
            usize::from(be16(entry, 2))
        } else {
            (9 + name + usize::from(self.superblock.file_type) + 2).next_multiple_of(8)
        };
        if length == 0 || length % 8 != 0 || length > entry.len() {
            return self.fault("an entry of an impossible length");
        }
        // Each ends with its place in the block.
        if usize::from(be16(entry, length - 2)) != start {
            return self.fault("an entry that is not where it says");
        }
        if !is_unused {
            self.add(&entry[9..9 + name], be64(entry, 0))?;
        }
        Ok(length)
    }

    fn add(&mut self, name: &[u8], target: u64) -> Result<(), DiskError> {
        if name == b"." || name == b".." {
            return Ok(());
        }
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            return self.fault("an impossible name in it");
        }
        if self.found.len() >= MAX_ENTRIES {
            return self.fault("more entries than tib reads");
        }
        self.found.push((name.into(), target));
        Ok(())
    }
}
