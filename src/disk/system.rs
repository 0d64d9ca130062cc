//! Finds the operating system on a disk, and mounts what belongs to it.

mod roots;
mod several;

use std::collections::HashMap;
use std::sync::Arc;

use self::roots::choose_root;
use super::cached::share;
use super::fstab::{self, FstabEntry, Spec};
use super::mounts::{Volume, volume_of};
use super::os_tree::OsTree;
use super::partition::Partition;
use super::place::Place;
use super::{BlockRead, DiskError, FileKind, Tree, lvm, partition};
use crate::block::{Shared, lock};
use crate::filesystem::fat::{Access, Fat};
use crate::filesystem::inodes::Inodes;
use crate::filesystem::{self, FileSystemKind, usage};
use crate::filesystem::{is_native, open_inodes};

/// Bytes that one tree gives, beside four times what the disk holds: files may claim more than any disk has.
const MAX_READ: u64 = 64 << 30;
/// Largest `/etc/fstab` read.
const MAX_FSTAB: u64 = 1 << 20;
/// A partition too small for an operating system is not worth an appliance.
const MIN_SYSTEM: u64 = 64 << 20;
const OS_RELEASE: [&[u8]; 2] = [b"/etc/os-release", b"/usr/lib/os-release"];

/// Opens the operating system on a disk: the file system, or the subvolume of one, that has an `os-release`, with the others mounted
/// as its `/etc/fstab` says.
///
/// # Errors
/// [`DiskError::Unsupported`] when part of it is something tib does not read by itself (a thin volume of LVM, an ext4
/// feature): an appliance may. [`DiskError::Locked`] when nobody can, [`DiskError::NoSystem`],
/// [`DiskError::SeveralSystems`], [`DiskError::Damaged`].
pub fn open_tree(disk: Box<dyn BlockRead>) -> Result<Box<dyn Tree>, DiskError> {
    tree_on(&share(disk))
}

/// The same on a disk that others read, too.
pub(super) fn tree_on(disk: &Shared) -> Result<Box<dyn Tree>, DiskError> {
    let (volumes, size) = (volumes(disk)?, lock(disk).size());
    let budget = size.saturating_mul(4).saturating_add(MAX_READ);
    let mut search = Search { disk: Arc::clone(disk), volumes, budget, unread: Vec::new() };
    search.read_labels();
    search.open()
}

/// The partitions of a disk, and the logical volumes in place of the physical ones.
fn volumes(shared: &Shared) -> Result<Vec<Volume>, DiskError> {
    let mut volumes = Vec::new();
    {
        let mut disk = lock(shared);
        for partition in partition::list(&mut **disk)? {
            let content = filesystem::detect(&mut **disk, partition.start, partition.length)?;
            let is_blank =
                content.is_none() && filesystem::is_blank(&mut **disk, partition.start, partition.length)?;
            volumes.push(Volume { place: Place::Partition(partition.number), partition, content, is_blank });
        }
    }
    let is_physical = |volume: &&Volume| volume.kind() == Some(FileSystemKind::Lvm);
    let physical: Vec<&Partition> =
        volumes.iter().filter(is_physical).map(|volume| &volume.partition).collect();
    let logical = lvm::find(shared, &physical)?;
    volumes.retain(|volume| !is_physical(&volume));
    for volume in logical {
        let partition = volume.as_partition();
        let place = Place::Logical(Arc::new(volume));
        let (content, is_blank) = match place.disk(shared) {
            Ok(disk) => {
                let content = filesystem::detect(&mut **lock(&disk), 0, partition.length)?;
                let is_blank =
                    content.is_none() && filesystem::is_blank(&mut **lock(&disk), 0, partition.length)?;
                (content, is_blank)
            }
            Err(_) => (None, false),
        };
        volumes.push(Volume { place, partition, content, is_blank });
    }
    Ok(volumes)
}

/// A disk that is looked through.
struct Search {
    disk: Shared,
    volumes: Vec<Volume>,
    budget: u64,
    /// Volumes that tib does not read by itself, and why.
    unread: Vec<(usize, String)>,
}

/// How much a file system looks like the root of an operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RootLikeness {
    No,
    /// Its `os-release` is a link to where another file system is to be mounted.
    Perhaps,
    Yes,
}

