//! FAT file systems, as EFI system partitions have them: which files there are, and what is in them.
//!
//! An own reader, because it must survive any bytes: the usual library computes with cluster numbers as it finds
//! them and follows chains that run in circles.

use super::{BlockRead, DiskError};

/// Largest allocation table read: 4 million clusters.
const MAX_TABLE: u64 = 16 << 20;
/// Largest directory read.
const MAX_DIRECTORY: u64 = 1 << 20;
/// Bytes of all directories together.
const MAX_DIRECTORIES: usize = 16 << 20;
/// Files and directories listed.
const MAX_ENTRIES: usize = 10_000;
/// Directories within directories.
const MAX_DEPTH: usize = 16;
const ENTRY: usize = 32;

const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;

/// A FAT file system on a disk.
pub(super) struct Fat<'a> {
    disk: &'a mut dyn BlockRead,
    kind: Kind,
    /// The allocation table: what follows each cluster, 0 for a free one.
    table: Vec<u32>,
    cluster_size: u64,
    /// Byte of the disk where cluster 2, the first, begins.
    data: u64,
    root: Root,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

#[derive(Debug, Clone, Copy)]
enum Root {
    /// FAT12 and FAT16: a stretch of its own.
    Stretch { start: u64, length: u64 },
    /// FAT32: a chain like any other.
    Chain(u32),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// From the root, with slashes.
    pub(super) path: String,
    pub(super) size: u64,
    first: u32,
}

