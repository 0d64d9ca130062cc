//! Subvolumes and snapshots: trees of files, each with inodes of its own.

use super::checksum::name_hash;
use super::entries::{self, BY_HASH};
use super::forest::Forest;
use super::inode;
use super::node::Key;
use super::superblock::{LEVELS, Root, damaged, unsupported};
use super::{Place, ROOT};
use crate::block::DiskError;
use crate::block::bytes::{le16, le32, le64};

/// The subvolume that all others are in.
pub(super) const TOP: u64 = 5;
/// The tree of the checksums of data.
const CHECKSUMS: u64 = 7;
/// Trees of files have these numbers, and [`TOP`].
const FIRST: u64 = 256;
const LAST: u64 = 256u64.wrapping_neg();
/// Kinds of keys in the tree of trees.
pub(super) const TREE: u8 = 132;
const IN_PARENT: u8 = 156;
/// Subvolumes that are counted in 16 bits.
const MAX_SUBVOLUMES: usize = 1 << 16;

/// A tree of files.
#[derive(Debug, Clone)]
pub(super) struct Subvolume {
    pub(super) id: u64,
    pub(super) root: Root,
    /// Where it is seen; nowhere for [`TOP`].
    pub(super) seen: Option<Seen>,
}

/// A name that a subvolume has in another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The other one, and the directory in it.
    pub(super) parent: u64,
    pub(super) directory: u64,
    pub(super) name: Box<[u8]>,
}

/// All trees of files.
#[derive(Debug)]
pub(super) struct Subvolumes {
    /// Sorted by id.
    list: Vec<Subvolume>,
    /// Which of them is mounted unless another is asked for.
    pub(super) default: usize,
    pub(super) checksums: Option<Root>,
}

impl Subvolumes {
    /// Looks through the tree of trees.
    pub(super) fn read(forest: &mut Forest) -> Result<Self, DiskError> {
        let (mut list, mut seen, mut checksums) = (Vec::<Subvolume>::new(), Vec::new(), None);
        let superblock = forest.superblock.clone();
        let mut default = TOP;
        let by_default = Key::new(superblock.root_directory, BY_HASH, name_hash(b"default"));
        forest.each(superblock.root, Key::MIN, Key::MAX, |key, data| {
            let id = key.object;
            let is_files = id == TOP || (FIRST..=LAST).contains(&id);
            match key.kind {
                TREE if id == CHECKSUMS => checksums = Some(root_of(data)?),
                // One that is being deleted belongs to nobody.
                TREE if is_files && le32(data, 216) > 0 => {
                    // Of several states of one, the last counts.
                    list.pop_if(|last| last.id == id);
                    list.push(Subvolume { id, root: root_of(data)?, seen: None });
                }
                IN_PARENT if is_files => seen.push((key.offset, seen_in(id, data)?)),
                _ if key == by_default => {
                    let place = Place { index: 0, tree: 1, inode: key.object };
                    let named = entries::entries(place, data)?;
                    default = named
                        .iter()
                        .find(|entry| entry.name == b"default")
                        .map_or(TOP, |entry| entry.target.object);
                }
                _ => {}
            }
            if list.len() > MAX_SUBVOLUMES || seen.len() > MAX_SUBVOLUMES {
                return Err(unsupported("has more subvolumes than tib counts"));
            }
            Ok(())
        })?;
        let mut found = Self { list, default: 0, checksums };
        for (id, name) in seen {
            let Some(index) = found.index(id) else { continue };
            if found.list[index].seen.replace(name).is_some() {
                return Err(damaged("has a subvolume in two places"));
            }
        }
        found.default = found.index(default).ok_or_else(|| damaged("lacks its default subvolume"))?;
        Ok(found)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Subvolume> {
        self.list.get(index)
    }

    /// Which of them has an id.
    pub(super) fn index(&self, id: u64) -> Option<usize> {
        self.list.binary_search_by_key(&id, |subvolume| subvolume.id).ok()
    }
}

/// Where the tree of a `btrfs_root_item` is.
fn root_of(item: &[u8]) -> Result<Root, DiskError> {
    let level = item.get(238).copied().filter(|level| *level < LEVELS);
    let level = level.ok_or_else(|| damaged("has a tree that is too high"))?;
    let directory = le64(item, inode::LENGTH + 8);
    if directory != ROOT && directory != 0 {
        return Err(damaged("has a subvolume without a root directory"));
    }
    Ok(Root { at: le64(item, 176), level, generation: le64(item, inode::LENGTH) })
}

/// The name in a `btrfs_root_ref`.
fn seen_in(parent: u64, item: &[u8]) -> Result<Seen, DiskError> {
    let name = item.get(18..).and_then(|rest| rest.get(..usize::from(le16(item, 16))));
    let name = name.ok_or_else(|| damaged("has a subvolume whose name is cut off"))?;
    Ok(Seen { parent, directory: le64(item, 0), name: name.into() })
}
