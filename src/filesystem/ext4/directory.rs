//! Entries of directories (Linux, `Documentation/filesystems/ext4/directory.rst`).
//!
//! Hash trees are laid out so that who does not know them sees blocks of ordinary entries; they are read that way.

use super::checksum;
use super::inode::{Inode, damaged};
use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::{le16, le32};

/// Entries of a directory that are read.
const MAX_ENTRIES: usize = 4 << 20;
/// Bytes of the checksum at the end of a block, which looks like an unused entry of this kind.
const TAIL: usize = 12;
const TAIL_KIND: u8 = 0xde;
/// Bytes of the largest block.
const LARGEST: usize = 65536;
/// Where the entries of a hash tree begin: in its root, and in its other inner blocks.
const ROOT_ENTRIES: usize = 32;
const NODE_ENTRIES: usize = 8;

/// Names and inodes, so far.
pub(super) type Entries = Vec<(Box<[u8]>, u64)>;

/// Adds what a block of a directory, or a stretch within its inode, holds.
pub(super) fn read_block(
    superblock: &Superblock,
    inode: &Inode,
    block: &[u8],
    entries: &mut Entries,
) -> Result<(), DiskError> {
    let fault = |what| Err(damaged(inode.number, what));
    let mut at = 0;
    while at < block.len() {
        let entry = &block[at..];
        if entry.len() < 8 {
            return fault("is a directory with an entry that is cut off");
        }
        let target = u64::from(le32(entry, 0));
        let length = match entry_length(entry, superblock.block_size as usize) {
            LARGEST => entry.len(),
            length => length,
        };
        let name = if superblock.file_type { usize::from(entry[6]) } else { usize::from(le16(entry, 6)) };
        if length < 8 || length % 4 != 0 || length > entry.len() || 8 + name > length {
            return fault("is a directory with an entry of an impossible length");
        }
        let name = &entry[8..8 + name];
        if target != 0 && name != b"." && name != b".." {
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return fault("is a directory with an impossible name in it");
            }
            if entries.len() >= MAX_ENTRIES {
                return fault("is a directory with more entries than tib reads");
            }
            entries.push((name.into(), target));
        }
        at += length;
    }
    Ok(())
}

/// The length of the entry that `entry` begins with. That of the largest block does not fit into the field.
fn entry_length(entry: &[u8], block_size: usize) -> usize {
    match le16(entry, 4) {
        0 | u16::MAX if block_size == LARGEST => LARGEST,
        length => usize::from(length),
    }
}

/// Looks at the checksum of a block, the first of its directory or not, where it has one.
pub(super) fn check_block(inode: &Inode, block: &[u8], is_first: bool) -> Result<(), DiskError> {
    let Some(seed) = inode.checksum_seed else { return Ok(()) };
    // Inner blocks of a hash tree keep theirs behind the room for the tree's entries. What they look like at the end
    // is what was there before.
    let is_right = if inode.has_hash_tree() && is_first {
        hash_tree_fits(seed, block, ROOT_ENTRIES)
    } else if inode.has_hash_tree() && entry_length(block, block.len()) == block.len() {
        hash_tree_fits(seed, block, NODE_ENTRIES)
    } else {
        match block.split_last_chunk::<TAIL>() {
            Some((body, tail)) if is_tail(tail) => checksum::fits(checksum::crc(seed, body), le32(tail, 8)),
            _ => true,
        }
    };
    if is_right { Ok(()) } else { Err(damaged(inode.number, "is a directory with a wrong checksum")) }
}

fn is_tail(tail: &[u8; TAIL]) -> bool {
    le32(tail, 0) == 0 && usize::from(le16(tail, 4)) == TAIL && tail[6] == 0 && tail[7] == TAIL_KIND
}

/// The checksum of an inner block covers the entries in use, and four bytes of the tail.
fn hash_tree_fits(seed: u32, block: &[u8], entries: usize) -> bool {
    let (limit, count) = (usize::from(le16(block, entries)), usize::from(le16(block, entries + 2)));
    let (used, tail) = (block.get(..entries + 8 * count), block.get(entries + 8 * limit..));
    let (Some(used), Some((reserved, tail))) = (used, tail.and_then(<[u8]>::split_first_chunk::<4>)) else {
        return false;
    };
    let sum = checksum::crc(checksum::crc(checksum::crc(seed, used), reserved), &[0; 4]);
    count <= limit && tail.len() >= 4 && checksum::fits(sum, le32(tail, 0))
}
