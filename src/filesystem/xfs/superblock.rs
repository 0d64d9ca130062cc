//! The superblock (`xfs_dsb` in Linux' `fs/xfs/libxfs/xfs_format.h`): geometry and features.
//!
//! What it claims is held against the size of the partition, because everything else is computed from it.

use super::checksum;
use crate::block::DiskError;
use crate::block::bytes::{be16, be32, be64};

/// Bytes that hold all fields, whatever the size of a sector.
pub(super) const LENGTH: usize = 512;

const MAGIC: &[u8] = b"XFSB";
/// Bits of the version: directories of the second form, names without regard to case, a second word of features.
const DIRECTORIES_V2: u16 = 0x2000;
const FOLDED_NAMES: u16 = 0x4000;
const MORE_FEATURES: u16 = 0x8000;
/// Version 4: directory entries tell the kind of file.
const FILE_TYPE_V4: u32 = 0x200;
/// Version 5.
const FILE_TYPE: u32 = 0x1;
const META_UUID: u32 = 0x4;
/// Features that change what is on the disk and that tib reads, beside these two: sparse inodes (0x2), times beyond 2038
/// (0x8), large counts of extents (0x20). Exchanging ranges (0x40) changes the log only, and links to parents (0x80) are
/// attributes that nobody is shown.
const KNOWN: u32 = FILE_TYPE | 0x2 | META_UUID | 0x8 | 0x20 | 0x40 | 0x80;
/// Names for the others.
const FOREIGN: [(u32, &str); 3] =
    [(0x10, "a mark that it needs repair"), (0x100, "a directory of metadata"), (0x200, "zones")];
const READ_ONLY_REFLINK: u32 = 0x4;

/// What the rest of the reader needs to know.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    /// Bytes of a block.
    pub(super) block_size: u64,
    pub(super) block_log: u32,
    /// Blocks of the file system.
    pub(super) blocks: u64,
    /// Blocks of an allocation group; the last may have fewer.
    group_blocks: u64,
    group_log: u32,
    groups: u64,
    /// Bytes of an inode.
    pub(super) inode_size: usize,
    /// Inodes of a block.
    inodes_log: u32,
    pub(super) root: u64,
    /// Bytes of a directory's block.
    pub(super) directory_block: usize,
    /// Where the log lies, by the number of its first block, and its blocks.
    pub(super) log: (u64, u64),
    /// What every block of metadata has to bear.
    pub(super) uuid: [u8; 16],
    /// Version 5: all metadata has checksums, and says where it is and whose.
    pub(super) has_checksums: bool,
    /// Whether checksums have to be right. Nobody who tries what a damaged block does could get past them.
    pub(super) compares_checksums: bool,
    pub(super) file_type: bool,
    /// Files may share blocks, even with themselves.
    pub(super) shares_blocks: bool,
}

impl Superblock {
    /// Reads the superblock of a file system in `length` bytes, from the beginning of its first sector.
    ///
    /// # Errors
    /// [`DiskError::Unsupported`] when it is none, or uses what tib does not read; [`DiskError::Damaged`].
    pub(super) fn parse(bytes: &[u8; LENGTH], length: u64) -> Result<Self, DiskError> {
        if !bytes.starts_with(MAGIC) {
            return Err(DiskError::Unsupported("there is no XFS file system".to_owned()));
        }
        let version = be16(bytes, 100);
        let has_checksums = match (version & 0xf, version & DIRECTORIES_V2) {
            (4, DIRECTORIES_V2) => false,
            (5, _) => true,
            (other, _) => {
                return Err(DiskError::Unsupported(format!(
                    "the XFS file system is of version {other}, or of its first years"
                )));
            }
        };
        let more = if version & MORE_FEATURES == 0 { 0 } else { be32(bytes, 200) | be32(bytes, 204) };
        let (read_only, incompatible) =
            if has_checksums { (be32(bytes, 212), be32(bytes, 216)) } else { (0, 0) };
        check_features(version, incompatible)?;
        let geometry = Geometry::parse(bytes, length)?;
        let log = (be64(bytes, 48), u64::from(be32(bytes, 96)));
        if log.0 == 0 {
            return Err(DiskError::Unsupported("the log of its XFS is on another disk".to_owned()));
        }
        let uuid_at = if incompatible & META_UUID != 0 { 248 } else { 32 };
        let Geometry { block_log, blocks, group_blocks, group_log, groups, inode_size, directory_log } =
            geometry;
        Ok(Self {
            block_size: 1 << block_log,
            block_log,
            blocks,
            group_blocks,
            group_log,
            groups,
            inode_size: 1 << inode_size,
            inodes_log: block_log - inode_size,
            root: be64(bytes, 56),
            directory_block: 1 << (block_log + directory_log),
            log,
            uuid: bytes[uuid_at..].first_chunk().copied().unwrap_or_default(),
            has_checksums,
            compares_checksums: true,
            file_type: if has_checksums { incompatible & FILE_TYPE } else { more & FILE_TYPE_V4 } != 0,
            shares_blocks: read_only & READ_ONLY_REFLINK != 0,
        })
    }

