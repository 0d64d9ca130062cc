//! The superblock of ext2/3/4 (Linux, `Documentation/filesystems/ext4/super.rst`): geometry and features.
//!
//! What it claims is held against the size of the partition, because everything else is computed from it.

use super::checksum;
use crate::block::DiskError;
use crate::block::bytes::{le16, le32};

/// Where it lies in its partition, and how long it is.
pub(super) const OFFSET: u64 = 1024;
pub(super) const LENGTH: usize = 1024;

const MAGIC: u16 = 0xef53;
/// The journal holds changes that are not in their places yet.
const RECOVER: u32 = 0x4;
const EXTENTS: u32 = 0x40;
const WIDE: u32 = 0x80;
const META_BG: u32 = 0x10;
const FILE_TYPE: u32 = 0x2;
const EA_INODE: u32 = 0x400;
const CHECKSUM_SEED: u32 = 0x2000;
const LARGE_DIRECTORIES: u32 = 0x4000;
const INLINE_DATA: u32 = 0x8000;
/// Features that change what is on the disk and that tib reads. Multi-mount protection (0x100) and flexible
/// groups (0x200) change nothing for a reader.
const KNOWN: u32 = FILE_TYPE
    | RECOVER
    | META_BG
    | EXTENTS
    | WIDE
    | 0x100
    | 0x200
    | EA_INODE
    | CHECKSUM_SEED
    | LARGE_DIRECTORIES
    | INLINE_DATA;
/// Names for the others.
const FOREIGN: [(u32, &str); 6] = [
    (0x1, "compression"),
    (0x8, "a journal device"),
    (0x1000, "data in directory entries"),
    (0x1_0000, "encryption"),
    (0x2_0000, "names without regard to case"),
    (0x4_0000, "checksums of a kind it does not know"),
];
/// Compatible for readers: huge files, metadata checksums.
const RO_HUGE_FILE: u32 = 0x8;
const RO_METADATA_CHECKSUM: u32 = 0x400;
/// Memory that group descriptors may take up on the disk.
const MAX_DESCRIPTORS: u64 = 64 << 20;

/// What the rest of the reader needs to know.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    /// Bytes of a block.
    pub(super) block_size: u64,
    /// Blocks of the file system.
    pub(super) blocks: u64,
    pub(super) first_data_block: u64,
    pub(super) blocks_per_group: u64,
    pub(super) inodes: u64,
    pub(super) inodes_per_group: u64,
    /// Bytes of an inode on the disk.
    pub(super) inode_size: usize,
    /// Bytes of a group descriptor.
    pub(super) descriptor_size: u64,
    /// First group of descriptors that lie beside what they describe; `None` without that feature.
    pub(super) first_meta_group: Option<u64>,
    /// Seed of all checksums; `None` when metadata has none.
    pub(super) checksum_seed: Option<u32>,
    pub(super) needs_recovery: bool,
    pub(super) journal_inode: u64,
    pub(super) wide: bool,
    pub(super) file_type: bool,
    pub(super) large_directories: bool,
    pub(super) huge_file: bool,
    pub(super) ea_inode: bool,
    /// Has extents or whatever else came with ext4.
    pub(super) name: &'static str,
}

