//! Partition tables: GPT (either copy) and MBR with logical partitions.
//!
//! Own parsers, because the tables come from untrusted images: the usual libraries allocate what a header
//! asks for and overflow on offsets that make no sense.

use serde::Serialize;

use super::{BlockRead, DiskError};
use crate::block::bytes::le64;
use crate::filesystem;

/// Bytes of a sector of every disk that is not said to be different, and of those that clouds give their instances.
pub const SECTOR: u64 = 512;
/// What disks with larger sectors have, some of which vendors make images of.
const LARGE_SECTOR: u64 = 4096;
const GPT_MAGIC: &[u8; 8] = b"EFI PART";
/// Entries of a GPT that are read; every real table has 128.
const MAX_ENTRIES: u32 = 1024;
/// Logical partitions that are followed.
const MAX_LOGICAL: usize = 128;

/// A stretch of the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Partition {
    /// The number Linux gives it, from 1; 0 for a file system that takes the whole disk.
    pub number: u32,
    /// Byte it starts at.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// What the table says it is for.
    pub kind: Kind,
    /// GPT: its name.
    pub label: Option<String>,
    /// Its identity (`PARTUUID`): a GUID, or disk signature and number on MBR disks.
    pub id: Option<String>,
}

/// A partition, for people.
pub(super) fn place(number: u32) -> String {
    if number == 0 { "the disk without partitions".to_owned() } else { format!("partition {number}") }
}

/// What a partition is for, as its table says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Type GUID, lower case.
    Gpt(String),
    /// Type byte.
    Mbr(u8),
    /// No table: the whole disk.
    Disk,
}

/// The partitions of a disk, in the order of their numbers. A disk without a table but with a file system is
/// one partition.
///
/// # Errors
/// [`DiskError::NoSystem`] when the disk is blank or its table empty, [`DiskError::Unsupported`] when it holds something
/// else, [`DiskError::Damaged`] for a table that makes no sense.
pub fn list(disk: &mut dyn BlockRead) -> Result<Vec<Partition>, DiskError> {
    let size = disk.size();
    let table = table(disk)?;
    if let Some(partitions) = &table
        && !partitions.is_empty()
    {
        return Ok(partitions.clone());
    }
    if filesystem::detect(disk, 0, size)?.is_some() {
        let whole = Partition { number: 0, start: 0, length: size, kind: Kind::Disk, label: None, id: None };
        return Ok(vec![whole]);
    }
    if table.is_some() {
        return Err(DiskError::NoSystem("the disk has a partition table without partitions".to_owned()));
    }
    if filesystem::is_blank(disk, 0, size)? {
        return Err(DiskError::NoSystem("the disk is blank".to_owned()));
    }
    Err(DiskError::Unsupported("the disk has no partition table and no file system tib knows".to_owned()))
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// Whether it is a GPT; otherwise it is an MBR.
    pub(super) gpt: bool,
    /// GPT whose master boot record lists partitions too.
    pub(super) hybrid: bool,
    /// Bytes of a sector, as the table counts them.
    pub(super) sector: u64,
    /// Bytes at the end of the disk that belong to the table.
    pub(super) tail: u64,
    /// In the order of their numbers, without extended ones.
    pub(super) partitions: Vec<Partition>,
    /// MBR: the partitions that hold those from 5 on.
    pub(super) extended: Vec<Partition>,
}

/// The partitions a table lists, or `None` when there is no table.
pub(super) fn table(disk: &mut dyn BlockRead) -> Result<Option<Vec<Partition>>, DiskError> {
    Ok(read_table(disk)?.map(|table| table.partitions))
}

