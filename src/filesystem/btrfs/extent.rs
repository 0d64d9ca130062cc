//! What a stretch of a file is (`btrfs_file_extent_item`).

use super::node::Key;
use super::superblock::SECTOR;
use super::unpack::Packing;
use super::{Place, damaged};
use crate::block::DiskError;
use crate::block::bytes::{le16, le64};

/// The kind of key that extents of files have.
pub(super) const EXTENT: u8 = 108;
const INLINE: u8 = 0;
const WRITTEN: u8 = 1;
const PREALLOCATED: u8 = 2;
/// Bytes in front of what lies in the item itself, and bytes of one that points elsewhere.
const HEADER: usize = 21;
const LENGTH: usize = 53;
/// Bytes that are packed together, and what they become, are 128 KiB at the most in Linux.
const MAX_PACKED: u64 = 1 << 20;

/// A stretch of a file.
#[derive(Debug)]
pub(super) struct Extent<'a> {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) body: Body<'a>,
}

/// Where its bytes are.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// Nowhere: it is a hole, or was never written.
    Zeros,
    /// In the item.
    Inline { packing: Packing, bytes: &'a [u8], length: usize },
    /// At an address. Of the bytes there, unpacked, it begins with the one at `skip`.
    Stored { packing: Packing, at: u64, length: u64, unpacked: u64, skip: u64 },
}

impl<'a> Extent<'a> {
    /// Takes an item apart.
    pub(super) fn parse(place: Place, key: Key, item: &'a [u8]) -> Result<Self, DiskError> {
        let fault = || damaged(place, "has an extent that makes no sense");
        let start = key.offset;
        let (header, bytes) = item.split_at_checked(HEADER).ok_or_else(fault)?;
        let unpacked = le64(header, 8);
        let Some(packing) = Packing::of(header[16]) else {
            return Err(unread(place, "compressed in an unknown way"));
        };
        if header[17] != 0 || le16(header, 18) != 0 {
            return Err(unread(place, "encrypted"));
        }
        if header[20] == INLINE {
            // Nothing longer is put into a block of a tree.
            let length =
                usize::try_from(unpacked).ok().filter(|_| unpacked <= MAX_PACKED).ok_or_else(fault)?;
            if start != 0 {
                return Err(fault());
            }
            let end = unpacked.next_multiple_of(SECTOR);
            return Ok(Self { start, end, body: Body::Inline { packing, bytes, length } });
        }
        if item.len() < LENGTH {
            return Err(fault());
        }
        let (at, length, skip, count) = (le64(item, 21), le64(item, 29), le64(item, 37), le64(item, 45));
        let end = start.checked_add(count).filter(|end| *end > start).ok_or_else(fault)?;
        let is_aligned = [start, end, at, length, skip].iter().all(|number| number.is_multiple_of(SECTOR));
        let body = match header[20] {
            _ if !is_aligned => return Err(fault()),
            WRITTEN if at != 0 => {
                let room = if packing == Packing::Plain { length } else { unpacked };
                let is_within = skip.checked_add(count).is_some_and(|end| end <= room);
                let is_small = length <= MAX_PACKED && unpacked <= MAX_PACKED;
                if !is_within || packing != Packing::Plain && !is_small {
                    return Err(fault());
                }
                Body::Stored { packing, at, length, unpacked, skip }
            }
            WRITTEN | PREALLOCATED => Body::Zeros,
            _ => return Err(fault()),
        };
        Ok(Self { start, end, body })
    }
}

fn unread(place: Place, what: &str) -> DiskError {
    DiskError::Unsupported(format!("Btrfs inode {} of subvolume {} is {what}", place.inode, place.tree))
}
