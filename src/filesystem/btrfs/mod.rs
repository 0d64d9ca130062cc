//! One Btrfs file system on one device, read without a kernel.
//!
//! Everything is untrusted: what is computed from the disk is checked before it is used, and all checksums, of metadata and
//! of data, are compared. A log that was not written back, several devices and RAID are left to the kernel:
//! [`DiskError::Unsupported`].

mod checksum;
mod chunks;
mod content;
mod entries;
mod extent;
mod forest;
mod inode;
mod node;
mod paths;
mod subvolumes;
mod superblock;
mod unpack;

use std::io::Write;
use std::sync::Arc;

use self::content::Reader;
use self::entries::{BY_HASH, BY_INDEX, XATTR};
use self::forest::Forest;
use self::inode::Inode;
use self::node::Key;
use self::subvolumes::{Subvolumes, TREE};
use self::superblock::Root;
use super::inodes::{Directory, Inodes, Kept, Named};
use crate::block::DiskError;
use crate::block::Shared;
use crate::block::window::Window;
use crate::filesystem::{FileKind, Stat, Timestamp, Xattr};
use crate::shown::escape;

/// The root directory of every subvolume.
const ROOT: u64 = 256;
/// The number that Linux gives to a directory in whose place a subvolume was when a snapshot was taken.
const ABSENT: u64 = 2;
/// The kind of key that inodes have.
const INODE: u8 = 1;
/// Longest target of a link that Linux accepts.
const MAX_LINK: u64 = 4096;
/// Entries of a directory that are read.
const MAX_ENTRIES: usize = 4 << 20;
/// Bytes of extended attributes of one inode that are read.
const MAX_XATTRS: usize = 16 << 20;

/// Numbers of inodes are one's own within a subvolume. Outside of this file they have the subvolume's place in the list of
/// all in their highest 16 bits, and a bit that stands for an absent subvolume, whose id then takes the number's place.
const INDEX: u32 = 48;
const IS_ABSENT: u64 = 1 << 47;
/// Ids of absent subvolumes are below this.
const MAX_ABSENT: u64 = 1 << 32;

/// An inode of a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Which of all subvolumes it is in.
    index: usize,
    /// The id of that.
    tree: u64,
    inode: u64,
}

impl Place {
    /// Tells subvolumes apart.
    fn device(self) -> u64 {
        self.index as u64
    }

    fn number(self) -> Result<u64, DiskError> {
        if self.inode >= IS_ABSENT {
            return Err(DiskError::Unsupported(format!(
                "its Btrfs has an inode with the number {}",
                self.inode
            )));
        }
        Ok((self.index as u64) << INDEX | self.inode)
    }
}

/// An open file system.
pub(super) struct Btrfs {
    forest: Forest,
    subvolumes: Arc<Subvolumes>,
    unpacked: Option<(u64, Arc<[u8]>)>,
    directories: Kept<Directory>,
}

impl Btrfs {
    /// Opens the file system in `length` bytes from `start`.
    ///
    /// # Errors
    /// [`DiskError::Unsupported`] for what only a kernel reads, [`DiskError::Damaged`].
    pub(super) fn open(disk: &Shared, start: u64, length: u64) -> Result<Self, DiskError> {
        Self::open_checked(disk, start, length, !cfg!(fuzzing))
    }

    /// The same, with or without a look at checksums.
    pub(super) fn open_checked(
        disk: &Shared,
        start: u64,
        length: u64,
        check: bool,
    ) -> Result<Self, DiskError> {
        let mut forest = Forest::open(Window { disk: Arc::clone(disk), start, length }, check)?;
        let subvolumes = Arc::new(Subvolumes::read(&mut forest)?);
        Ok(Self::new(forest, subvolumes))
    }

    fn new(forest: Forest, subvolumes: Arc<Subvolumes>) -> Self {
        Self { forest, subvolumes, unpacked: None, directories: Kept::default() }
    }

    /// What a number from outside means: an inode and its tree, or an absent subvolume.
    fn place(&self, number: u64) -> Result<(Place, Root, bool), DiskError> {
        let index = (number >> INDEX) as usize;
        let subvolume = self.subvolumes.get(index);
        let subvolume = subvolume.ok_or_else(|| superblock::damaged("lacks a subvolume"))?;
        let inode = number & (IS_ABSENT - 1);
        Ok((Place { index, tree: subvolume.id, inode }, subvolume.root, number & IS_ABSENT != 0))
    }

    fn inode(&mut self, number: u64) -> Result<(Inode, Root), DiskError> {
        let (place, root, is_absent) = self.place(number)?;
        if is_absent {
            return Err(damaged(place, "stands for a subvolume that is not there"));
        }
        let item = self.forest.get(root, Key::new(place.inode, INODE, 0))?;
        let item = item.ok_or_else(|| damaged(place, "does not exist"))?;
        Ok((Inode::parse(place, item.data())?, root))
    }

    fn read(
        &mut self,
        inode: &Inode,
        root: Root,
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let checksums = self.subvolumes.checksums;
        let mut reader = Reader { forest: &mut self.forest, checksums, unpacked: &mut self.unpacked };
        reader.read(root, inode, offset, length, sink)
    }

