//! CRC-32C as XFS uses it.

use crate::block::bytes::le32;

/// Whether the checksum of a block fits, which lies at `at` in it and counts as zeros.
pub(super) fn fits(block: &[u8], at: usize) -> bool {
    block.get(at + 4..).is_some_and(|rest| {
        let head = crc32c::crc32c_append(crc32c::crc32c(&block[..at]), &[0; 4]);
        crc32c::crc32c_append(head, rest) == le32(block, at)
    })
}
