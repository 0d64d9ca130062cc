//! The files of an image, read without an appliance: finds the root, mounts what belongs to it, resolves links.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::cached::Cached;
use super::ext4::{FileSystem, Shared};
use super::filesystem::{self, FileSystemKind};
use super::fstab::{self, Volume};
use super::{BlockRead, DiskError, FileKind, Policy, Stat, Tree, open, partition};

/// Links followed on the way to one file, as in Linux.
const MAX_LINKS: usize = 40;
/// Longest path, as in Linux.
const MAX_PATH: usize = 4096;
/// Directories remembered to be no links.
const MAX_KNOWN: usize = 1 << 16;
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
    let disk: Shared = Arc::new(Mutex::new(Box::new(Cached::new(disk))));
    let open = |volume: &Volume| FileSystem::open(&disk, volume.partition.start, volume.partition.length);
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
        let mut tree = OsTree { mounts: vec![(Vec::new(), root)], known: HashSet::new() };
        if !tree.has_os()? {
            continue;
        }
        let fstab = match tree.read(b"/etc/fstab", MAX_FSTAB) {
            Ok(fstab) => fstab,
            Err(DiskError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        for (point, other) in fstab::mounts(&String::from_utf8_lossy(&fstab), &volumes)? {
            tree.mount(point.into_bytes(), open(&volumes[other])?)?;
        }
        return Ok(Box::new(tree));
    }
    Err(match reasons.as_slice() {
        [] => DiskError::NoSystem("no file system has an os-release file".to_owned()),
        reasons => DiskError::Unsupported(reasons.join("; ")),
    })
}

/// File systems, and where they are mounted.
struct OsTree {
    /// Canonical mount points without a final slash, so that the root's is empty.
    mounts: Vec<(Vec<u8>, FileSystem)>,
    /// Canonical paths of directories, so that their parts need not be asked for again.
    known: HashSet<Vec<u8>>,
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

    fn mount(&mut self, point: Vec<u8>, fs: FileSystem) -> Result<(), DiskError> {
        let point = match self.canonicalize(&point) {
            Ok(point) => point,
            // systemd makes a mount point that is missing.
            Err(DiskError::NotFound(_)) => point,
            Err(error) => return Err(error),
        };
        self.known.clear();
        self.mounts.push((point, fs));
        Ok(())
    }

    /// The file system a canonical path lies in, and the path within it.
    fn locate(&self, path: &[u8]) -> Result<(&FileSystem, Vec<u8>), DiskError> {
        let within = |point: &Vec<u8>| {
            path.strip_prefix(point.as_slice()).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let found = self.mounts.iter().filter_map(|(point, fs)| Some((point.len(), fs, within(point)?)));
        let (_, fs, rest) = found.max_by_key(|(length, ..)| *length).ok_or_else(|| not_found(path))?;
        Ok((fs, if rest.is_empty() { b"/".to_vec() } else { rest.to_vec() }))
    }

    fn lstat_canonical(&self, path: &[u8]) -> Result<Stat, DiskError> {
        let (fs, within) = self.locate(path)?;
        fs.lstat(&within).map_err(|error| renamed(error, path))
    }

    /// The canonical path up to the last part, which is appended as it is.
    fn canonical_parent(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let trimmed = without_final_slashes(path);
        let (parent, last) = match trimmed.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&trimmed[..at], &trimmed[at + 1..]),
            None => return self.canonicalize(path),
        };
        if matches!(last, b"" | b"." | b"..") {
            return self.canonicalize(path);
        }
        let mut full = self.canonicalize(if parent.is_empty() { b"/" } else { parent })?;
        if full != b"/" {
            if !self.known.contains(&full) && self.lstat_canonical(&full)?.kind != FileKind::Directory {
                return Err(wrong(&full, "is not a directory"));
            }
            full.push(b'/');
        }
        full.extend_from_slice(last);
        Ok(full)
    }
}

fn without_final_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    &path[..end]
}

impl Tree for OsTree {
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
        let path = self.canonicalize(path)?;
        let (fs, within) = self.locate(&path)?;
        fs.read_dir(&within).map_err(|error| renamed(error, &path))
    }

    fn lstat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        let canonical = self.canonical_parent(path)?;
        self.lstat_canonical(&canonical)
    }

    fn read_link(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let path = self.canonical_parent(path)?;
        let (fs, within) = self.locate(&path)?;
        fs.read_link(&within).map_err(|error| renamed(error, &path))
    }

    fn canonicalize(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        if !path.starts_with(b"/") {
            return Err(wrong(path, "is not an absolute path"));
        }
        if path.len() > MAX_PATH {
            return Err(wrong(path, "is too long"));
        }
        // Parts still to go, last first, and the canonical path so far (empty for the root).
        let mut parts: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect();
        let mut done: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = parts.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    done.truncate(done.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let before = done.len();
            done.push(b'/');
            done.extend_from_slice(&part);
            if self.known.contains(&done) {
                continue;
            }
            match self.lstat_canonical(&done)?.kind {
                FileKind::Directory => {
                    if self.known.len() < MAX_KNOWN {
                        self.known.insert(done.clone());
                    }
                }
                FileKind::Symlink => {
                    links += 1;
                    let (fs, within) = self.locate(&done)?;
                    let target = fs.read_link(&within)?;
                    let left: usize = parts.iter().map(|part| part.len() + 1).sum();
                    if links > MAX_LINKS || left + target.len() > MAX_PATH {
                        return Err(wrong(path, "goes through too many links"));
                    }
                    done.truncate(if target.starts_with(b"/") { 0 } else { before });
                    parts.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                }
                // A final slash, or more of the path, asks for a directory.
                _ if parts.is_empty() => {}
                _ => return Err(wrong(&done, "is not a directory")),
            }
        }
        Ok(if done.is_empty() { b"/".to_vec() } else { done })
    }

    fn read_to(&mut self, path: &[u8], sink: &mut dyn std::io::Write) -> Result<u64, DiskError> {
        let path = self.canonicalize(path)?;
        let (fs, within) = self.locate(&path)?;
        fs.read_to(&within, sink).map_err(|error| renamed(error, &path))
    }
}

/// The error of a mounted file system, with the path as the user knows it.
fn renamed(error: DiskError, path: &[u8]) -> DiskError {
    match error {
        DiskError::NotFound(_) => not_found(path),
        DiskError::WrongKind { problem, .. } => wrong(path, &problem),
        other => other,
    }
}

fn not_found(path: &[u8]) -> DiskError {
    DiskError::NotFound(String::from_utf8_lossy(path).into_owned())
}

fn wrong(path: &[u8], problem: &str) -> DiskError {
    DiskError::WrongKind { path: String::from_utf8_lossy(path).into_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
#[path = "os_tree_tests.rs"]
mod tests;