    fn read_directory(&mut self, number: u64) -> Result<Directory, DiskError> {
        if self.place(number)?.2 {
            return Ok(Directory::default());
        }
        let (inode, root) = self.inode(number)?;
        let place = inode.place;
        if inode.kind != FileKind::Directory {
            return Err(damaged(place, "is not the directory it should be"));
        }
        // Linux lists names in one order and looks them up in another.
        let mut orders = [(BY_INDEX, Vec::new()), (BY_HASH, Vec::new())];
        for (kind, found) in &mut orders {
            let (from, to) = (Key::new(place.inode, *kind, 0), Key::new(place.inode, *kind, u64::MAX));
            let subvolumes = &self.subvolumes;
            self.forest.each(root, from, to, |key, data| {
                for entry in entries::entries(place, data)? {
                    entries::check_name(place, &entry)?;
                    if found.len() >= MAX_ENTRIES {
                        return Err(damaged(place, "is a directory with more entries than tib reads"));
                    }
                    if *kind == BY_HASH && key.offset != checksum::name_hash(entry.name) {
                        return Err(damaged(
                            place,
                            "is a directory with a name where none would look for it",
                        ));
                    }
                    found.push((entry.name.into(), target(subvolumes, place, &entry)?));
                }
                Ok(())
            })?;
            found.sort_unstable();
        }
        let [(_, listed), (_, known)]: [(u8, Vec<Named>); 2] = orders;
        if listed != known {
            return Err(damaged(place, "is a directory that lists other names than it knows"));
        }
        Directory::new(listed).map_err(|name| {
            let name = String::from_utf8_lossy(&name);
            damaged(place, &format!("is a directory that has `{}` twice", escape(&name)))
        })
    }
}

/// The number of what a name in a directory stands for.
fn target(subvolumes: &Subvolumes, directory: Place, entry: &entries::Entry<'_>) -> Result<u64, DiskError> {
    let Key { object, kind, .. } = entry.target;
    if kind != TREE {
        return Place { inode: object, ..directory }.number();
    }
    // A snapshot keeps the names of subvolumes that it does not hold.
    let found = subvolumes.index(object).filter(|index| {
        let seen = subvolumes.get(*index).and_then(|subvolume| subvolume.seen.as_ref());
        seen.is_some_and(|seen| {
            seen.parent == directory.tree && seen.directory == directory.inode && *seen.name == *entry.name
        })
    });
    match found {
        Some(index) => Place { index, tree: object, inode: ROOT }.number(),
        None if object < MAX_ABSENT => Ok((directory.index as u64) << INDEX | IS_ABSENT | object),
        None => Err(DiskError::Unsupported(format!("its Btrfs has a subvolume with the number {object}"))),
    }
}

impl Inodes for Btrfs {
    fn on(&self, disk: &Shared) -> Box<dyn Inodes> {
        Box::new(Self::new(self.forest.on(disk), Arc::clone(&self.subvolumes)))
    }

    fn name(&self) -> &'static str {
        "Btrfs"
    }

    fn root(&self) -> u64 {
        (self.subvolumes.default as u64) << INDEX | ROOT
    }

    fn roots(&self) -> Vec<u64> {
        let all = (0..self.subvolumes.len() as u64).map(|index| index << INDEX | ROOT);
        std::iter::once(self.root()).chain(all.filter(|root| *root != self.root())).collect()
    }

    fn mounted(&mut self, options: &[String]) -> Result<Option<u64>, DiskError> {
        self.subvolume_of(options)
    }

    fn part(&mut self, root: u64) -> Result<Option<String>, DiskError> {
        self.path_of(root)
    }

    fn directory(&mut self, inode: u64) -> Result<Arc<Directory>, DiskError> {
        if let Some(known) = self.directories.get(inode) {
            return Ok(known);
        }
        let directory = self.read_directory(inode)?;
        let entries = directory.len();
        Ok(self.directories.keep(inode, directory, entries))
    }

    fn stat(&mut self, inode: u64) -> Result<Stat, DiskError> {
        let (place, _, is_absent) = self.place(inode)?;
        if is_absent { Ok(absent(place)) } else { Ok(self.inode(inode)?.0.stat()) }
    }

    fn read_link(&mut self, inode: u64) -> Result<Vec<u8>, DiskError> {
        let (inode, root) = self.inode(inode)?;
        if inode.kind != FileKind::Symlink || inode.size >= MAX_LINK {
            return Err(damaged(inode.place, "is not the link it should be"));
        }
        let mut target = Vec::new();
        self.read(&inode, root, 0, inode.size, &mut target)?;
        Ok(target)
    }

    fn xattrs(&mut self, inode: u64) -> Result<Vec<Xattr>, DiskError> {
        let (place, root, is_absent) = self.place(inode)?;
        let (mut found, mut length) = (Vec::new(), 0);
        if is_absent {
            return Ok(found);
        }
        let (from, to) = (Key::new(place.inode, XATTR, 0), Key::new(place.inode, XATTR, u64::MAX));
        self.forest.each(root, from, to, |_, data| {
            length += data.len();
            if length > MAX_XATTRS {
                return Err(damaged(place, "has more attributes than tib reads"));
            }
            found.extend(entries::xattrs(place, data)?);
            Ok(())
        })?;
        found.sort_unstable();
        Ok(found)
    }

    fn read_to(
        &mut self,
        inode: u64,
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let (inode, root) = self.inode(inode)?;
        self.read(&inode, root, offset, length, sink)
    }
}

/// The empty directory that Linux shows where a subvolume was. It is nowhere on the disk.
fn absent(place: Place) -> Stat {
    Stat {
        kind: FileKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: 0,
        allocated: 0,
        links: 1,
        inode: ABSENT,
        device: place.inode << 16 | place.device(),
        special: (0, 0),
        accessed: Timestamp::default(),
        modified: Timestamp::default(),
        changed: Timestamp::default(),
    }
}

fn damaged(place: Place, what: &str) -> DiskError {
    DiskError::Damaged(format!("Btrfs inode {} of subvolume {} {what}", place.inode, place.tree))
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