/// The partition table, or `None` when there is none.
pub(super) fn read_table(disk: &mut dyn BlockRead) -> Result<Option<Table>, DiskError> {
    if disk.size() < 2 * SECTOR {
        return Ok(None);
    }
    let mut sector = [0; SECTOR as usize];
    disk.read_exact_at(&mut sector, 0)?;
    if sector[510..] != [0x55, 0xaa] {
        return Ok(None);
    }
    let entries = mbr_entries(&sector);
    if entries.iter().any(|entry| entry.kind == 0xee) {
        let hybrid = entries.iter().any(|entry| entry.kind != 0xee);
        return gpt(disk).map(|table| Some(Table { hybrid, ..table }));
    }
    // Boot sectors of FAT and NTFS carry the same signature; a table's flags are 0 or 0x80.
    let is_table = (0..4).all(|index| matches!(sector[446 + index * 16], 0 | 0x80));
    if !is_table || entries.is_empty() || entries.iter().any(|entry| entry.start == 0) {
        return Ok(None);
    }
    let unit = mbr_sector(disk, &entries)?;
    let size = disk.size();
    if entries.iter().any(|entry| entry.end() * unit > size) {
        // A table of a disk that has lost its end, or something else that happens to look like one.
        let is_order = entries.iter().all(|one| {
            entries.iter().all(|other| {
                one.number == other.number || one.end() <= other.start || other.end() <= one.start
            })
        });
        let begins = entries.iter().any(|entry| entry.start * unit < size);
        if !is_order || !begins || filesystem::detect(disk, 0, size)?.is_some() {
            return Ok(None);
        }
    }
    mbr(disk, &sector, &entries, unit).map(Some)
}

/// Bytes of the sectors that an MBR counts in. It does not say, so what lies where it points tells; without anything there
/// they have the usual size.
fn mbr_sector(disk: &mut dyn BlockRead, entries: &[MbrEntry]) -> Result<u64, DiskError> {
    let mut holds = |unit: u64| {
        for entry in entries.iter().filter(|entry| !entry.is_extended()) {
            let start = entry.start * unit;
            if start < disk.size() && filesystem::detect(disk, start, entry.sectors * unit)?.is_some() {
                return Ok(true);
            }
        }
        Ok::<_, DiskError>(false)
    };
    Ok(if !holds(SECTOR)? && holds(LARGE_SECTOR)? { LARGE_SECTOR } else { SECTOR })
}

struct MbrEntry {
    number: u32,
    kind: u8,
    start: u64,
    sectors: u64,
}

impl MbrEntry {
    fn end(&self) -> u64 {
        self.start + self.sectors
    }

    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// The used entries of a master or extended boot record.
fn mbr_entries(sector: &[u8; SECTOR as usize]) -> Vec<MbrEntry> {
    let (entries, _) = sector[446..510].as_chunks::<16>();
    (1..)
        .zip(entries)
        .map(|(number, entry)| MbrEntry {
            number,
            kind: entry[4],
            start: u64::from(u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]])),
            sectors: u64::from(u32::from_le_bytes([entry[12], entry[13], entry[14], entry[15]])),
        })
        .filter(|entry| entry.kind != 0 && entry.sectors != 0)
        .collect()
}

/// Reads an MBR whose sectors have `unit` bytes. A partition that goes on behind the end of the disk ends there, as Linux
/// has it; whether what it holds fits is for whoever reads that.
fn mbr(
    disk: &mut dyn BlockRead,
    sector: &[u8; SECTOR as usize],
    entries: &[MbrEntry],
    unit: u64,
) -> Result<Table, DiskError> {
    let signature = u32::from_le_bytes([sector[440], sector[441], sector[442], sector[443]]);
    let size = disk.size();
    let partition = |number: u32, kind: u8, start: u64, sectors: u64| {
        let Some(room) = size.checked_sub(start * unit).filter(|room| *room > 0) else {
            return damaged(format!("partition {number} begins behind the end of the disk"));
        };
        Ok(Partition {
            number,
            start: start * unit,
            length: (sectors * unit).min(room),
            kind: Kind::Mbr(kind),
            label: None,
            id: Some(format!("{signature:08x}-{number:02x}")),
        })
    };
    let (mut partitions, mut extended) = (Vec::new(), Vec::new());
    for entry in entries {
        let list = if entry.is_extended() { &mut extended } else { &mut partitions };
        list.push(partition(entry.number, entry.kind, entry.start, entry.sectors)?);
    }
    for extended in entries.iter().filter(|entry| entry.is_extended()) {
        let mut next = Some(0);
        for number in (5..).take(MAX_LOGICAL) {
            let Some(relative) = next else { break };
            let record = extended.start + relative;
            let mut sector = [0; SECTOR as usize];
            if (record + 1) * unit > size {
                return damaged("a logical partition lies outside the disk");
            }
            disk.read_exact_at(&mut sector, record * unit)?;
            if sector[510..] != [0x55, 0xaa] {
                break;
            }
            let entries = mbr_entries(&sector);
            for logical in entries.iter().filter(|entry| !entry.is_extended()) {
                partitions.push(partition(number, logical.kind, record + logical.start, logical.sectors)?);
            }
            // Only forwards, so a chain cannot run in a circle.
            next = entries.iter().find(|entry| entry.is_extended()).map(|entry| entry.start);
            if next.is_some_and(|next| next <= relative) {
                return damaged("the chain of logical partitions runs backwards");
            }
        }
    }
    Ok(Table { gpt: false, hybrid: false, sector: unit, tail: 0, partitions, extended })
}

