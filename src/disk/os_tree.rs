//! The files of an image, read without an appliance: finds the root, mounts what belongs to it, resolves links.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::cached::Cached;
use super::ext4::Ext;
use super::filesystem::{self, FileSystemKind};
use super::fstab::{self, Volume};
use super::inodes::{Directory, Inodes, Shared};
use super::{BlockRead, DiskError, FileKind, Policy, Stat, Tree, Xattr, open, partition};

/// Links followed on the way to one file, as in Linux.
const MAX_LINKS: usize = 40;
/// Longest path, as in Linux.
const MAX_PATH: usize = 4096;
/// Directories remembered by path.
const MAX_KNOWN: usize = 1 << 16;
/// Bytes that one tree gives, beside four times what the disk holds: files may claim more than any disk has.
const MAX_READ: u64 = 64 << 30;
/// Largest `/etc/fstab` read.
const MAX_FSTAB: u64 = 1 << 20;
/// A partition too small for an operating system is not worth an appliance.
const MIN_SYSTEM: u64 = 64 << 20;
const OS_RELEASE: [&[u8]; 2] = [b"/etc/os-release", b"/usr/lib/os-release"];

/// Opens the operating system in an image file, through the gate.
///
/// # Errors
/// As [`open()`] and [`open_tree`].
pub fn open_os_tree(path: &Path, policy: &Policy) -> Result<Box<dyn Tree>, DiskError> {
    open_tree(open(path, policy)?)
}

