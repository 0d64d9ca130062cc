//! A tree in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use crate::disk::{
    BootSector, EfiProgram, Format, ImageInfo, Layout, PartitionLayout, TableKind, VolumeContent,
};
use crate::disk::{DiskError, FileKind, Root, RootPlace, Stat, Timestamp, Tree, Xattr, asks_for_directory};

const TIME: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };

#[derive(Debug, Clone)]
struct Node {
    stat: Stat,
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A tree in memory. Parents are made as needed; every access at or below a broken path fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemTree {
    nodes: BTreeMap<Vec<u8>, Node>,
    /// Nodes made so far.
    made: u64,
    broken: BTreeSet<Vec<u8>>,
    /// Devices whose files have no extended attributes.
    bare: BTreeSet<u64>,
    /// It cannot be forked.
    single: bool,
    /// The directories that were listed, in order.
    listed: Vec<Vec<u8>>,
}

impl MemTree {
    pub(crate) fn new() -> Self {
        Self::default().dir("/")
    }

    fn insert(mut self, path: &str, kind: FileKind, mode: u32, content: &[u8]) -> Self {
        let path = path.as_bytes();
        for (at, _) in path.iter().enumerate().filter(|&(at, &byte)| byte == b'/' && at > 0) {
            self = self.node(&path[..at], FileKind::Directory, 0o755, b"", false);
        }
        self.node(path, kind, mode, content, true)
    }

    fn node(mut self, path: &[u8], kind: FileKind, mode: u32, content: &[u8], replace: bool) -> Self {
        let stat = Stat {
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: content.len() as u64,
            allocated: content.len() as u64,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            inode: self.made + 2,
            device: 0,
            special: (0, 0),
            accessed: TIME,
            modified: TIME,
            changed: TIME,
        };
        if replace || !self.nodes.contains_key(path) {
            self.made += 1;
            self.nodes
                .insert(path.to_vec(), Node { stat, content: content.to_vec(), xattrs: BTreeMap::new() });
        }
        self
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.insert(path, FileKind::Directory, 0o755, b"")
    }

    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.insert(path, FileKind::File, 0o644, content.as_ref())
    }

    pub(crate) fn program(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.insert(path, FileKind::File, 0o755, content.as_ref())
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.insert(path, FileKind::Symlink, 0o777, target.as_bytes())
    }

    pub(crate) fn special(self, path: &str, kind: FileKind) -> Self {
        self.insert(path, kind, 0o644, b"")
    }

    pub(crate) fn access(mut self, path: &str, mode: u32, uid: u32, gid: u32) -> Self {
        let stat = &mut self.nodes.get_mut(path.as_bytes()).expect("no such node").stat;
        (stat.mode, stat.uid, stat.gid) = (mode, uid, gid);
        self
    }

    pub(crate) fn sized(mut self, path: &str, size: u64) -> Self {
        self.nodes.get_mut(path.as_bytes()).expect("no such node").stat.size = size;
        self
    }

    /// The space it takes.
    pub(crate) fn allocated(mut self, path: &str, allocated: u64) -> Self {
        self.nodes.get_mut(path.as_bytes()).expect("no such node").stat.allocated = allocated;
        self
    }

    /// When it was changed.
    pub(crate) fn modified(mut self, path: &str, seconds: i64, nanoseconds: u32) -> Self {
        self.nodes.get_mut(path.as_bytes()).expect("no such node").stat.modified =
            Timestamp { seconds, nanoseconds };
        self
    }

    pub(crate) fn xattr(mut self, path: &str, name: &str, value: impl AsRef<[u8]>) -> Self {
        let node = self.nodes.get_mut(path.as_bytes()).expect("no such node");
        node.xattrs.insert(name.as_bytes().to_vec(), value.as_ref().to_vec());
        self
    }

