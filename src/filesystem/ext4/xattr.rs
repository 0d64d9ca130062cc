//! Extended attributes (Linux, `Documentation/filesystems/ext4/attributes.rst`).

use super::checksum;
use super::inode::{Inode, damaged};
use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::{le16, le32};

const MAGIC: u32 = 0xea02_0000;
/// Bytes before the first entry of a block, and before that of an inode.
const BLOCK_HEADER: usize = 32;
const INODE_HEADER: usize = 4;
/// What a name on the disk, whose beginning is kept as a number, begins with.
const PREFIXES: [&[u8]; 9] = [
    b"",
    b"user.",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
    b"trusted.",
    b"lustre.",
    b"security.",
    b"system.",
    b"system.richacl",
];
const SYSTEM: u8 = 7;
/// Longest value, as in Linux (`XATTR_SIZE_MAX`).
pub(super) const MAX_VALUE: u64 = 65536;

/// An attribute on the disk.
#[derive(Debug)]
pub(super) struct Stored {
    prefix: u8,
    name: Vec<u8>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Here(Vec<u8>),
    /// It is the content of an inode: number and length.
    Elsewhere(u64, u64),
}

impl Stored {
    /// The name Linux shows; `None` for what it keeps to itself.
    pub(super) fn full_name(&self) -> Option<Vec<u8>> {
        if self.is_inline_data() {
            return None;
        }
        let prefix = PREFIXES.get(usize::from(self.prefix))?;
        Some([prefix, self.name.as_slice()].concat())
    }

    /// The rest of a file whose beginning is in the inode.
    pub(super) fn is_inline_data(&self) -> bool {
        self.prefix == SYSTEM && self.name == b"data"
    }

    /// Access control lists are kept in a shorter form than the one they are shown in.
    pub(super) fn is_acl(&self) -> bool {
        matches!(self.prefix, 2 | 3)
    }
}

/// The attributes in the inode itself.
pub(super) fn in_inode(inode: &Inode) -> Result<Vec<Stored>, DiskError> {
    let area = inode.xattrs();
    if le32(area, 0) != MAGIC {
        return Ok(Vec::new());
    }
    let area = area.get(INODE_HEADER..).unwrap_or_default();
    entries(inode, area, 0, area)
}

/// The attributes in a block of their own, whose number is `at`.
pub(super) fn in_block(
    superblock: &Superblock,
    inode: &Inode,
    at: u64,
    block: &[u8],
) -> Result<Vec<Stored>, DiskError> {
    if le32(block, 0) != MAGIC || le32(block, 8) != 1 {
        return Err(damaged(inode.number, "has a block of attributes with something else in it"));
    }
    if let Some(seed) = superblock.checksum_seed {
        let mut copy = block.to_vec();
        copy[0x10..0x14].fill(0);
        let sum = checksum::crc(checksum::crc(seed, &at.to_le_bytes()), &copy);
        if !checksum::fits(sum, le32(block, 0x10)) {
            return Err(damaged(inode.number, "has a block of attributes with a wrong checksum"));
        }
    }
    entries(inode, block, BLOCK_HEADER, block)
}

/// Reads entries from `start` of `area`; places of values count from the start of `values`.
fn entries(inode: &Inode, area: &[u8], start: usize, values: &[u8]) -> Result<Vec<Stored>, DiskError> {
    let fault = || damaged(inode.number, "has attributes outside their place");
    let mut found = Vec::new();
    let mut at = start;
    loop {
        let entry = area.get(at..).unwrap_or_default();
        // Four zero bytes end the list, as does the end of the area.
        if entry.len() < 4 || le32(entry, 0) == 0 {
            return Ok(found);
        }
        if entry.len() < 16 {
            return Err(fault());
        }
        let length = usize::from(entry[0]);
        let name = entry.get(16..16 + length).ok_or_else(fault)?.to_vec();
        let (place, source, size) = (usize::from(le16(entry, 2)), le32(entry, 4), u64::from(le32(entry, 8)));
        if size > MAX_VALUE {
            return Err(fault());
        }
        let value = match source {
            0 if size == 0 => Value::Here(Vec::new()),
            0 => Value::Here(values.get(place..place + size as usize).ok_or_else(fault)?.to_vec()),
            source => Value::Elsewhere(u64::from(source), size),
        };
        found.push(Stored { prefix: entry[1], name, value });
        at += (16 + length).next_multiple_of(4);
    }
}

/// An access control list in the form that `getxattr` gives (Linux, `posix_acl_xattr.h`); `None` if it is none.
pub(super) fn shown_acl(stored: &[u8]) -> Option<Vec<u8>> {
    const NOBODY: u32 = u32::MAX;
    let mut rest = stored.strip_prefix(&1u32.to_le_bytes())?;
    let mut shown = 2u32.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let (entry, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        // Only entries for a certain user or group carry an id.
        let id = match le16(entry, 0) {
            0x02 | 0x08 => {
                let (id, after) = rest.split_first_chunk::<4>()?;
                rest = after;
                u32::from_le_bytes(*id)
            }
            0x01 | 0x04 | 0x10 | 0x20 => NOBODY,
            _ => return None,
        };
        shown.extend_from_slice(entry);
        shown.extend_from_slice(&id.to_le_bytes());
    }
    Some(shown)
}
