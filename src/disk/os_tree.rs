//! The files of an image, read without an appliance: file systems under one root, with links resolved.

mod mounting;

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::place::Place;
use super::tree::asks_for_directory;
use super::{DiskError, FileKind, Room, Root, Stat, Tree, Xattr};
use crate::block::{IS_DIRECTORY, Shared, TOO_MANY_LINKS};
use crate::filesystem::FileSystemKind;
use crate::filesystem::inodes::{Directory, Inodes};
use crate::shown::escape;

/// Links followed on the way to one file, as in Linux.
const MAX_LINKS: usize = 40;
/// Longest path, as in Linux.
const MAX_PATH: usize = 4096;
/// Bytes of paths of the directories that are remembered.
const MAX_KNOWN: usize = 4 << 20;

/// A place where something is mounted.
#[derive(Debug, Clone)]
struct Mount {
    /// Its canonical path without a final slash, so that the root's is empty.
    point: Vec<u8>,
    /// The file system.
    volume: usize,
    /// The inode of it that is seen there.
    inode: u64,
    /// The path it is seen at otherwise, if it is only shown a second time.
    source: Option<Vec<u8>>,
    /// Which part of the file system it is, if not the whole: a subvolume.
    part: Option<String>,
}

/// A file system of one of the partitions or logical volumes.
struct Volume {
    place: Place,
    inodes: Box<dyn Inodes>,
}

/// An inode below one of the mount points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    mount: usize,
    inode: u64,
}

/// File systems, and where they are mounted.
pub(super) struct OsTree {
    disk: Shared,
    volumes: Vec<Volume>,
    /// The root's comes first.
    mounts: Vec<Mount>,
    /// The last mount at each canonical path: that one counts.
    points: HashMap<Vec<u8>, usize>,
    /// Directories by canonical path (the root's is empty), so that the way to them need not be gone again.
    directories: HashMap<Vec<u8>, Node>,
    /// Bytes of their paths.
    known: usize,
    /// Bytes of files it gives before it takes the image for a trap.
    budget: u64,
    /// What the root file system is, and the room in it, where the disk alone does not tell.
    kind: Option<FileSystemKind>,
    room: Option<Room>,
    /// What is to be said of what is not there.
    missed: Vec<String>,
}

impl OsTree {
    /// A tree whose root lies there on `disk`. It gives `budget` bytes of files at the most.
    pub(super) fn new(disk: &Shared, place: Place, root: Box<dyn Inodes>, budget: u64) -> Self {
        let mount = Mount { point: Vec::new(), volume: 0, inode: root.root(), source: None, part: None };
        Self {
            disk: Arc::clone(disk),
            volumes: vec![Volume { place, inodes: root }],
            points: HashMap::from([(Vec::new(), 0)]),
            mounts: vec![mount],
            directories: HashMap::new(),
            known: 0,
            budget,
            kind: None,
            room: None,
            missed: Vec::new(),
        }
    }

    /// Keeps the way to a directory. All are forgotten when there are too many.
    fn remember(&mut self, path: &[u8], node: Node) {
        if self.known > MAX_KNOWN {
            self.forget();
        }
        if self.directories.insert(path.to_vec(), node).is_none() {
            self.known += path.len();
        }
    }

    fn forget(&mut self) {
        self.directories.clear();
        self.known = 0;
    }

    fn root_node(&self) -> Node {
        Node { mount: 0, inode: self.mounts[0].inode }
    }

    /// What is mounted at a canonical path.
    fn mounted_at(&self, path: &[u8]) -> Option<Node> {
        let mount = *self.points.get(path)?;
        Some(Node { mount, inode: self.mounts[mount].inode })
    }

    /// The file system that a node is in.
    fn inodes(&mut self, node: Node) -> &mut dyn Inodes {
        &mut *self.volumes[self.mounts[node.mount].volume].inodes
    }

    fn stat_of(&mut self, path: &[u8], node: Node) -> Result<Stat, DiskError> {
        let stat = self.inodes(node).stat(node.inode).map_err(|error| at(error, path))?;
        // What is shown at two places counts as two: whoever walks the tree meets no directory twice.
        Ok(Stat { device: stat.device << 16 | node.mount as u64, ..stat })
    }

