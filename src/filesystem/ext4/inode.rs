//! One inode (Linux, `Documentation/filesystems/ext4/inodes.rst`).

use super::checksum;
use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::{le16, le32};
use crate::filesystem::{FileKind, Stat, Timestamp};

const ENCRYPTED: u32 = 0x800;
const HASH_TREE: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const BLOCKS_ARE_BLOCKS: u32 = 0x4_0000;
const VALUE_OF_XATTR: u32 = 0x20_0000;
const INLINE_DATA: u32 = 0x1000_0000;
/// Bytes of an inode that every version of the file system has.
const OLD_SIZE: usize = 128;
/// Bytes of the block map, or of what is kept in its place.
pub(super) const MAP: usize = 60;

/// An inode, as it is on the disk.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) number: u64,
    pub(super) kind: FileKind,
    pub(super) size: u64,
    flags: u32,
    /// Number of 512-byte sectors of disk, or of bytes' worth of blocks; see `allocated`.
    allocated: u64,
    /// The block that holds extended attributes; 0 for none.
    pub(super) xattr_block: u64,
    /// Seed of the checksums of this inode's own blocks; `None` when metadata has none.
    pub(super) checksum_seed: Option<u32>,
    raw: Vec<u8>,
}

impl Inode {
    /// Takes the bytes of an inode apart.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] for a wrong checksum, or when nothing is there.
    pub(super) fn parse(superblock: &Superblock, number: u64, raw: Vec<u8>) -> Result<Self, DiskError> {
        let mode = le16(&raw, 0);
        let kind = match mode >> 12 {
            0x1 => FileKind::Fifo,
            0x2 => FileKind::Character,
            0x4 => FileKind::Directory,
            0x6 => FileKind::Block,
            0x8 => FileKind::File,
            0xa => FileKind::Symlink,
            0xc => FileKind::Socket,
            _ => return Err(damaged(number, "is not in use, or is of no known kind")),
        };
        let checksum_seed = superblock.checksum_seed.map(|seed| own_seed(seed, number, &raw));
        let mut inode = Self {
            number,
            kind,
            size: u64::from(le32(&raw, 4)),
            flags: le32(&raw, 0x20),
            allocated: 0,
            xattr_block: u64::from(le32(&raw, 0x68)) | u64::from(le16(&raw, 0x76)) << 32,
            checksum_seed,
            raw,
        };
        inode.check()?;
        let has_high_size = match kind {
            FileKind::File => true,
            FileKind::Directory => superblock.large_directories,
            _ => false,
        };
        if has_high_size {
            inode.size |= u64::from(le32(&inode.raw, 0x6c)) << 32;
        }
        if inode.size > i64::MAX.unsigned_abs() {
            return Err(damaged(number, "claims an impossible size"));
        }
        let mut sectors = u64::from(le32(&inode.raw, 0x1c));
        if superblock.huge_file {
            sectors |= u64::from(le16(&inode.raw, 0x74)) << 32;
        }
        let unit = if superblock.huge_file && inode.flags & BLOCKS_ARE_BLOCKS != 0 {
            superblock.block_size
        } else {
            512
        };
        inode.allocated = sectors.saturating_mul(unit);
        Ok(inode)
    }

    fn check(&self) -> Result<(), DiskError> {
        let Some(seed) = self.checksum_seed else { return Ok(()) };
        let has_high = self.extra().is_some_and(|extra| extra >= 4);
        let mut copy = self.raw.clone();
        let mut stored = u32::from(le16(&copy, 0x7c));
        copy[0x7c..0x7e].fill(0);
        let mut computed = checksum::crc(seed, &copy[..OLD_SIZE]);
        if has_high {
            stored |= u32::from(le16(&copy, 0x82)) << 16;
            copy[0x82..0x84].fill(0);
        }
        computed = checksum::crc(computed, &copy[OLD_SIZE..]);
        if !has_high {
            computed &= 0xffff;
        }
        if checksum::fits(computed, stored) {
            Ok(())
        } else {
            Err(damaged(self.number, "has a wrong checksum"))
        }
    }