impl<'a> Fat<'a> {
    /// Reads the boot sector and the allocation table of the file system at `start`.
    pub(super) fn open(disk: &'a mut dyn BlockRead, start: u64, length: u64) -> Result<Self, DiskError> {
        let mut boot = [0; 512];
        disk.read_exact_at(&mut boot, start)?;
        let short = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let long =
            |at: usize| u64::from(u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]));
        let either = |narrow: u64, wide: u64| if narrow == 0 { wide } else { narrow };
        let (sector, per_cluster) = (short(11), u64::from(boot[13]));
        let (reserved, tables, root_entries) = (short(14), u64::from(boot[16]), short(17));
        let sectors = either(short(19), long(32));
        let table_sectors = either(short(22), long(36));
        let is_sane = matches!(sector, 512 | 1024 | 2048 | 4096) && per_cluster.is_power_of_two();
        if !is_sane || reserved == 0 || tables == 0 || table_sectors == 0 {
            return damaged("its boot sector makes no sense");
        }
        let root_start = reserved + tables * table_sectors;
        let root_sectors = (root_entries * ENTRY as u64).div_ceil(sector);
        let data = root_start + root_sectors;
        if data >= sectors || sectors * sector > length {
            return damaged("it is larger than its partition");
        }
        let clusters = (sectors - data) / per_cluster;
        // The number of clusters alone decides (Microsoft's specification of FAT, section 3.5).
        let (kind, bits) = match clusters {
            ..4085 => (Kind::Fat12, 12),
            4085..65525 => (Kind::Fat16, 16),
            _ => (Kind::Fat32, 32),
        };
        let bytes = ((clusters + 2) * bits).div_ceil(8);
        if bytes > MAX_TABLE || bytes > table_sectors * sector {
            return damaged(format!("its allocation table cannot hold {clusters} clusters"));
        }
        let mut table = vec![0; usize::try_from(bytes).unwrap_or_default()];
        disk.read_exact_at(&mut table, start + reserved * sector)?;
        let root = match kind {
            Kind::Fat32 => Root::Chain(u32::try_from(long(44)).unwrap_or_default()),
            _ => Root::Stretch { start: start + root_start * sector, length: root_sectors * sector },
        };
        Ok(Self {
            disk,
            kind,
            table: links(kind, &table, clusters),
            cluster_size: per_cluster * sector,
            data: start + data * sector,
            root,
        })
    }

    /// Bytes that files can have, and bytes free.
    pub(super) fn space(&self) -> (u64, u64) {
        let clusters = self.table.get(2..).unwrap_or_default();
        let free = clusters.iter().filter(|next| **next == 0).count();
        (clusters.len() as u64 * self.cluster_size, free as u64 * self.cluster_size)
    }

    pub(super) fn cluster_size(&self) -> u64 {
        self.cluster_size
    }

    /// All files, by path, and the label.
    pub(super) fn files(&mut self) -> Result<(Vec<File>, Option<String>), DiskError> {
        let mut files = Vec::new();
        let mut label = None;
        let root = match self.root {
            Root::Stretch { start, length } if length < MAX_DIRECTORY => {
                let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
                self.disk.read_exact_at(&mut bytes, start)?;
                bytes
            }
            Root::Stretch { .. } => return damaged("its root directory is too large"),
            Root::Chain(first) => self.directory(first)?,
        };
        let mut pending = vec![(String::new(), root, 0)];
        let (mut seen, mut total) = (0, 0);
        while let Some((path, bytes, depth)) = pending.pop() {
            for entry in entries(&bytes) {
                seen += 1;
                if seen > MAX_ENTRIES || depth > MAX_DEPTH {
                    return damaged("it has too many or too deeply nested directories");
                }
                let path = format!("{path}/{}", entry.name);
                if entry.attributes & VOLUME_LABEL != 0 {
                    label = label.or(Some(entry.name.replace('.', "")).filter(|_| depth == 0));
                } else if entry.attributes & DIRECTORY != 0 {
                    let bytes = self.directory(entry.first)?;
                    total += bytes.len();
                    if total > MAX_DIRECTORIES {
                        return damaged("its directories are too large together");
                    }
                    pending.push((path, bytes, depth + 1));
                } else {
                    files.push(File { path, size: entry.size, first: entry.first });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((files, label))
    }

    /// The first bytes of a file, `limit` at the most.
    pub(super) fn read(&mut self, file: &File, limit: u64) -> Result<Vec<u8>, DiskError> {
        let length = file.size.min(limit);
        let mut bytes = if length == 0 { Vec::new() } else { self.chain(file.first, length)? };
        if (bytes.len() as u64) < length {
            return damaged(format!("`{}` is shorter than its directory says", file.path));
        }
        bytes.truncate(usize::try_from(length).unwrap_or_default());
        Ok(bytes)
    }

    fn directory(&mut self, first: u32) -> Result<Vec<u8>, DiskError> {
        let bytes = self.chain(first, MAX_DIRECTORY)?;
        if bytes.len() as u64 >= MAX_DIRECTORY {
            return damaged("a directory is too large, or runs in a circle");
        }
        Ok(bytes)
    }

    /// What a chain of clusters holds, at least `limit` bytes if there are so many.
    fn chain(&mut self, first: u32, limit: u64) -> Result<Vec<u8>, DiskError> {
        let mut bytes = Vec::new();
        let mut cluster = first;
        // No chain is longer than the table: one that runs in a circle ends with the limit or here.
        for _ in 0..self.table.len() {
            let next = match self.table.get(cluster as usize) {
                Some(next) if cluster >= 2 => *next,
                _ => return damaged("a chain of clusters leads out of it"),
            };
            let at = bytes.len();
            bytes.resize(at + usize::try_from(self.cluster_size).unwrap_or_default(), 0);
            self.disk
                .read_exact_at(&mut bytes[at..], self.data + u64::from(cluster - 2) * self.cluster_size)?;
            if bytes.len() as u64 >= limit || next >= self.kind.end() {
                return Ok(bytes);
            }
            cluster = next;
        }
        damaged("a chain of clusters runs in a circle")
    }
}

impl Kind {
    /// The lowest number that stands for the end of a chain.
    fn end(self) -> u32 {
        match self {
            Self::Fat12 => 0xff8,
            Self::Fat16 => 0xfff8,
            Self::Fat32 => 0x0fff_fff8,
        }
    }
}

/// The entries of an allocation table.
fn links(kind: Kind, table: &[u8], clusters: u64) -> Vec<u32> {
    let byte = |at: usize| u32::from(table.get(at).copied().unwrap_or(0));
    let pair = |at: usize| byte(at) | byte(at + 1) << 8;
    (0..usize::try_from(clusters).unwrap_or_default() + 2)
        .map(|cluster| match kind {
            Kind::Fat12 if cluster % 2 == 0 => pair(cluster * 3 / 2) & 0xfff,
            Kind::Fat12 => pair(cluster * 3 / 2) >> 4,
            Kind::Fat16 => pair(cluster * 2),
            Kind::Fat32 => (pair(cluster * 4) | pair(cluster * 4 + 2) << 16) & 0x0fff_ffff,
        })
        .collect()
}

struct Entry {
    name: String,
    attributes: u8,
    first: u32,
    size: u64,
}

/// The entries of a directory, without those for itself and its parent.
fn entries(directory: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    // Pieces of a long name stand before the entry they belong to, last piece first.
    let mut pieces: Vec<[u16; 13]> = Vec::new();
    let mut sum = None;
    for entry in directory.as_chunks::<ENTRY>().0 {
        match (entry[0], entry[11]) {
            (0, _) => break,
            (0xe5, _) => pieces.clear(),
            (order, LONG_NAME) => {
                if order & 0x40 != 0 {
                    pieces.clear();
                    sum = Some(entry[13]);
                }
                if pieces.len() < 20 {
                    pieces.push(piece(entry));
                }
            }
            (_, attributes) => {
                let pieces = std::mem::take(&mut pieces);
                let short = short_name(entry);
                if matches!(short.as_str(), "." | "..") {
                    continue;
                }
                let is_its = !pieces.is_empty() && sum == Some(checksum(entry));
                let name = if is_its { long_name(&pieces) } else { short };
                let half = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
                let size = u32::from_le_bytes([entry[28], entry[29], entry[30], entry[31]]);
                let first = half(26) | half(20) << 16;
                found.push(Entry { name, attributes, first, size: size.into() });
            }
        }
    }
    found
}

fn piece(entry: &[u8; ENTRY]) -> [u16; 13] {
    const PLACES: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
    PLACES.map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]))
}

fn long_name(pieces: &[[u16; 13]]) -> String {
    let units: Vec<u16> = pieces.iter().rev().flatten().copied().take_while(|unit| *unit != 0).collect();
    // A name cannot hold a slash, whatever its bytes say.
    String::from_utf16_lossy(&units).replace('/', "\u{fffd}")
}

fn short_name(entry: &[u8; ENTRY]) -> String {
    let part = |bytes: &[u8], is_lower: bool| {
        let text = String::from_utf8_lossy(bytes).trim_end().replace('/', "\u{fffd}");
        if is_lower { text.to_ascii_lowercase() } else { text }
    };
    let (stem, extension) = (part(&entry[..8], entry[12] & 8 != 0), part(&entry[8..11], entry[12] & 16 != 0));
    if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
}

/// The sum over a short name that its long name's pieces carry.
fn checksum(entry: &[u8; ENTRY]) -> u8 {
    entry[..11].iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

fn damaged<T>(what: impl Into<String>) -> Result<T, DiskError> {
    Err(DiskError::Damaged(format!("FAT: {}", what.into())))
}

#[cfg(test)]
#[path = "fat_tests.rs"]
mod tests;