    fn entries(&mut self, path: &[u8], node: Node) -> Result<Arc<Directory>, DiskError> {
        self.inodes(node).directory(node.inode).map_err(|error| at(error, path))
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
        // A final slash asks for what is behind a link, which must be a directory.
        let mut is_directory = asks_for_directory(path);
        let follow = follow || is_directory;
        // Parts still to go, last first; the canonical path so far, and the directories on it with its length.
        let mut parts = parts(path);
        let mut done: Vec<u8> = Vec::new();
        let mut way = vec![(0, self.root_node())];
        let mut links = 0;
        while let Some(part) = parts.pop() {
            let parent = way.last().map_or_else(|| self.root_node(), |(_, node)| *node);
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
                None => self.child(&done, parent, &part).map_err(|error| match error {
                    DiskError::NotFound(_) if links > 0 => DiskError::dangling(path, &whole(&done, &parts)),
                    error => error,
                })?,
            };
            let stat = self.stat_of(&done, node)?;
            match stat.kind {
                FileKind::Directory => {
                    self.remember(&done, node);
                    way.push((done.len(), node));
                }
                FileKind::Symlink if follow || !parts.is_empty() => {
                    links += 1;
                    let target = self.inodes(node).read_link(node.inode);
                    let target = target.map_err(|error| at(error, &done))?;
                    let left: usize = parts.iter().map(|part| part.len() + 1).sum();
                    if links > MAX_LINKS || left + target.len() > MAX_PATH {
                        return Err(wrong(path, TOO_MANY_LINKS));
                    }
                    if target.is_empty() {
                        return Err(not_found(path));
                    }
                    is_directory |= parts.is_empty() && asks_for_directory(&target);
                    if target.starts_with(b"/") {
                        done.clear();
                        way.truncate(1);
                    } else {
                        done.truncate(before);
                    }
                    parts.extend(self::parts(&target));
                }
                _ if parts.is_empty() && !is_directory => return Ok((done, node, stat)),
                _ => return Err(not_directory(&done)),
            }
        }
        let (_, node) = way.last().copied().unwrap_or((0, self.root_node()));
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

/// A path so far, and the parts still to go, last first.
fn whole(done: &[u8], parts: &[Vec<u8>]) -> Vec<u8> {
    let rest = parts.iter().rev().flat_map(|part| [b"/", part.as_slice()]);
    std::iter::once(done).chain(rest).collect::<Vec<_>>().concat()
}

impl Tree for OsTree {
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
        let (path, node, stat) = self.resolve(path, true)?;
        if stat.kind != FileKind::Directory {
            return Err(not_directory(&path));
        }
        self.remember(&path, node);
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
        self.inodes(node).read_link(node.inode).map_err(|error| at(error, &path))
    }

    fn canonicalize(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let (path, ..) = self.resolve(path, true)?;
        Ok(if path.is_empty() { b"/".to_vec() } else { path })
    }

    fn xattrs(&mut self, path: &[u8]) -> Result<Vec<Xattr>, DiskError> {
        let (path, node, _) = self.resolve(path, false)?;
        self.inodes(node).xattrs(node.inode).map_err(|error| at(error, &path))
    }

    fn keeps_xattrs(&mut self, path: &[u8]) -> Result<bool, DiskError> {
        let (_, node, _) = self.resolve(path, false)?;
        Ok(self.inodes(node).keeps_xattrs())
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
            FileKind::Directory => return Err(wrong(&path, IS_DIRECTORY)),
            _ => return Err(wrong(&path, "is not a regular file")),
        }
        self.spend(stat.size.saturating_sub(offset).min(length)).map_err(|error| at(error, &path))?;
        self.inodes(node).read_to(node.inode, offset, length, sink).map_err(|error| at(error, &path))
    }

    fn fork(&self) -> Option<Box<dyn Tree + '_>> {
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner).fork()?;
        let disk: Shared = Arc::new(Mutex::new(disk));
        let on = |Volume { place, inodes }: &Volume| {
            let inodes = inodes.on(&place.disk(&disk).ok()?);
            Some(Volume { place: place.clone(), inodes })
        };
        Some(Box::new(OsTree {
            volumes: self.volumes.iter().map(on).collect::<Option<_>>()?,
            mounts: self.mounts.clone(),
            points: self.points.clone(),
            directories: HashMap::new(),
            known: 0,
            budget: self.budget,
            kind: self.kind,
            room: self.room,
            missed: self.missed.clone(),
            disk,
        }))
    }

    fn root(&mut self) -> Result<Root, DiskError> {
        Ok(Root { place: self.volumes[0].place.root(), kind: self.kind, room: self.room, lacks: None })
    }

    fn explain(&self) -> String {
        let shown = |path: &[u8]| match String::from_utf8_lossy(path) {
            path if path.is_empty() => "/".to_owned(),
            path => path.into_owned(),
        };
        let mounts = self.mounts.iter().map(|mount| {
            let Volume { place, inodes } = &self.volumes[mount.volume];
            let what = match &mount.source {
                Some(source) => shown(source),
                None => {
                    let part = mount.part.as_ref().map(|part| format!(" (subvolume `{}`)", escape(part)));
                    format!("{} in {place}{}", inodes.name(), part.unwrap_or_default())
                }
            };
            format!("{} is {what}", shown(&mount.point))
        });
        let mounts = mounts.collect::<Vec<_>>().join(", ");
        let missed: String = self.missed.iter().map(|missed| format!("; {missed}")).collect();
        format!("read by tib itself: {mounts}{missed}")
    }

    fn missed(&self) -> &[String] {
        &self.missed
    }
}

/// The error of a file system, with the path as the user knows it.
fn at(error: DiskError, path: &[u8]) -> DiskError {
    let place = if path.is_empty() { "/".into() } else { String::from_utf8_lossy(path) };
    match error {
        DiskError::Damaged(what) => DiskError::Damaged(format!("{what}, at `{}`", escape(&place))),
        DiskError::Unsupported(what) => DiskError::Unsupported(format!("{what}, at `{}`", escape(&place))),
        other => other,
    }
}

fn not_found(path: &[u8]) -> DiskError {
    DiskError::NotFound(String::from_utf8_lossy(path).into_owned())
}

fn not_directory(path: &[u8]) -> DiskError {
    DiskError::NotDirectory(String::from_utf8_lossy(path).into_owned())
}

fn wrong(path: &[u8], problem: &str) -> DiskError {
    let path = if path.is_empty() { "/".into() } else { String::from_utf8_lossy(path) };
    DiskError::WrongKind { path: path.into_owned(), problem: problem.to_owned() }
}
