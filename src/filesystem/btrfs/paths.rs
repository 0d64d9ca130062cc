//! Subvolumes as people name them: by options of `mount`, and by their paths.

use super::node::Key;
use super::subvolumes::TOP;
use super::{Btrfs, INDEX, ROOT, damaged};
use crate::block::DiskError;
use crate::block::bytes::le16;
use crate::filesystem::inodes::Inodes;

/// The kind of key under which an inode tells its names.
const NAMED: u8 = 12;
/// Directories on the way from a subvolume to the top, and links of a name to it.
const MAX_DEPTH: usize = 2048;

impl Btrfs {
    /// The root of the subvolume that `mount` would show with these options. `None` if there is none of that name.
    pub(super) fn subvolume_of(&mut self, options: &[String]) -> Result<Option<u64>, DiskError> {
        // Of several, the last counts.
        let value = |name: &str| options.iter().rev().find_map(|option| option.strip_prefix(name));
        let by_path = value("subvol=").map(|path| self.subvolume_at(path.as_bytes())).transpose()?;
        let by_id = value("subvolid=").map(|id| self.subvolume_with(id));
        Ok(match (by_path, by_id) {
            (None, None) => Some(self.root()),
            (Some(found), None) | (None, Some(found)) => found,
            // Linux mounts nothing if they contradict each other.
            (Some(path), Some(id)) => path.filter(|_| path == id),
        })
    }

    fn subvolume_with(&self, id: &str) -> Option<u64> {
        let id = match id.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => id.parse().ok()?,
        };
        let index = self.subvolumes.index(if id == 0 { TOP } else { id })?;
        Some((index as u64) << INDEX | ROOT)
    }

    /// The subvolume at a path from the top.
    fn subvolume_at(&mut self, path: &[u8]) -> Result<Option<u64>, DiskError> {
        let Some(top) = self.subvolumes.index(TOP) else { return Ok(None) };
        let mut at = (top as u64) << INDEX | ROOT;
        for name in path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
            if self.stat(at)?.kind != crate::filesystem::FileKind::Directory {
                return Ok(None);
            }
            match self.directory(at)?.get(name) {
                Some(inode) => at = inode,
                None => return Ok(None),
            }
        }
        let (place, _, is_absent) = self.place(at)?;
        Ok((place.inode == ROOT && !is_absent).then_some(at))
    }

    /// The path of a subvolume from the top, as far as it can be told; `None` for the top itself.
    pub(super) fn path_of(&mut self, root: u64) -> Result<Option<String>, DiskError> {
        let (mut place, mut tree, _) = self.place(root)?;
        let mut names: Vec<Vec<u8>> = Vec::new();
        while place.tree != TOP || place.inode != ROOT {
            if names.len() > MAX_DEPTH {
                return Err(damaged(place, "is a directory in itself"));
            }
            if place.inode == ROOT {
                let seen = self.subvolumes.get(place.index).and_then(|subvolume| subvolume.seen.clone());
                let found = seen.and_then(|seen| Some((self.subvolumes.index(seen.parent)?, seen)));
                // One that is in no other has no name.
                let Some((index, seen)) = found else { break };
                names.push(seen.name.into_vec());
                (place.index, place.tree, place.inode) = (index, seen.parent, seen.directory);
                tree = self.place((index as u64) << INDEX)?.1;
            } else {
                let item = self.forest.at_or_after(tree, Key::new(place.inode, NAMED, 0))?;
                let item = item.filter(|item| item.key().object == place.inode && item.key().kind == NAMED);
                let item = item.ok_or_else(|| damaged(place, "is a directory without a name"))?;
                let length = usize::from(le16(item.data(), 8));
                names.push(
                    item.data().get(10..).and_then(|rest| rest.get(..length)).unwrap_or_default().to_vec(),
                );
                place.inode = item.key().offset;
            }
        }
        names.reverse();
        let path = names.join(&b'/');
        Ok((!path.is_empty()).then(|| String::from_utf8_lossy(&path).into_owned()))
    }
}
