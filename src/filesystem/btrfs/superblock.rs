//! The superblock (`btrfs_super_block` in Linux' `include/uapi/linux/btrfs_tree.h`).

use super::checksum::Checksum;
use crate::block::DiskError;
use crate::block::bytes::{le16, le32, le64};
use crate::size::Size;

/// Where the first copy lies. Linux reads no other.
pub(super) const OFFSET: u64 = 0x1_0000;
pub(super) const LENGTH: usize = 4096;
const MAGIC: &[u8] = b"_BHRfS_M";
const CHUNKS: usize = 0x32b;
const MAX_CHUNKS: usize = 2048;
/// Levels that a tree can have.
pub(super) const LEVELS: u8 = 8;
/// Bytes of a sector, the unit of data and its checksums.
pub(super) const SECTOR: u64 = 4096;

/// Features that change nothing for who only reads, or that are read: references, default subvolume, groups of both
/// kinds, LZO, zstd, large nodes, extended references, RAID 5 and 6 (chunks tell), small extent items, no items for
/// holes, a UUID of the metadata, RAID 1 with more copies (chunks tell), simple quotas.
const KNOWN: u64 = 0x1_0fff;
const METADATA_UUID: u64 = 1 << 10;
/// Features by name that are not.
const UNREAD: [(u64, &str); 3] =
    [(1 << 12, "on a zoned device"), (1 << 13, "with extent trees v2"), (1 << 14, "with a RAID stripe tree")];
/// From this flag on they tell of a seed, of a copy of metadata alone, and of a change that was not finished.
const UNUSUAL: u64 = !0 << 32;

/// Where a block is, and what is known of it before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Root {
    /// Its address.
    pub(super) at: u64,
    /// How far it is above the leaves.
    pub(super) level: u8,
    /// When it was written.
    pub(super) generation: u64,
}

/// What the superblock says, once it makes sense.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    pub(super) checksum: Checksum,
    /// Stands in every tree block.
    pub(super) fsid: [u8; 16],
    /// Bytes of a tree block.
    pub(super) node_size: usize,
    /// The number of the only device.
    pub(super) device: u64,
    /// The tree of all other trees.
    pub(super) root: Root,
    pub(super) chunk_root: Root,
    /// The directory in the tree of trees where the default subvolume is named.
    pub(super) root_directory: u64,
    /// The first chunks, which the chunk tree is found by.
    pub(super) chunks: Vec<u8>,
}

impl Superblock {
    /// Takes the superblock of a file system with room for `length` bytes apart.
    ///
    /// # Errors
    /// [`DiskError::Unsupported`] for what only a kernel reads, [`DiskError::Damaged`].
    pub(super) fn parse(bytes: &[u8], length: u64, check: bool) -> Result<Self, DiskError> {
        if bytes.len() < LENGTH || !bytes[0x40..].starts_with(MAGIC) {
            return Err(damaged("has a superblock with something else in it"));
        }
        let number = le16(bytes, 0xc4);
        let Some(mut checksum) = Checksum::of(number) else {
            return Err(unsupported(&format!("has checksums of an unknown kind, {number}")));
        };
        if !check {
            checksum = checksum.ignored();
        }
        if !checksum.fits_block(bytes) || le64(bytes, 0x30) != OFFSET {
            return Err(damaged("has a superblock with a wrong checksum"));
        }
        check_features(bytes)?;
        let device_size = le64(bytes, 0xd1);
        if device_size > length {
            let (has, needs) = (Size(length), Size(device_size));
            return Err(damaged(&format!("needs {needs} and has {has}: the image has lost its end")));
        }
        let (sector, node_size) = (u64::from(le32(bytes, 0x90)), le32(bytes, 0x94));
        if sector != SECTOR {
            return Err(unsupported(&format!("has sectors of {sector} bytes")));
        }
        if !node_size.is_power_of_two() || !(4096..=65536).contains(&node_size) {
            return Err(damaged("has tree blocks of an impossible size"));
        }
        let (root_level, chunk_level) = (bytes[0xc6], bytes[0xc7]);
        if root_level >= LEVELS || chunk_level >= LEVELS {
            return Err(damaged("has a tree that is too high"));
        }
        let chunks = usize::try_from(le32(bytes, 0xa0)).ok().filter(|length| *length <= MAX_CHUNKS);
        let chunks = chunks.and_then(|length| bytes.get(CHUNKS..CHUNKS + length));
        let chunks = chunks.ok_or_else(|| damaged("has more chunks in its superblock than fit"))?.to_vec();
        let fsid = if le64(bytes, 0xbc) & METADATA_UUID == 0 { 0x20 } else { 0x23b };
        Ok(Self {
            checksum,
            fsid: bytes.get(fsid..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default(),
            node_size: node_size as usize,
            device: le64(bytes, 0xc9),
            root: Root { at: le64(bytes, 0x50), level: root_level, generation: le64(bytes, 0x48) },
            chunk_root: Root { at: le64(bytes, 0x58), level: chunk_level, generation: le64(bytes, 0xa4) },
            root_directory: le64(bytes, 0x80),
            chunks,
        })
    }
}

fn check_features(bytes: &[u8]) -> Result<(), DiskError> {
    let (flags, features) = (le64(bytes, 0x38), le64(bytes, 0xbc));
    if let Some((_, what)) = UNREAD.iter().find(|(bit, _)| features & bit != 0) {
        return Err(unsupported(&format!("is {what}")));
    }
    if features & !KNOWN != 0 {
        return Err(unsupported(&format!("has unknown features ({:#x})", features & !KNOWN)));
    }
    if flags & UNUSUAL != 0 {
        return Err(unsupported(&format!("is a seed, or in the middle of a change ({flags:#x})")));
    }
    let devices = le64(bytes, 0x88);
    if devices != 1 {
        return Err(unsupported(&format!("is on {devices} devices")));
    }
    if le64(bytes, 0x60) != 0 {
        return Err(DiskError::Unsupported("the log of its Btrfs was not written back".to_owned()));
    }
    Ok(())
}

pub(super) fn damaged(what: &str) -> DiskError {
    DiskError::Damaged(format!("a Btrfs {what}"))
}

pub(super) fn unsupported(what: &str) -> DiskError {
    DiskError::Unsupported(format!("its Btrfs {what}"))
}