/// Reads a GPT. In the table itself only its place tells how large its sectors are.
fn gpt(disk: &mut dyn BlockRead) -> Result<Table, DiskError> {
    let mut sector = SECTOR;
    // First copies before second ones; the smaller sector first, as an old table may lie where a larger one's would.
    for (candidate, second) in [(SECTOR, false), (LARGE_SECTOR, false), (SECTOR, true), (LARGE_SECTOR, true)]
    {
        let at = if second { (disk.size() / candidate).saturating_sub(1) } else { 1 };
        let mut magic = [0; 8];
        if (at + 1) * candidate <= disk.size() {
            disk.read_exact_at(&mut magic, at * candidate)?;
        }
        if &magic == GPT_MAGIC {
            sector = candidate;
            break;
        }
    }
    let last = (disk.size() / sector).saturating_sub(1);
    match gpt_copy(disk, 1, sector) {
        // An image that was made larger has its second copy in the middle; the first one is good then.
        Err(DiskError::Damaged(first)) => gpt_copy(disk, last, sector).map_err(|error| match error {
            DiskError::Damaged(_) => DiskError::Damaged(first),
            other => other,
        }),
        result => result,
    }
}

fn gpt_copy(disk: &mut dyn BlockRead, at: u64, sector: u64) -> Result<Table, DiskError> {
    let mut header = [0; SECTOR as usize];
    disk.read_exact_at(&mut header, at * sector)?;
    if &header[..8] != GPT_MAGIC {
        return damaged("there is a protective MBR but no GPT");
    }
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = u32_at(12) as usize;
    let (entries_at, count, entry_size) = (le64(&header, 72), u32_at(80), u32_at(84));
    if !(92..=header.len()).contains(&length) {
        return damaged(format!("the GPT header claims {length} bytes"));
    }
    let mut summed = header;
    summed[16..20].fill(0);
    if crc(&summed[..length]) != u32_at(16) {
        return damaged("the checksum of the GPT header is wrong");
    }
    if count > MAX_ENTRIES || !(128..=4096).contains(&entry_size) || !entry_size.is_power_of_two() {
        return damaged(format!("the GPT claims {count} entries of {entry_size} bytes"));
    }
    let mut table = vec![0; count as usize * entry_size as usize];
    let start = entries_at
        .checked_mul(sector)
        .filter(|start| start.checked_add(table.len() as u64).is_some_and(|end| end <= disk.size()));
    let Some(start) = start else { return damaged("the GPT's entries lie outside the disk") };
    disk.read_exact_at(&mut table, start)?;
    if crc(&table) != u32_at(88) {
        return damaged("the checksum of the GPT's entries is wrong");
    }
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(table.chunks_exact(entry_size as usize)) {
        if entry[..16] == [0; 16] {
            continue;
        }
        let (first, last) = (le64(entry, 32), le64(entry, 40));
        if first > last || last >= disk.size() / sector {
            return damaged(format!("partition {number} lies outside the disk"));
        }
        let name: Vec<u16> =
            entry[56..128].as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        let name = String::from_utf16_lossy(name.split(|unit| *unit == 0).next().unwrap_or_default());
        partitions.push(Partition {
            number,
            start: first * sector,
            length: (last - first + 1) * sector,
            kind: Kind::Gpt(guid(&entry[..16])),
            label: (!name.is_empty()).then_some(name),
            id: Some(guid(&entry[16..32])),
        });
    }
    let tail = (table.len() as u64).next_multiple_of(sector) + sector;
    Ok(Table { gpt: true, hybrid: false, sector, tail, partitions, extended: Vec::new() })
}

/// A GUID in its usual notation: the first three groups are little-endian.
fn guid(bytes: &[u8]) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::with_capacity(36);
    for (position, index) in ORDER.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", bytes.get(*index).copied().unwrap_or(0)));
    }
    text
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn damaged<T>(what: impl Into<String>) -> Result<T, DiskError> {
    Err(DiskError::Damaged(what.into()))
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
