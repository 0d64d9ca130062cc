//! Checksums: of tree blocks and the superblock in their first 32 bytes, of data in a tree of their own.

use blake2::Blake2b;
use blake2::digest::consts::U32;
use blake2::digest::{Digest as _, FixedOutput as _};
use sha2::Sha256;
use xxhash_rust::xxh64::xxh64;

/// Bytes in front of a block that are kept for its checksum, whatever its length.
pub(super) const FIELD: usize = 32;

/// How a file system computes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksum {
    Crc32c,
    Xxhash64,
    Sha256,
    Blake2b,
    /// They are not looked at: a fuzzer could never make a right one.
    Ignored {
        /// Bytes of each.
        length: usize,
    },
}

impl Checksum {
    /// By the number that stands for it in the superblock.
    pub(super) fn of(number: u16) -> Option<Self> {
        [Self::Crc32c, Self::Xxhash64, Self::Sha256, Self::Blake2b].get(usize::from(number)).copied()
    }

    /// One of the same length that is not looked at.
    pub(super) fn ignored(self) -> Self {
        Self::Ignored { length: self.length() }
    }

    /// Bytes of each.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Crc32c => 4,
            Self::Xxhash64 => 8,
            Self::Sha256 | Self::Blake2b => 32,
            Self::Ignored { length } => length,
        }
    }

    /// Whether `stored` begins with the checksum of `bytes`.
    pub(super) fn fits(self, bytes: &[u8], stored: &[u8]) -> bool {
        match self {
            Self::Crc32c => stored.starts_with(&crc32c::crc32c(bytes).to_le_bytes()),
            Self::Xxhash64 => stored.starts_with(&xxh64(bytes, 0).to_le_bytes()),
            Self::Sha256 => stored.starts_with(&sha2::Digest::finalize(sha256(bytes))),
            Self::Blake2b => stored.starts_with(&Blake2b::<U32>::new_with_prefix(bytes).finalize_fixed()),
            Self::Ignored { .. } => true,
        }
    }

    /// Whether a block that begins with its own checksum is as it was written.
    pub(super) fn fits_block(self, block: &[u8]) -> bool {
        block.split_at_checked(FIELD).is_some_and(|(stored, rest)| self.fits(rest, stored))
    }
}

fn sha256(bytes: &[u8]) -> Sha256 {
    sha2::Digest::new_with_prefix(bytes)
}

/// The number by which a directory finds a name: CRC-32C, seeded, and not inverted at the end.
pub(super) fn name_hash(name: &[u8]) -> u64 {
    u64::from(!crc32c::crc32c_append(1, name))
}
