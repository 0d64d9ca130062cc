//! Entries of directories (Linux, `Documentation/filesystems/ext4/directory.rst`).
//!
//! Hash trees are laid out so that who does not know them sees blocks of ordinary entries; they are read that way.

use super::inode::{Inode, damaged};
use super::superblock::Superblock;
use super::checksum;
use crate::disk::DiskError;
use crate::disk::bytes::{le16, le32};

/// Entries of a directory that are read.
const MAX_ENTRIES: usize = 4 << 20;
/// Bytes of the checksum at the end of a block, which looks like an unused entry of this kind.
const TAIL: usize = 12;
const TAIL_KIND: u8 = 0xde;

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
        let length = match le16(entry, 4) {
            // The largest block's length does not fit into the field.
            0 | u16::MAX if superblock.block_size == 65536 => entry.len(),
            length => usize::from(length),
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

/// Looks at the checksum of a block, where it has one. Inner blocks of hash trees keep theirs elsewhere.
pub(super) fn check_block(inode: &Inode, block: &[u8]) -> Result<(), DiskError> {
    let Some(seed) = inode.checksum_seed else { return Ok(()) };
    let Some((body, tail)) = block.split_last_chunk::<TAIL>() else { return Ok(()) };
    let is_tail = le32(tail, 0) == 0 && le16(tail, 4) as usize == TAIL && tail[6] == 0 && tail[7] == TAIL_KIND;
    if is_tail && !checksum::fits(checksum::crc(seed, body), le32(tail, 8)) {
        return Err(damaged(inode.number, "is a directory with a wrong checksum"));
    }
    Ok(())
}