    /// Bytes in use behind the first 128, if there are any.
    fn extra(&self) -> Option<usize> {
        (self.raw.len() > OLD_SIZE).then(|| usize::from(le16(&self.raw, OLD_SIZE)))
    }

    /// The block map, the root of the extent tree, the target of a short link, or a file's first bytes.
    pub(super) fn map(&self) -> &[u8] {
        self.raw.get(0x28..0x28 + MAP).unwrap_or_default()
    }

    /// Where extended attributes in the inode itself begin, magic number included. Empty where there are none.
    pub(super) fn xattrs(&self) -> &[u8] {
        let start = self.extra().map(|extra| OLD_SIZE + extra);
        start.and_then(|start| self.raw.get(start..)).unwrap_or_default()
    }

    pub(super) fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    pub(super) fn has_hash_tree(&self) -> bool {
        self.flags & HASH_TREE != 0
    }

    pub(super) fn is_inline(&self) -> bool {
        self.flags & INLINE_DATA != 0
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }

    pub(super) fn is_xattr_value(&self) -> bool {
        self.flags & VALUE_OF_XATTR != 0
    }

    /// Whether a link's target is in the map: it has no blocks but perhaps that of its attributes.
    pub(super) fn is_short_link(&self, superblock: &Superblock) -> bool {
        if superblock.ea_inode {
            return self.size < MAP as u64;
        }
        let attributes = if self.xattr_block == 0 { 0 } else { superblock.block_size };
        self.allocated == attributes
    }

    /// The number of a device: the old form in the first word of the map, the new one in the second.
    fn special(&self) -> (u32, u32) {
        if !matches!(self.kind, FileKind::Block | FileKind::Character) {
            return (0, 0);
        }
        match (le32(self.map(), 0), le32(self.map(), 4)) {
            (0, new) => ((new & 0xf_ff00) >> 8, (new & 0xff) | ((new >> 12) & 0xf_ff00)),
            (old, _) => ((old >> 8) & 0xff, old & 0xff),
        }
    }

    /// A time: its seconds are at `at`, and its further bits at `extra` if the inode goes as far.
    fn time(&self, at: usize, extra: usize) -> Timestamp {
        let seconds = i64::from(le32(&self.raw, at).cast_signed());
        let end = self.extra().map_or(0, |used| OLD_SIZE + used);
        let further = if extra + 4 <= end { le32(&self.raw, extra) } else { 0 };
        // Two bits more for the seconds, thirty for the nanoseconds.
        Timestamp {
            seconds: seconds + (i64::from(further & 3) << 32),
            nanoseconds: (further >> 2).min(999_999_999),
        }
    }

    pub(super) fn stat(&self) -> Stat {
        Stat {
            kind: self.kind,
            mode: u32::from(le16(&self.raw, 0)) & 0o7777,
            uid: u32::from(le16(&self.raw, 2)) | u32::from(le16(&self.raw, 0x78)) << 16,
            gid: u32::from(le16(&self.raw, 0x18)) | u32::from(le16(&self.raw, 0x7a)) << 16,
            size: self.size,
            allocated: self.allocated,
            links: u32::from(le16(&self.raw, 0x1a)),
            inode: self.number,
            device: 0,
            special: self.special(),
            accessed: self.time(0x8, 0x8c),
            modified: self.time(0x10, 0x88),
            changed: self.time(0xc, 0x84),
        }
    }
}

/// Checksums of an inode and of its blocks start with its number and generation.
fn own_seed(seed: u32, number: u64, raw: &[u8]) -> u32 {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    checksum::crc(checksum::crc(seed, &number.to_le_bytes()), raw.get(0x64..0x68).unwrap_or_default())
}

pub(super) fn damaged(inode: u64, what: &str) -> DiskError {
    DiskError::Damaged(format!("ext4 inode {inode} {what}"))
}