    /// Puts everything at and below a path on another device, which keeps no extended attributes.
    pub(crate) fn mounted_without_xattrs(mut self, path: &str, device: u64) -> Self {
        let below = super::files::join(path.as_bytes(), b"");
        for (at, node) in &mut self.nodes {
            if at == path.as_bytes() || at.starts_with(&below) {
                node.stat.device = device;
            }
        }
        self.bare.insert(device);
        self
    }

    /// Makes a second name of a file.
    pub(crate) fn hard_link(mut self, path: &str, other: &str) -> Self {
        let node = self.nodes.get_mut(path.as_bytes()).expect("no such node");
        node.stat.links += 1;
        let node = node.clone();
        self.nodes.insert(other.as_bytes().to_vec(), node);
        self
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        let below = format!("{path}/");
        self.nodes.retain(|at, _| at != path.as_bytes() && !at.starts_with(below.as_bytes()));
        self
    }

    pub(crate) fn broken(mut self, path: &str) -> Self {
        self.broken.insert(path.as_bytes().to_vec());
        self
    }

    /// How often a directory was listed.
    pub(crate) fn listed(&self, path: &str) -> usize {
        self.listed.iter().filter(|listed| *listed == path.as_bytes()).count()
    }

    pub(crate) fn single(self) -> Self {
        Self { single: true, ..self }
    }

    /// Writes everything below a directory of the host, to let other programs look at it.
    pub(crate) fn write_below(&self, root: &Path) {
        for (path, node) in &self.nodes {
            let relative = std::str::from_utf8(path).expect("a readable path").trim_start_matches('/');
            let path = root.join(relative);
            match node.stat.kind {
                FileKind::Directory => fs_err::create_dir_all(&path).unwrap(),
                FileKind::Symlink => {
                    let target = std::str::from_utf8(&node.content).expect("a readable target");
                    fs_err::os::unix::fs::symlink(target, &path).unwrap();
                }
                _ => fs_err::write(&path, &node.content).unwrap(),
            }
        }
    }

    fn check(&self, path: &[u8]) -> Result<(), DiskError> {
        let bad = self.broken.iter().any(|broken| {
            path.strip_prefix(broken.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || broken == b"/")
        });
        if bad { Err(DiskError::Damaged("bad block".to_owned())) } else { Ok(()) }
    }

    /// Resolves links in all parts but the last, and in the last too when `follow` is set.
    fn resolve(&self, path: &[u8], follow: bool) -> Result<Vec<u8>, DiskError> {
        let lossy = || String::from_utf8_lossy(path).into_owned();
        let mut todo: Vec<Vec<u8>> = path.split(|&b| b == b'/').rev().map(<[u8]>::to_vec).collect();
        let mut at = b"/".to_vec();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part.is_empty() || part == b"." {
                continue;
            }
            if self.nodes[&at].stat.kind != FileKind::Directory {
                return Err(DiskError::NotDirectory(lossy()));
            }
            if part == b".." {
                let end = at.iter().rposition(|&b| b == b'/').unwrap_or(0);
                at.truncate(end.max(1));
                continue;
            }
            let next = super::files::join(&at, &part);
            self.check(&next)?;
            let node = self.nodes.get(&next).ok_or_else(|| DiskError::NotFound(lossy()))?;
            let last = todo.iter().all(Vec::is_empty);
            let follow = follow || asks_for_directory(path);
            if node.stat.kind == FileKind::Symlink && (follow || !last) {
                links += 1;
                if links > 40 {
                    return Err(DiskError::WrongKind { path: lossy(), problem: "is a loop".to_owned() });
                }
                if node.content.starts_with(b"/") {
                    at = b"/".to_vec();
                }
                todo.extend(node.content.split(|&b| b == b'/').rev().map(<[u8]>::to_vec));
            } else {
                at = next;
            }
        }
        self.check(&at)?;
        if asks_for_directory(path) && self.nodes[&at].stat.kind != FileKind::Directory {
            return Err(DiskError::NotDirectory(lossy()));
        }
        Ok(at)
    }
}