impl Search {
    /// The label of a FAT file system lies in its root directory.
    fn read_labels(&mut self) {
        for volume in &mut self.volumes {
            let Some(content) =
                volume.content.as_mut().filter(|content| content.kind == FileSystemKind::Vfat)
            else {
                continue;
            };
            let Ok(disk) = volume.place.disk(&self.disk) else { continue };
            // What is wrong with one is told when it is mounted.
            let fat = Fat::open(&disk, volume.partition.start, volume.partition.length, Access::default());
            content.label = fat.and_then(|mut fat| fat.label()).ok().flatten();
        }
    }

    fn open(mut self) -> Result<Box<dyn Tree>, DiskError> {
        let (mut sure, mut perhaps) = (Vec::new(), Vec::new());
        let (mut damage, mut locked) = (None, Vec::new());
        for index in 0..self.volumes.len() {
            match self.root(index) {
                Ok(Some((tree, RootLikeness::Yes))) => sure.push((index, tree)),
                Ok(Some((tree, RootLikeness::Perhaps))) => perhaps.push((index, tree)),
                Ok(_) => {}
                Err(DiskError::Unsupported(reason)) => {
                    self.unread.push((index, format!("{}{reason}", self.volumes[index].place)));
                }
                Err(DiskError::Locked(reason)) => locked.push(reason),
                Err(error @ DiskError::Damaged(_)) => damage = damage.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let mut found = if sure.is_empty() { perhaps } else { sure };
        if found.len() > 1
            && let Some(meant) = self.meant(&mut found)?
        {
            found = vec![found.swap_remove(meant)];
        }
        if found.len() > 1 {
            let places = found.iter().map(|(index, _)| self.volumes[*index].place.to_string());
            return Err(DiskError::SeveralSystems(places.collect::<Vec<_>>().join(" and ")));
        }
        let unread = self.unread.iter().map(|(_, reason)| reason);
        // What is locked may be the root if nothing else is.
        let reasons: Vec<&str> = unread.chain(&locked).map(String::as_str).collect();
        match (found.pop(), damage) {
            // What is damaged may be the root that is meant.
            (_, Some(damage)) => Err(damage),
            (Some((index, tree)), None) => self.mount_all(index, tree),
            (None, None) if !self.unread.is_empty() => Err(DiskError::Unsupported(reasons.join("; "))),
            // An appliance has no key either.
            (None, None) if !locked.is_empty() => Err(DiskError::Locked(locked.join(", "))),
            (None, None) => Err(DiskError::NoSystem("no file system has an os-release file".to_owned())),
        }
    }

    /// The tree of a volume alone, if it can be read, and whether it is a root. An error's text goes on after the
    /// partition's number.
    fn root(&self, index: usize) -> Result<Option<(OsTree, RootLikeness)>, DiskError> {
        let colon = |error| match error {
            DiskError::Unsupported(reason) => DiskError::Unsupported(format!(": {reason}")),
            error => error,
        };
        let volume = &self.volumes[index];
        let (start, length) = (volume.partition.start, volume.partition.length);
        let disk = volume.place.disk(&self.disk)?;
        if let Some(kind) = volume.kind() {
            usage::check_size(&mut **lock(&disk), kind, &volume.place, start, length)?;
        }
        let inodes = match volume.kind() {
            Some(FileSystemKind::Vfat | FileSystemKind::Swap) => return Ok(None),
            Some(kind) if is_native(kind) => open_inodes(&disk, kind, start, length, &[]).map_err(colon)?,
            Some(FileSystemKind::Luks) => {
                let version = filesystem::luks_version(&mut **lock(&disk), start)?;
                return Err(DiskError::Locked(format!("{} is encrypted ({version})", volume.place)));
            }
            Some(other) => return Err(DiskError::Unsupported(format!(" is {}", other.name()))),
            None => {
                if length < MIN_SYSTEM || volume.is_blank {
                    return Ok(None);
                }
                return Err(DiskError::Unsupported(" holds something that tib does not know".to_owned()));
            }
        };
        let mut tree = OsTree::new(&self.disk, volume.place.clone(), inodes, self.budget);
        if let (Place::Logical(_), Some(kind)) = (&volume.place, volume.kind()) {
            tree = tree.with_root(Some(kind), usage::room(&mut **lock(&disk), kind, start)?);
        }
        let root = choose_root(&mut tree).map_err(colon)?;
        Ok(Some((tree, root)))
    }

    /// Whether options say which part of a file system is mounted.
    fn has_subvolumes(&self, index: usize) -> bool {
        self.volumes[index].kind() == Some(FileSystemKind::Btrfs)
    }

    /// Mounts what the fstab of a root names.
    fn mount_all(self, root: usize, mut tree: OsTree) -> Result<Box<dyn Tree>, DiskError> {
        let text = match tree.read(b"/etc/fstab", MAX_FSTAB) {
            Ok(text) => text,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => return Err(error),
        };
        let entries = fstab::parse(&String::from_utf8_lossy(&text));
        self.check_unread(&entries)?;
        // Where each file system is among those of the tree: one that is mounted several times is opened once.
        let mut opened = HashMap::from([(root, 0)]);
        for entry in fstab::to_mount(&entries)? {
            if let Spec::Bind { source, recursive } = &entry.spec {
                tree.bind(source, &entry.point, *recursive)?;
            } else if let Some(index) = volume_of(&entry, &self.volumes)? {
                let known = opened.get(&index).filter(|_| self.has_subvolumes(index));
                let volume = match known {
                    Some(volume) => *volume,
                    None => {
                        let inodes = self.inodes(index, &entry)?;
                        tree.open(self.volumes[index].place.clone(), inodes)
                    }
                };
                opened.insert(index, volume);
                if !tree.mount(&entry.point, volume, &entry.options)? && !entry.optional {
                    let FstabEntry { name, point, .. } = &entry;
                    return Err(DiskError::Unsupported(format!(
                        "/etc/fstab mounts a subvolume of `{name}` at {point} that is not in the image"
                    )));
                }
            } else if let Some(missed) = entry.missed() {
                tree.miss(missed);
            }
        }
        if root_kind(&mut tree)? != RootLikeness::Yes {
            let place = &self.volumes[root].place;
            return Err(DiskError::NoSystem(format!("the os-release of {place} leads nowhere")));
        }
        Ok(Box::new(tree))
    }

    /// A file system that nothing mounts may be the root of another operating system.
    fn check_unread(&self, entries: &[FstabEntry]) -> Result<(), DiskError> {
        for (index, reason) in &self.unread {
            let volume = &self.volumes[*index];
            let may_be_root = matches!(
                volume.kind(),
                Some(FileSystemKind::Ext | FileSystemKind::Xfs | FileSystemKind::Btrfs)
            );
            let is_named = entries.iter().any(|entry| volume.is(&entry.spec));
            if may_be_root && !is_named && volume.partition.length >= MIN_SYSTEM {
                let reason = format!("{reason}, and may be the root of another operating system");
                return Err(DiskError::Unsupported(reason));
            }
        }
        Ok(())
    }

    /// The file system that an entry mounts.
    fn inodes(&self, index: usize, entry: &FstabEntry) -> Result<Box<dyn Inodes>, DiskError> {
        let volume = &self.volumes[index];
        let (start, length) = (volume.partition.start, volume.partition.length);
        let disk = volume.place.disk(&self.disk)?;
        // What is not known is not mounted ([`volume_of`]).
        let kind = volume.kind().unwrap_or(FileSystemKind::Ext);
        open_inodes(&disk, kind, start, length, &entry.options)
    }
}

/// Whether a tree is that of an operating system: it has `/etc`, and an `os-release`. `/usr` may be elsewhere.
fn root_kind(tree: &mut OsTree) -> Result<RootLikeness, DiskError> {
    let mut kind = |path: &[u8], follow: bool| {
        let stat = if follow { tree.stat(path) } else { tree.lstat(path) };
        match stat {
            Ok(stat) => Ok(Some(stat.kind)),
            Err(DiskError::NotFound(_) | DiskError::NotDirectory(_) | DiskError::WrongKind { .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    };
    if kind(b"/etc", true)? != Some(FileKind::Directory) {
        return Ok(RootLikeness::No);
    }
    for path in OS_RELEASE {
        if kind(path, true)? == Some(FileKind::File) {
            return Ok(RootLikeness::Yes);
        }
    }
    let is_link = kind(OS_RELEASE[0], false)? == Some(FileKind::Symlink);
    Ok(if is_link { RootLikeness::Perhaps } else { RootLikeness::No })
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod mount_tests;
#[cfg(test)]
#[path = "system_tests.rs"]
mod tests;
