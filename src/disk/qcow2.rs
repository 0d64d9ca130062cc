//! A reader for everything the header check lets through: versions 2 and 3, zlib and zstd, any chain.
//!
//! It stands beside the `qcow2-rs` library ([`super::library`]), reads what that cannot, says which parts of
//! a disk are empty, and checks an image's tables before the library sees them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::File;

use super::codec::Decompress;
use super::header::Header;
use super::overlaps::Places;
use super::raw::read_padded;
use super::{BlockRead, DiskError, Extent};
use crate::block::check_range;

/// Bits of a table entry that hold a host offset.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const ENTRY_COMPRESSED: u64 = 1 << 62;
const ENTRY_ZERO: u64 = 1;
/// Memory for level-2 tables.
const L2_CACHE_BYTES: u64 = 4 << 20;
/// Level-2 entries that one question about an extent looks at.
const EXTENT_ENTRIES: u64 = 4096;

/// What a level-2 entry says about a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mapping {
    Unallocated,
    Zero,
    Plain(u64),
    Compressed { offset: u64, length: u64 },
}

/// An open qcow2 file and all it is backed by.
pub(super) struct Qcow2 {
    file: Arc<File>,
    path: PathBuf,
    file_size: u64,
    header: Header,
    l1: Vec<u64>,
    l2: VecDeque<(u64, Box<[u64]>)>,
    backing: Option<Box<dyn BlockRead>>,
    decompress: Decompress,
    /// The compressed cluster read last: its guest offset and content.
    unpacked: Option<(u64, Vec<u8>)>,
}