impl Tree for MemTree {
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
        let at = self.resolve(path, true)?;
        if self.nodes[&at].stat.kind != FileKind::Directory {
            return Err(DiskError::NotDirectory(String::from_utf8_lossy(path).into_owned()));
        }
        self.listed.push(at.clone());
        let prefix = super::files::join(&at, b"");
        let names = self.nodes.keys().filter_map(|key| key.strip_prefix(prefix.as_slice()));
        // Backwards, because a tree promises no order.
        Ok(names.filter(|name| !name.is_empty() && !name.contains(&b'/')).map(<[u8]>::to_vec).rev().collect())
    }

    fn lstat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        Ok(self.nodes[&self.resolve(path, false)?].stat)
    }

    fn read_link(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let node = &self.nodes[&self.resolve(path, false)?];
        match node.stat.kind {
            FileKind::Symlink => Ok(node.content.clone()),
            _ => Err(DiskError::WrongKind {
                path: String::from_utf8_lossy(path).into_owned(),
                problem: "is not a link".to_owned(),
            }),
        }
    }

    fn canonicalize(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        self.resolve(path, true)
    }

    fn xattrs(&mut self, path: &[u8]) -> Result<Vec<Xattr>, DiskError> {
        let node = &self.nodes[&self.resolve(path, false)?];
        Ok(node
            .xattrs
            .iter()
            .map(|(name, value)| Xattr { name: name.clone(), value: value.clone() })
            .collect())
    }

    fn keeps_xattrs(&mut self, path: &[u8]) -> Result<bool, DiskError> {
        let device = self.lstat(path)?.device;
        Ok(!self.bare.contains(&device))
    }

    fn read_range(
        &mut self,
        path: &[u8],
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let node = &self.nodes[&self.resolve(path, true)?];
        if node.stat.kind != FileKind::File {
            let path = String::from_utf8_lossy(path).into_owned();
            return Err(DiskError::WrongKind { path, problem: "is not a file".to_owned() });
        }
        let end = node.content.len() as u64;
        let (from, to) = (offset.min(end), offset.saturating_add(length).min(end));
        sink.write_all(&node.content[from as usize..to as usize]).map_err(|source| DiskError::Io {
            action: "write",
            path: "sink".into(),
            source,
        })?;
        Ok(to - from)
    }

    fn fork(&self) -> Option<Box<dyn Tree + '_>> {
        (!self.single).then(|| -> Box<dyn Tree> { Box::new(self.clone()) })
    }

    fn root(&mut self) -> Result<Root, DiskError> {
        Ok(Root { place: RootPlace::Partition(1), kind: None, room: None, lacks: None })
    }

    fn explain(&self) -> String {
        "kept in memory".to_owned()
    }
}

/// A disk with a boot sector, and with programs for UEFI firmware (path, machine) in partition 15.
pub(crate) fn layout(boot_sector: Option<BootSector>, programs: &[(&str, &str)]) -> Layout {
    let image = ImageInfo {
        format: Format::Raw,
        virtual_size: 0,
        file_size: 0,
        allocated: 0,
        version: None,
        cluster_size: None,
        compression: None,
        snapshots: 0,
        backing: Vec::new(),
    };
    let program = |(path, machine): &(&str, &str)| EfiProgram {
        path: (*path).to_owned(),
        size: 1,
        machine: Some((*machine).to_owned()),
        loader: None,
    };
    let content =
        VolumeContent { efi_programs: programs.iter().map(program).collect(), ..VolumeContent::default() };
    let partition = PartitionLayout {
        number: 15,
        start: 0,
        length: 0,
        type_code: None,
        type_name: None,
        label: None,
        id: None,
        active: false,
        content: Some(content),
        problem: None,
    };
    Layout {
        image,
        table: TableKind::Gpt,
        boot_sector,
        partitions: vec![partition],
        logical_volumes: Vec::new(),
    }
}