/// Opens the operating system on a disk: the ext file system that has an `os-release`, with the others mounted
/// as its `/etc/fstab` says.
///
/// # Errors
/// [`DiskError::Unsupported`] when part of it is something tib does not read by itself (XFS, Btrfs, LVM, LUKS, an
/// ext4 feature): an appliance may. [`DiskError::NoSystem`], [`DiskError::Damaged`].
pub fn open_tree(mut disk: Box<dyn BlockRead>) -> Result<Box<dyn Tree>, DiskError> {
    let mut volumes = Vec::new();
    for partition in partition::list(disk.as_mut())? {
        let content = filesystem::detect(disk.as_mut(), partition.start, partition.length)?;
        volumes.push(Volume { partition, content });
    }
    let budget = disk.size().saturating_mul(4).saturating_add(MAX_READ);
    let disk: Shared = Arc::new(Mutex::new(Box::new(Cached::new(disk))));
    let open = |volume: &Volume| Ext::open(&disk, volume.partition.start, volume.partition.length);
    let mut reasons = Vec::new();
    for volume in &volumes {
        let number = volume.partition.number;
        let Some(content) = &volume.content else {
            if volume.partition.length >= MIN_SYSTEM {
                reasons.push(format!("partition {number} holds something that tib does not know"));
            }
            continue;
        };
        match content.kind {
            FileSystemKind::Ext => {}
            FileSystemKind::Vfat | FileSystemKind::Swap => continue,
            other => {
                reasons.push(format!("partition {number} is {}", other.name()));
                continue;
            }
        }
        let root = match open(volume) {
            Ok(root) => root,
            Err(DiskError::Unsupported(reason)) => {
                reasons.push(format!("partition {number}: {reason}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut tree =
            OsTree { disk: Arc::clone(&disk), mounts: Vec::new(), directories: HashMap::new(), budget };
        tree.mounts.push(Mount { point: Vec::new(), partition: number, inodes: Box::new(root) });
        if !tree.has_os()? {
            continue;
        }
        let fstab = match tree.read(b"/etc/fstab", MAX_FSTAB) {
            Ok(fstab) => fstab,
            Err(DiskError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        for (point, other) in fstab::mounts(&String::from_utf8_lossy(&fstab), &volumes)? {
            let inodes = Box::new(open(&volumes[other])?);
            tree.mount(point.into_bytes(), volumes[other].partition.number, inodes)?;
        }
        return Ok(Box::new(tree));
    }
    Err(match reasons.as_slice() {
        [] => DiskError::NoSystem("no file system has an os-release file".to_owned()),
        reasons => DiskError::Unsupported(reasons.join("; ")),
    })
}

/// A mounted file system.
struct Mount {
    /// Its canonical path without a final slash, so that the root's is empty.
    point: Vec<u8>,
    /// Number of the partition it is in.
    partition: u32,
    inodes: Box<dyn Inodes>,
}

/// An inode of one of the mounted file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    mount: usize,
    inode: u64,
}

/// File systems, and where they are mounted.
struct OsTree {
    disk: Shared,
    mounts: Vec<Mount>,
    /// Directories by canonical path (the root's is empty), so that the way to them need not be gone again.
    directories: HashMap<Vec<u8>, Node>,
    /// Bytes of files it gives before it takes the image for a trap.
    budget: u64,
}

impl OsTree {
    fn has_os(&mut self) -> Result<bool, DiskError> {
        for path in OS_RELEASE {
            match self.stat(path) {
                Ok(stat) if stat.kind == FileKind::File => return Ok(true),
                Ok(_) | Err(DiskError::NotFound(_) | DiskError::WrongKind { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn mount(&mut self, point: Vec<u8>, partition: u32, inodes: Box<dyn Inodes>) -> Result<(), DiskError> {
        let point = match self.canonicalize(&point) {
            Ok(point) => point,
            // systemd makes a mount point that is missing.
            Err(DiskError::NotFound(_)) => point,
            Err(error) => return Err(error),
        };
        self.directories.clear();
        self.mounts.push(Mount { point, partition, inodes });
        Ok(())
    }

    fn root(&self) -> Node {
        Node { mount: 0, inode: self.mounts[0].inodes.root() }
    }

    /// The root of what is mounted at a canonical path: the last mount there counts.
    fn mounted_at(&self, path: &[u8]) -> Option<Node> {
        let mount = self.mounts.iter().rposition(|mount| mount.point == path)?;
        Some(Node { mount, inode: self.mounts[mount].inodes.root() })
    }

    fn stat_of(&mut self, path: &[u8], node: Node) -> Result<Stat, DiskError> {
        let stat = self.mounts[node.mount].inodes.stat(node.inode).map_err(|error| at(error, path))?;
        Ok(Stat { device: node.mount as u64, ..stat })
    }

    fn entries(&mut self, path: &[u8], node: Node) -> Result<Arc<Directory>, DiskError> {
        self.mounts[node.mount].inodes.directory(node.inode).map_err(|error| at(error, path))
    }

    /// What a name in a directory stands for. `path` is the canonical path of both together.
    fn child(&mut self, path: &[u8], directory: Node, name: &[u8]) -> Result<Node, DiskError> {
        if let Some(root) = self.mounted_at(path) {
            return Ok(root);
        }
        let found = self.entries(path, directory)?.get(name);
        found.map(|inode| Node { inode, ..directory }).ok_or_else(|| not_found(path))
    }

    /// Goes along a path, links followed except, unless `follow` is set, one in the last part. Gives the
    /// canonical path (the root's is empty) and what is there.
    fn resolve(&mut self, path: &[u8], follow: bool) -> Result<(Vec<u8>, Node, Stat), DiskError> {
        if !path.starts_with(b"/") {
            return Err(wrong(path, "is not an absolute path"));
        }
        if path.len() > MAX_PATH {
            return Err(wrong(path, "is too long"));
        }
        if let Some(found) = self.shortcut(path, follow)? {
            return Ok(found);
        }
        // A final slash asks for what is behind a link.
        let follow = follow || path.ends_with(b"/");
        // Parts still to go, last first; the canonical path so far, and the directories on it with its length.
        let mut parts = parts(path);
        let mut done: Vec<u8> = Vec::new();
        let mut way = vec![(0, self.root())];
        let mut links = 0;
        while let Some(part) = parts.pop() {
            let parent = way.last().map_or_else(|| self.root(), |(_, node)| *node);
            if part == b".." {
                if way.len() > 1 {
                    way.pop();
                }
                done.truncate(way.last().map_or(0, |(length, _)| *length));
                continue;
            }
            let before = done.len();
            done.push(b'/');
            done.extend_from_slice(&part);
            let node = match self.directories.get(&done) {
                Some(node) => *node,
                None => self.child(&done, parent, &part)?,
            };
            let stat = self.stat_of(&done, node)?;
            match stat.kind {
                FileKind::Directory => {
                    if self.directories.len() < MAX_KNOWN {
                        self.directories.insert(done.clone(), node);
                    }
                    way.push((done.len(), node));
                }
                FileKind::Symlink if follow || !parts.is_empty() => {
                    links += 1;
                    let target = self.mounts[node.mount].inodes.read_link(node.inode);
                    let target = target.map_err(|error| at(error, &done))?;
                    let left: usize = parts.iter().map(|part| part.len() + 1).sum();
                    if links > MAX_LINKS || left + target.len() > MAX_PATH {
                        return Err(wrong(path, "goes through too many links"));
                    }
                    if target.is_empty() {
                        return Err(not_found(path));
                    }
                    if target.starts_with(b"/") {
                        done.clear();
                        way.truncate(1);
                    } else {
                        done.truncate(before);
                    }
                    parts.extend(self::parts(&target));
                }
                _ if parts.is_empty() => return Ok((done, node, stat)),
                _ => return Err(wrong(&done, "is not a directory")),
            }
        }
        let (_, node) = way.last().copied().unwrap_or((0, self.root()));
        let stat = self.stat_of(&done, node)?;
        Ok((done, node, stat))
    }

    /// The usual question of whoever walks a tree: a name in a directory that is known.
    fn shortcut(&mut self, path: &[u8], follow: bool) -> Result<Option<(Vec<u8>, Node, Stat)>, DiskError> {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else { return Ok(None) };
        let (parent, name) = (&path[..slash], &path[slash + 1..]);
        let directory = match self.directories.get(parent) {
            Some(directory) if !matches!(name, b"" | b"." | b"..") => *directory,
            _ => return Ok(None),
        };
        let node = self.child(path, directory, name)?;
        let stat = self.stat_of(path, node)?;
        Ok((stat.kind != FileKind::Symlink || !follow).then(|| (path.to_vec(), node, stat)))
    }

    fn spend(&mut self, bytes: u64) -> Result<(), DiskError> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or_else(|| {
            DiskError::Damaged("its files hold far more than the disk, which no real image does".to_owned())
        })?;
        Ok(())
    }
}

/// The parts of a path that lead anywhere, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').rev();
    parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
}

impl Tree for OsTree {
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
        let (path, node, stat) = self.resolve(path, true)?;
        if stat.kind != FileKind::Directory {
            return Err(wrong(&path, "is not a directory"));
        }
        self.directories.insert(path.clone(), node);
        Ok(self.entries(&path, node)?.names().map(<[u8]>::to_vec).collect())
    }

    fn lstat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        self.resolve(path, false).map(|(_, _, stat)| stat)
    }

    fn stat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        self.resolve(path, true).map(|(_, _, stat)| stat)
    }

    fn read_link(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let (path, node, stat) = self.resolve(path, false)?;
        if stat.kind != FileKind::Symlink {
            return Err(wrong(&path, "is not a link"));
        }
        self.mounts[node.mount].inodes.read_link(node.inode).map_err(|error| at(error, &path))
    }

    fn canonicalize(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let (path, ..) = self.resolve(path, true)?;
        Ok(if path.is_empty() { b"/".to_vec() } else { path })
    }

    fn xattrs(&mut self, path: &[u8]) -> Result<Vec<Xattr>, DiskError> {
        let (path, node, _) = self.resolve(path, false)?;
        self.mounts[node.mount].inodes.xattrs(node.inode).map_err(|error| at(error, &path))
    }

    fn read_range(
        &mut self,
        path: &[u8],
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let (path, node, stat) = self.resolve(path, true)?;
        match stat.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(wrong(&path, "is a directory")),
            _ => return Err(wrong(&path, "is not a regular file")),
        }
        self.spend(stat.size.saturating_sub(offset).min(length)).map_err(|error| at(error, &path))?;
        let inodes = &mut self.mounts[node.mount].inodes;
        inodes.read_to(node.inode, offset, length, sink).map_err(|error| at(error, &path))
    }

    fn fork(&self) -> Option<Box<dyn Tree + '_>> {
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner).fork()?;
        let disk: Shared = Arc::new(Mutex::new(disk));
        let mounts = self.mounts.iter().map(|mount| Mount {
            point: mount.point.clone(),
            partition: mount.partition,
            inodes: mount.inodes.on(&disk),
        });
        let mounts = mounts.collect();
        Some(Box::new(OsTree { disk, mounts, directories: HashMap::new(), budget: self.budget }))
    }

    fn explain(&self) -> String {
        let mounts = self.mounts.iter().map(|mount| {
            let point = String::from_utf8_lossy(&mount.point);
            let point = if point.is_empty() { "/" } else { &*point };
            format!("{point} is {} in partition {}", mount.inodes.name(), mount.partition)
        });
        format!("read by tib itself: {}", mounts.collect::<Vec<_>>().join(", "))
    }
}

/// The error of a file system, with the path as the user knows it.
fn at(error: DiskError, path: &[u8]) -> DiskError {
    let place = if path.is_empty() { "/".into() } else { String::from_utf8_lossy(path) };
    match error {
        DiskError::Damaged(what) => DiskError::Damaged(format!("{what}, at `{}`", place.escape_debug())),
        DiskError::Unsupported(what) => {
            DiskError::Unsupported(format!("{what}, at `{}`", place.escape_debug()))
        }
        other => other,
    }
}

fn not_found(path: &[u8]) -> DiskError {
    DiskError::NotFound(String::from_utf8_lossy(path).into_owned())
}

fn wrong(path: &[u8], problem: &str) -> DiskError {
    let path = if path.is_empty() { "/".into() } else { String::from_utf8_lossy(path) };
    DiskError::WrongKind { path: path.into_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
#[path = "os_tree_tests.rs"]
mod tests;
