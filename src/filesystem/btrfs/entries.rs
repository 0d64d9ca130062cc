//! Names: of what is in directories, and of extended attributes (`btrfs_dir_item`).

use super::node::Key;
use super::{Place, damaged};
use crate::block::DiskError;
use crate::block::bytes::le16;
use crate::filesystem::Xattr;

/// Kinds of keys.
pub(super) const XATTR: u8 = 24;
pub(super) const BY_HASH: u8 = 84;
pub(super) const BY_INDEX: u8 = 96;
const HEADER: usize = 30;
/// Longest name, as in Linux.
const MAX_NAME: usize = 255;
/// Names are encrypted, and so is what they stand for.
const ENCRYPTED: u8 = 0x80;

/// One of the names in an item.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    /// The key of what it stands for.
    pub(super) target: Key,
    /// The value of an attribute.
    value: &'a [u8],
    is_encrypted: bool,
}

/// The names of an item. What has the same hash shares one.
pub(super) fn entries(place: Place, mut item: &[u8]) -> Result<Vec<Entry<'_>>, DiskError> {
    let fault = || damaged(place, "has names outside their item");
    let mut found = Vec::new();
    while !item.is_empty() {
        let (header, rest) = item.split_at_checked(HEADER).ok_or_else(fault)?;
        let (name, rest) = rest.split_at_checked(usize::from(le16(header, 27))).ok_or_else(fault)?;
        let (value, rest) = rest.split_at_checked(usize::from(le16(header, 25))).ok_or_else(fault)?;
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(damaged(place, "has a name of an impossible length"));
        }
        let is_encrypted = header[29] & ENCRYPTED != 0;
        found.push(Entry { name, target: Key::parse(header), value, is_encrypted });
        item = rest;
    }
    Ok(found)
}

/// Refuses names that no file can have.
pub(super) fn check_name(place: Place, entry: &Entry<'_>) -> Result<(), DiskError> {
    if entry.is_encrypted {
        let (inode, subvolume) = (place.inode, place.tree);
        let what = format!("Btrfs inode {inode} of subvolume {subvolume} is an encrypted directory");
        return Err(DiskError::Unsupported(what));
    }
    if matches!(entry.name, b"." | b"..") || entry.name.contains(&b'/') || entry.name.contains(&0) {
        return Err(damaged(place, "is a directory with an impossible name in it"));
    }
    Ok(())
}

/// The attributes in an item.
pub(super) fn xattrs(place: Place, item: &[u8]) -> Result<Vec<Xattr>, DiskError> {
    let shown = |entry: Entry<'_>| Xattr { name: entry.name.to_vec(), value: entry.value.to_vec() };
    Ok(entries(place, item)?.into_iter().map(shown).collect())
}