    /// The number of a block counted through the whole disk. `None` unless `length` blocks from there lie within one
    /// allocation group. In `number` the group's stands in front of the block's in it.
    pub(super) fn block(&self, number: u64, length: u64) -> Option<u64> {
        let (group, within) = (number >> self.group_log, number & ((1 << self.group_log) - 1));
        let room = self.group_length(group)?;
        (within.checked_add(length)? <= room).then(|| group * self.group_blocks + within)
    }

    /// Where an inode lies, in bytes.
    pub(super) fn inode(&self, number: u64) -> Option<u64> {
        let (block, index) = (number >> self.inodes_log, number & ((1 << self.inodes_log) - 1));
        let at = self.block(block, 1)? << self.block_log;
        Some(at + index * self.inode_size as u64)
    }

    fn group_length(&self, group: u64) -> Option<u64> {
        let before = group.checked_mul(self.group_blocks).filter(|_| group < self.groups)?;
        Some(self.group_blocks.min(self.blocks - before))
    }
}

fn check_features(version: u16, incompatible: u32) -> Result<(), DiskError> {
    let foreign = incompatible & !KNOWN;
    let mut names: Vec<&str> =
        FOREIGN.iter().filter(|(bit, _)| foreign & bit != 0).map(|(_, name)| *name).collect();
    if version & FOLDED_NAMES != 0 {
        names.push("names without regard to case");
    }
    match (names.is_empty(), foreign) {
        (true, 0) => Ok(()),
        (true, _) => Err(DiskError::Unsupported(format!("the XFS file system uses features {foreign:#x}"))),
        (false, _) => Err(DiskError::Unsupported(format!("the XFS file system uses {}", names.join(", ")))),
    }
}

/// Bytes of the sector that the superblock and its checksum take up.
///
/// # Errors
/// [`DiskError::Damaged`].
pub(super) fn sector(bytes: &[u8; LENGTH]) -> Result<usize, DiskError> {
    let size = be16(bytes, 102);
    if bytes[121] > 15 || size != 1 << bytes[121] || usize::from(size) < LENGTH {
        return Err(fault("sectors of an impossible size"));
    }
    Ok(size.into())
}

/// Says whether a whole sector with a superblock has the right checksum.
///
/// # Errors
/// [`DiskError::Damaged`].
pub(super) fn check_sum(sector: &[u8]) -> Result<(), DiskError> {
    if checksum::fits(sector, 224) {
        return Ok(());
    }
    Err(DiskError::Damaged("the checksum of the XFS superblock is wrong".to_owned()))
}

/// Sizes, the powers of two by their logarithms.
struct Geometry {
    block_log: u32,
    blocks: u64,
    group_blocks: u64,
    group_log: u32,
    groups: u64,
    inode_size: u32,
    directory_log: u32,
}

impl Geometry {
    fn parse(bytes: &[u8; LENGTH], length: u64) -> Result<Self, DiskError> {
        let log = |at: usize| u32::from(bytes[at]);
        let (block_log, inode_size, group_log, directory_log) = (log(120), log(122), log(124), log(192));
        if !(9..=16).contains(&block_log) || be32(bytes, 4) != 1 << block_log {
            return Err(fault("blocks of an impossible size"));
        }
        let is_inode = (8..=11).contains(&inode_size) && inode_size <= block_log;
        if !is_inode || u32::from(be16(bytes, 104)) != 1 << inode_size || log(123) != block_log - inode_size {
            return Err(fault("inodes of an impossible size"));
        }
        if directory_log + block_log > 16 {
            return Err(fault("directories with blocks of an impossible size"));
        }
        let blocks = be64(bytes, 8);
        if blocks.checked_mul(1 << block_log).is_none_or(|size| size > length) {
            return Err(fault("a file system larger than its partition"));
        }
        let (group_blocks, groups) = (u64::from(be32(bytes, 84)), u64::from(be32(bytes, 88)));
        if group_blocks == 0 || group_log > 31 || group_blocks > 1 << group_log {
            return Err(fault("allocation groups of an impossible size"));
        }
        if blocks.div_ceil(group_blocks) != groups {
            return Err(fault("another number of allocation groups than it has"));
        }
        if bytes[126] != 0 {
            return Err(fault("not to be finished"));
        }
        Ok(Self { block_log, blocks, group_blocks, group_log, groups, inode_size, directory_log })
    }
}

fn fault(what: &str) -> DiskError {
    DiskError::Damaged(format!("the XFS superblock claims {what}"))
}