impl Superblock {
    /// Reads a superblock of a file system in `length` bytes.
    ///
    /// # Errors
    /// [`DiskError::Unsupported`] when it is none, or uses what tib does not read; [`DiskError::Damaged`].
    pub(super) fn parse(bytes: &[u8; LENGTH], length: u64) -> Result<Self, DiskError> {
        if le16(bytes, 0x38) != MAGIC {
            return Err(DiskError::Unsupported("there is no ext4 file system".to_owned()));
        }
        let fault = |what: &str| Err(DiskError::Damaged(format!("the ext4 superblock claims {what}")));
        let (compatible, incompatible, read_only) = (le32(bytes, 0x5c), le32(bytes, 0x60), le32(bytes, 0x64));
        let has_revision = le32(bytes, 0x4c) > 0;
        let incompatible = if has_revision { incompatible } else { 0 };
        if incompatible & !KNOWN != 0 {
            let names = FOREIGN.iter().filter(|(bit, _)| incompatible & bit != 0).map(|(_, name)| *name);
            let mut names = names.collect::<Vec<_>>().join(", ");
            if names.is_empty() {
                names = format!("features {:#x}", incompatible & !KNOWN);
            }
            return Err(DiskError::Unsupported(format!("the ext4 file system uses {names}")));
        }
        let log_block_size = le32(bytes, 0x18);
        if log_block_size > 6 {
            return fault("blocks larger than 64 KiB");
        }
        let block_size = 1024u64 << log_block_size;
        let wide = incompatible & WIDE != 0;
        let high = if wide { u64::from(le32(bytes, 0x150)) } else { 0 };
        let blocks = high << 32 | u64::from(le32(bytes, 0x4));
        if blocks.checked_mul(block_size).is_none_or(|size| size > length) {
            return fault("a file system larger than its partition");
        }
        let (blocks_per_group, inodes_per_group) =
            (u64::from(le32(bytes, 0x20)), u64::from(le32(bytes, 0x28)));
        if blocks_per_group == 0 || inodes_per_group == 0 {
            return fault("empty block groups");
        }
        let descriptor_size = if wide { u64::from(le16(bytes, 0xfe)) } else { 32 };
        if wide && !(64..=1024).contains(&descriptor_size) || !descriptor_size.is_power_of_two() {
            return fault("group descriptors of an impossible size");
        }
        let first_data_block = u64::from(le32(bytes, 0x14));
        let groups = blocks.saturating_sub(first_data_block).div_ceil(blocks_per_group);
        if groups * descriptor_size > MAX_DESCRIPTORS.min(length) {
            return fault("more block groups than fit");
        }
        let inode_size = if has_revision { u64::from(le16(bytes, 0x58)) } else { 128 };
        if inode_size < 128 || inode_size > block_size || !inode_size.is_power_of_two() {
            return fault("inodes of an impossible size");
        }
        let inodes = u64::from(le32(bytes, 0));
        if inodes > groups * inodes_per_group {
            return fault("more inodes than its groups hold");
        }
        let checksums = has_revision && read_only & RO_METADATA_CHECKSUM != 0;
        if checksums && !checksum::fits(checksum::crc(!0, &bytes[..0x3fc]), le32(bytes, 0x3fc)) {
            return Err(DiskError::Damaged("the checksum of the ext4 superblock is wrong".to_owned()));
        }
        let seed = match incompatible & CHECKSUM_SEED {
            0 => checksum::crc(!0, &bytes[0x68..0x78]),
            _ => le32(bytes, 0x270),
        };
        let journal = compatible & 0x4 != 0;
        Ok(Self {
            block_size,
            blocks,
            first_data_block,
            blocks_per_group,
            inodes,
            inodes_per_group,
            inode_size: inode_size as usize,
            descriptor_size,
            first_meta_group: (incompatible & META_BG != 0).then(|| u64::from(le32(bytes, 0x104))),
            checksum_seed: checksums.then_some(seed),
            needs_recovery: incompatible & RECOVER != 0,
            journal_inode: u64::from(le32(bytes, 0xe0)),
            wide,
            file_type: incompatible & FILE_TYPE != 0,
            large_directories: incompatible & LARGE_DIRECTORIES != 0,
            huge_file: has_revision && read_only & RO_HUGE_FILE != 0,
            ea_inode: incompatible & EA_INODE != 0,
            name: if incompatible & (EXTENTS | WIDE | INLINE_DATA) != 0 {
                "ext4"
            } else if journal {
                "ext3"
            } else {
                "ext2"
            },
        })
    }

    /// The group an inode belongs to, and its place in it.
    pub(super) fn locate(&self, inode: u64) -> Option<(u64, u64)> {
        let index = inode.checked_sub(1).filter(|_| inode <= self.inodes)?;
        Some((index / self.inodes_per_group, index % self.inodes_per_group))
    }

    /// Byte offset of a group's descriptor in the file system.
    pub(super) fn descriptor_offset(&self, group: u64) -> u64 {
        let per_block = self.block_size / self.descriptor_size;
        let (block, within) = (group / per_block, (group % per_block) * self.descriptor_size);
        let at = match self.first_meta_group {
            // The first group of each set of groups holds the set's descriptors, behind its copy of the superblock.
            Some(first) if block >= first => {
                let group = block * per_block;
                // The first superblock is in a block of its own that no group need count as its first.
                let extra = u64::from(group == 0 && OFFSET / self.block_size > self.first_data_block);
                let start = self.first_data_block + group * self.blocks_per_group;
                start + u64::from(self.has_superblock(group)) + extra
            }
            _ => OFFSET / self.block_size + 1 + block,
        };
        at * self.block_size + within
    }

    /// Copies lie in groups 0 and 1 and the powers of 3, 5 and 7 ("sparse_super", which every file system with
    /// meta groups has).
    fn has_superblock(&self, group: u64) -> bool {
        let is_power_of = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        group <= 1 || [3, 5, 7].into_iter().any(is_power_of)
    }

    /// Where a group's inode table begins, as its descriptor says: a block.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] when the checksum or the place is wrong.
    pub(super) fn inode_table(&self, group: u64, descriptor: &[u8]) -> Result<u64, DiskError> {
        if let Some(seed) = self.checksum_seed {
            let mut copy = descriptor.to_vec();
            copy[0x1e..0x20].fill(0);
            let group = u32::try_from(group).unwrap_or(u32::MAX);
            let sum = checksum::crc(checksum::crc(seed, &group.to_le_bytes()), &copy);
            if !checksum::fits(sum & 0xffff, u32::from(le16(descriptor, 0x1e))) {
                return Err(DiskError::Damaged(format!("the checksum of ext4 block group {group} is wrong")));
            }
        }
        let high = if self.wide { u64::from(le32(descriptor, 0x28)) } else { 0 };
        let table = high << 32 | u64::from(le32(descriptor, 0x8));
        if table == 0 || table >= self.blocks {
            return Err(DiskError::Damaged(format!(
                "the inodes of ext4 block group {group} are out of bounds"
            )));
        }
        Ok(table)
    }
}

/// Whether a journal, whose first block this is, holds nothing that has still to be written.
pub(super) fn journal_is_empty(block: &[u8]) -> bool {
    // jbd2: big-endian; magic, type of block (3 and 4: superblock), and the first block of the log at 0x1c.
    const MAGIC: [u8; 4] = [0xc0, 0x3b, 0x39, 0x98];
    let kind = u32::from_be_bytes(block.get(4..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default());
    block.starts_with(&MAGIC) && matches!(kind, 3 | 4) && le32(block, 0x1c) == 0
}
