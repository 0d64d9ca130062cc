//! Finds the operating system on a disk, and mounts what belongs to it.

use std::sync::Arc;

use super::cached::share;
use super::fat::{Access, Fat};
use super::filesystem::{self, FileSystemKind};
use super::fstab::{self, FstabEntry, Spec};
use super::inodes::{Inodes, Shared, lock};
use super::mounts::{Volume, volume_of};
use super::open_fs::open_inodes;
use super::os_tree::OsTree;
use super::partition::Partition;
use super::usage::room;
use super::{BlockRead, DiskError, FileKind, Tree, partition};
use crate::size::Size;

/// Bytes that one tree gives, beside four times what the disk holds: files may claim more than any disk has.
const MAX_READ: u64 = 64 << 30;
/// Largest `/etc/fstab` read.
const MAX_FSTAB: u64 = 1 << 20;
/// A partition too small for an operating system is not worth an appliance.
const MIN_SYSTEM: u64 = 64 << 20;
const OS_RELEASE: [&[u8]; 2] = [b"/etc/os-release", b"/usr/lib/os-release"];

/// Opens the operating system on a disk: the file system that has an `os-release`, with the others mounted
/// as its `/etc/fstab` says.
///
/// # Errors
/// [`DiskError::Unsupported`] when part of it is something tib does not read by itself (Btrfs, LVM, LUKS, an
/// ext4 feature): an appliance may. [`DiskError::NoSystem`], [`DiskError::SeveralSystems`], [`DiskError::Damaged`].
pub fn open_tree(disk: Box<dyn BlockRead>) -> Result<Box<dyn Tree>, DiskError> {
    tree_on(&share(disk))
}

/// The same on a disk that others read, too.
pub(super) fn tree_on(disk: &Shared) -> Result<Box<dyn Tree>, DiskError> {
    let (volumes, size) = {
        let mut disk = lock(disk);
        (volumes(&mut **disk)?, disk.size())
    };
    let budget = size.saturating_mul(4).saturating_add(MAX_READ);
    let mut search = Search { disk: Arc::clone(disk), volumes, budget, unread: Vec::new() };
    search.read_labels();
    search.open()
}

fn volumes(disk: &mut dyn BlockRead) -> Result<Vec<Volume>, DiskError> {
    let mut volumes = Vec::new();
    for partition in partition::list(disk)? {
        let content = filesystem::detect(disk, partition.start, partition.length)?;
        volumes.push(Volume { partition, content });
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
            // What is wrong with one is told when it is mounted.
            let fat =
                Fat::open(&self.disk, volume.partition.start, volume.partition.length, Access::default());
            content.label = fat.and_then(|mut fat| fat.label()).ok().flatten();
        }
    }

    fn open(mut self) -> Result<Box<dyn Tree>, DiskError> {
        let (mut sure, mut perhaps) = (Vec::new(), Vec::new());
        let mut damage = None;
        for index in 0..self.volumes.len() {
            match self.root(index) {
                Ok(Some((tree, RootLikeness::Yes))) => sure.push((index, tree)),
                Ok(Some((tree, RootLikeness::Perhaps))) => perhaps.push((index, tree)),
                Ok(_) => {}
                Err(DiskError::Unsupported(reason)) => {
                    let number = self.volumes[index].partition.number;
                    self.unread.push((index, format!("{}{reason}", partition::place(number))));
                }
                Err(error @ DiskError::Damaged(_)) => damage = damage.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let mut found = if sure.is_empty() { perhaps } else { sure };
        if found.len() > 1 {
            let numbers = found.iter().map(|(index, _)| self.volumes[*index].partition.number);
            return Err(DiskError::SeveralSystems(numbers.collect()));
        }
        let reasons: Vec<String> = self.unread.iter().map(|(_, reason)| reason.clone()).collect();
        match (found.pop(), damage) {
            // What is damaged may be the root that is meant.
            (_, Some(damage)) => Err(damage),
            (Some((index, tree)), None) => self.mount_all(index, tree),
            (None, None) if reasons.is_empty() => {
                Err(DiskError::NoSystem("no file system has an os-release file".to_owned()))
            }
            (None, None) => Err(DiskError::Unsupported(reasons.join("; "))),
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
        let inodes = match volume.content.as_ref().map(|content| content.kind) {
            Some(kind @ (FileSystemKind::Ext | FileSystemKind::Xfs)) => {
                self.check_size(index, kind)?;
                open_inodes(&self.disk, kind, start, length, &[]).map_err(colon)?
            }
            Some(FileSystemKind::Vfat | FileSystemKind::Swap) => return Ok(None),
            Some(other @ (FileSystemKind::Btrfs | FileSystemKind::Lvm)) => {
                self.check_size(index, other)?;
                return Err(DiskError::Unsupported(format!(" is {}", other.name())));
            }
            Some(other) => return Err(DiskError::Unsupported(format!(" is {}", other.name()))),
            None => {
                if length < MIN_SYSTEM || self.is_blank(index)? {
                    return Ok(None);
                }
                return Err(DiskError::Unsupported(" holds something that tib does not know".to_owned()));
            }
        };
        let mut tree = OsTree::new(&self.disk, volume.partition.number, inodes, self.budget);
        let root = root_kind(&mut tree).map_err(colon)?;
        Ok(Some((tree, root)))
    }

    /// No appliance could mount what has lost its end, and none would say why.
    fn check_size(&self, index: usize, kind: FileSystemKind) -> Result<(), DiskError> {
        let Partition { number, start, length, .. } = self.volumes[index].partition;
        let mut disk = lock(&self.disk);
        let size = room(&mut **disk, kind, start)?.map_or(0, |room| room.size);
        if size <= length {
            return Ok(());
        }
        Err(DiskError::Damaged(format!(
            "{} has {}, and its {} needs {}: the image has lost its end",
            partition::place(number),
            Size(length),
            kind.name(),
            Size(size)
        )))
    }

    fn is_blank(&self, index: usize) -> Result<bool, DiskError> {
        let partition = &self.volumes[index].partition;
        let mut disk = lock(&self.disk);
        filesystem::is_blank(&mut **disk, partition.start, partition.length)
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
        for entry in fstab::to_mount(&entries)? {
            if let Spec::Bind { source, recursive } = &entry.spec {
                tree.bind(source, &entry.point, *recursive)?;
            } else if let Some(index) = volume_of(&entry, &self.volumes)? {
                let inodes = self.inodes(index, &entry)?;
                tree.mount(&entry.point, self.volumes[index].partition.number, inodes)?;
            }
        }
        if root_kind(&mut tree)? != RootLikeness::Yes {
            let number = self.volumes[root].partition.number;
            return Err(DiskError::NoSystem(format!(
                "the os-release of {} leads nowhere",
                partition::place(number)
            )));
        }
        Ok(Box::new(tree))
    }

    /// A file system that nothing mounts may be the root of another operating system.
    fn check_unread(&self, entries: &[FstabEntry]) -> Result<(), DiskError> {
        for (index, reason) in &self.unread {
            let volume = &self.volumes[*index];
            let kind = volume.content.as_ref().map(|content| content.kind);
            let may_be_root =
                matches!(kind, Some(FileSystemKind::Ext | FileSystemKind::Xfs | FileSystemKind::Btrfs));
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
        let Volume { partition, content } = &self.volumes[index];
        // What is not known is not mounted ([`volume_of`]).
        let kind = content.as_ref().map_or(FileSystemKind::Ext, |content| content.kind);
        open_inodes(&self.disk, kind, partition.start, partition.length, &entry.options)
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