impl Qcow2 {
    /// Opens a file whose header has been checked.
    pub(super) fn new(
        file: Arc<File>,
        path: &Path,
        file_size: u64,
        header: Header,
        backing: Option<Box<dyn BlockRead>>,
    ) -> Result<Self, DiskError> {
        let l1 = read_table(&file, path, header.l1_offset, header.l1_entries as usize)?;
        let decompress = Decompress::new(header.compression)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            file_size,
            header,
            l1,
            l2: VecDeque::new(),
            backing,
            decompress,
            unpacked: None,
        })
    }

    /// Makes sure that no two parts of the file lie in the same place: header, tables, clusters.
    ///
    /// Looks at `budget` level-2 entries at most; what lies behind this image is not looked at.
    pub(super) fn check_overlaps(&self, mut budget: u64) -> Result<(), DiskError> {
        let (header, cluster) = (&self.header, self.header.cluster_size());
        let mut places = Places::new(self.file_size, header.cluster_bits);
        places.take(0, 1)?;
        if header.l1_entries > 0 {
            places.take(header.l1_offset, u64::from(header.l1_entries) * 8)?;
        }
        for offset in self.l1.iter().map(|entry| entry & OFFSET_MASK).filter(|offset| *offset != 0) {
            if !offset.is_multiple_of(cluster) || !self.inside(offset, cluster) {
                return Err(self.damaged("a level-2 table outside the file or not aligned", offset));
            }
            places.take(offset, cluster)?;
            if budget < header.l2_entries() {
                return Ok(());
            }
            budget -= header.l2_entries();
            for entry in read_table(&self.file, &self.path, offset, self.table_length())? {
                // What is wrong with an entry is said when it is used.
                match self.decode(entry) {
                    Ok(Mapping::Plain(offset)) => places.take(offset, cluster)?,
                    Ok(Mapping::Compressed { offset, .. }) => places.take_compressed(offset)?,
                    Ok(Mapping::Unallocated | Mapping::Zero) | Err(_) => {}
                }
            }
        }
        places.finish()
    }

    /// Whether every entry of every table points to a cluster that is not compressed, inside the file, at a cluster's
    /// start, with no reserved bit set. Looks at `budget` level-2 entries at most; `false` when there are more.
    ///
    /// What lies behind this image is not looked at.
    pub(super) fn tables_are_plain(&self, mut budget: u64) -> Result<bool, DiskError> {
        for index in 0..self.l1.len() {
            let entry = self.l1[index];
            if entry & !(OFFSET_MASK | 1 << 63) != 0 {
                return Ok(false);
            }
            let offset = entry & OFFSET_MASK;
            if offset == 0 {
                continue;
            }
            let entries = self.header.l2_entries();
            if budget < entries || !offset.is_multiple_of(self.header.cluster_size()) {
                return Ok(false);
            }
            budget -= entries;
            if !self.inside(offset, self.header.cluster_size()) {
                return Ok(false);
            }
            let table = read_table(&self.file, &self.path, offset, self.table_length())?;
            if !table.iter().all(|entry| self.entry_is_plain(*entry)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entry_is_plain(&self, entry: u64) -> bool {
        let foreign = ENTRY_COMPRESSED | !(OFFSET_MASK | 1 << 63 | ENTRY_ZERO);
        entry & foreign == 0 && self.decode(entry).is_ok()
    }

    fn table_length(&self) -> usize {
        1 << (self.header.cluster_bits - 3)
    }

    fn inside(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.file_size)
    }

    fn damaged(&self, what: &str, offset: u64) -> DiskError {
        DiskError::Damaged(format!("{what} at {offset} of `{}`", self.path.display()))
    }

    fn decode(&self, entry: u64) -> Result<Mapping, DiskError> {
        let bits = self.header.cluster_bits;
        if entry & ENTRY_COMPRESSED != 0 {
            let shift = 62 - (bits - 8);
            let offset = entry & ((1 << shift) - 1);
            let sectors = (entry >> shift) & ((1 << (bits - 8)) - 1);
            let length = (sectors + 1) * 512 - (offset & 511);
            // Writers may count a sector that the end of the file cuts short; the start must be inside.
            if !self.inside(offset, 1) {
                return Err(self.damaged("a compressed cluster outside the file", offset));
            }
            return Ok(Mapping::Compressed { offset, length });
        }
        let offset = entry & OFFSET_MASK;
        if entry & ENTRY_ZERO != 0 && self.header.version >= 3 {
            return Ok(Mapping::Zero);
        }
        if offset == 0 {
            return Ok(Mapping::Unallocated);
        }
        if !offset.is_multiple_of(self.header.cluster_size()) {
            return Err(self.damaged("a cluster that is not aligned", offset));
        }
        // The last cluster of a file may be cut short: what is missing reads as zeros, as in qemu.
        if !self.inside(offset, 1) {
            return Err(self.damaged("a cluster outside the file", offset));
        }
        Ok(Mapping::Plain(offset))
    }

    /// The level-2 table that maps `offset`, unless nothing there is allocated.
    fn l2_table(&mut self, offset: u64) -> Result<Option<&[u64]>, DiskError> {
        let span = self.header.cluster_size() * self.header.l2_entries();
        let entry = usize::try_from(offset / span).ok().and_then(|index| self.l1.get(index)).copied();
        let at = entry.unwrap_or(0) & OFFSET_MASK;
        if at == 0 {
            return Ok(None);
        }
        if !at.is_multiple_of(self.header.cluster_size()) || !self.inside(at, self.header.cluster_size()) {
            return Err(self.damaged("a level-2 table outside the file or not aligned", at));
        }
        let found = match self.l2.iter().position(|(key, _)| *key == at) {
            Some(found) => found,
            None => {
                let table = read_table(&self.file, &self.path, at, self.table_length())?;
                let keep = (L2_CACHE_BYTES / self.header.cluster_size()).clamp(2, 64) as usize;
                self.l2.truncate(keep - 1);
                self.l2.push_front((at, table.into_boxed_slice()));
                0
            }
        };
        Ok(self.l2.get(found).map(|(_, table)| &**table))
    }

    fn mapping(&mut self, offset: u64) -> Result<Mapping, DiskError> {
        let index = (offset / self.header.cluster_size()) % self.header.l2_entries();
        let entry = self.l2_table(offset)?.and_then(|table| table.get(index as usize).copied());
        entry.map_or(Ok(Mapping::Unallocated), |entry| self.decode(entry))
    }

    /// The kind of the cluster at `offset`, and how many bytes from there on are of the same kind.
    fn run(&mut self, offset: u64) -> Result<(Mapping, u64), DiskError> {
        let cluster = self.header.cluster_size();
        let entries = self.header.l2_entries();
        let rest = self.header.virtual_size - offset;
        let first = (offset / cluster) % entries;
        let until = |index: u64| (index * cluster - offset % (cluster * entries)).min(rest);
        let Some(table) = self.l2_table(offset)? else {
            return Ok((Mapping::Unallocated, until(entries)));
        };
        let end = entries.min(first + EXTENT_ENTRIES);
        let run: Vec<u64> = table.get(first as usize..end as usize).unwrap_or_default().to_vec();
        let mut kind = None;
        for (index, entry) in (first..).zip(run) {
            let mapping = self.decode(entry)?;
            match kind {
                None => kind = Some(mapping),
                Some(kind) if std::mem::discriminant(&kind) == std::mem::discriminant(&mapping) => {}
                Some(kind) => return Ok((kind, until(index))),
            }
        }
        Ok((kind.unwrap_or(Mapping::Unallocated), until(end)))
    }

    fn read_piece(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let within = offset % self.header.cluster_size();
        match self.mapping(offset)? {
            Mapping::Zero => buffer.fill(0),
            Mapping::Unallocated => read_backing(self.backing.as_mut(), buffer, offset)?,
            Mapping::Plain(at) => read_padded(&self.file, &self.path, buffer, at + within)?,
            Mapping::Compressed { offset: at, length } => {
                self.unpack(offset - within, at, length)?;
                let start = within as usize;
                if let Some((_, content)) = &self.unpacked {
                    buffer.copy_from_slice(&content[start..start + buffer.len()]);
                }
            }
        }
        Ok(())
    }

    fn unpack(&mut self, guest: u64, at: u64, length: u64) -> Result<(), DiskError> {
        if self.unpacked.as_ref().is_some_and(|(key, _)| *key == guest) {
            return Ok(());
        }
        // The length comes from a field too narrow for more than two clusters.
        let mut packed = vec![0; length as usize];
        read_padded(&self.file, &self.path, &mut packed, at)?;
        let (_, mut content) = self.unpacked.take().unwrap_or_default();
        content.resize(self.header.cluster_size() as usize, 0);
        self.decompress.unpack(&packed, &mut content).map_err(|reason| {
            self.damaged(&format!("a compressed cluster that cannot be unpacked ({reason})"), at)
        })?;
        self.unpacked = Some((guest, content));
        Ok(())
    }
}

fn read_table(file: &File, path: &Path, offset: u64, entries: usize) -> Result<Vec<u64>, DiskError> {
    let mut bytes = vec![0; entries * 8];
    read_padded(file, path, &mut bytes, offset)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_be_bytes(*chunk)).collect())
}

/// Reads from behind an image; past the end of what lies there are zeros.
fn read_backing(
    backing: Option<&mut Box<dyn BlockRead>>,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), DiskError> {
    let Some(backing) = backing else {
        buffer.fill(0);
        return Ok(());
    };
    let there = backing.size().saturating_sub(offset).min(buffer.len() as u64) as usize;
    let (inside, outside) = buffer.split_at_mut(there);
    outside.fill(0);
    if inside.is_empty() { Ok(()) } else { backing.read_exact_at(inside, offset) }
}

impl BlockRead for Qcow2 {
    fn size(&self) -> u64 {
        self.header.virtual_size
    }

    fn read_exact_at(&mut self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len() as u64)?;
        let cluster = self.header.cluster_size();
        while !buffer.is_empty() {
            let piece = (cluster - offset % cluster).min(buffer.len() as u64) as usize;
            let (head, rest) = buffer.split_at_mut(piece);
            self.read_piece(head, offset)?;
            buffer = rest;
            offset += piece as u64;
        }
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        check_range(self.size(), offset, 1)?;
        let (kind, length) = self.run(offset)?;
        match (kind, self.backing.as_deref_mut()) {
            (Mapping::Plain(_) | Mapping::Compressed { .. }, _) => Ok(Extent { length, zero: false }),
            (Mapping::Unallocated, Some(backing)) if offset < backing.size() => {
                let behind = backing.extent(offset)?;
                Ok(Extent { length: length.min(behind.length), zero: behind.zero })
            }
            (Mapping::Zero | Mapping::Unallocated, _) => Ok(Extent { length, zero: true }),
        }
    }

    fn fork(&self) -> Option<Box<dyn BlockRead>> {
        let backing = match &self.backing {
            Some(backing) => Some(backing.fork()?),
            None => None,
        };
        Some(Box::new(Self {
            file: Arc::clone(&self.file),
            path: self.path.clone(),
            file_size: self.file_size,
            header: self.header.clone(),
            l1: self.l1.clone(),
            l2: VecDeque::new(),
            backing,
            decompress: Decompress::new(self.header.compression).ok()?,
            unpacked: None,
        }))
    }
}
