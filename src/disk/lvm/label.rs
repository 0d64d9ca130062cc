//! The label of a physical volume and its metadata areas (lvm2, `lib/format_text/layout.h`): where the text is, and
//! whether it is whole.

use super::text::Section;
use crate::block::bytes::{le32, le64};
use crate::block::window::Window;
use crate::block::{Shared, lock};
use crate::disk::{DiskError, SECTOR};
use crate::filesystem::LVM_LABEL;

/// Sectors that a label may be in.
const LABEL_SECTORS: u64 = 4;
/// What a label is for.
const TYPE: &[u8; 8] = b"LVM2 001";
const AREA: &[u8; 16] = b" LVM2 x[5A%r0N*>";
/// Bytes of the header of a metadata area; the text lies behind it.
const AREA_HEADER: u64 = 512;
/// Metadata areas of one physical volume; LVM makes two at the most.
const MAX_AREAS: usize = 8;
/// Longest text read: that of thousands of volumes has less.
const MAX_TEXT: u64 = 4 << 20;
/// Bytes of text of all areas of a disk that are read: each of its physical volumes could claim as much as the longest.
pub(super) const MAX_TEXTS: u64 = 16 << 20;
/// The text in this area is not kept up to date.
const IGNORED: u32 = 1;

/// A physical volume, as its label describes it.
#[derive(Debug)]
pub(super) struct Label {
    /// Its identity, as metadata has it: with dashes.
    pub(super) id: String,
    /// Metadata areas: offset and size in bytes.
    areas: Vec<(u64, u64)>,
}

impl Label {
    /// Reads the label of what lies in a window; `None` if there is none.
    pub(super) fn read(window: &mut Window) -> Result<Option<Self>, DiskError> {
        let mut sector = [0; SECTOR as usize];
        for number in 0..LABEL_SECTORS {
            if window.length < (number + 1) * SECTOR {
                break;
            }
            window.read_exact(number * SECTOR, &mut sector)?;
            if sector.starts_with(LVM_LABEL) && sector[24..32] == *TYPE {
                return Self::parse(&sector, number).map(Some);
            }
        }
        Ok(None)
    }

    fn parse(sector: &[u8; SECTOR as usize], number: u64) -> Result<Self, DiskError> {
        if le64(sector, 8) != number || !fits(sum(&sector[20..]), le32(sector, 16)) {
            return damaged("the label of a physical volume of LVM is not whole");
        }
        let header = sector.get(le32(sector, 20) as usize..).unwrap_or_default();
        let Some(id) = header.get(..32).and_then(identity) else {
            return damaged("a physical volume of LVM has no identity");
        };
        // Data areas, an end, metadata areas, an end.
        let mut pairs = header.get(40..).unwrap_or_default().as_chunks::<16>().0.iter();
        let mut list = || {
            let pair = pairs.by_ref().map(|pair| (le64(pair, 0), le64(pair, 8)));
            pair.take_while(|(offset, _)| *offset != 0).collect::<Vec<_>>()
        };
        let (_data, areas) = (list(), list());
        if areas.len() > MAX_AREAS {
            return damaged("a physical volume of LVM claims many metadata areas");
        }
        Ok(Self { id, areas })
    }

    /// The newest metadata of the areas: `None` for a volume that keeps none, or belongs to no group. `left` is how many bytes of
    /// text may still be read.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] when none of the areas is whole, [`DiskError::Unsupported`] when they hold more than may be read.
    pub(super) fn metadata(&self, window: &mut Window, left: &mut u64) -> Result<Option<Section>, DiskError> {
        let (mut newest, mut damage) = (None, None);
        for (offset, size) in &self.areas {
            match text(window, *offset, *size, left)
                .and_then(|text| text.map(|text| parse(&text)).transpose())
            {
                Ok(Some((number, section))) => {
                    if newest.as_ref().is_none_or(|(known, _)| *known < number) {
                        newest = Some((number, section));
                    }
                }
                Ok(None) => {}
                // The other area is there for that.
                Err(error @ DiskError::Damaged(_)) => damage = Some(error),
                Err(error) => return Err(error),
            }
        }
        match (newest, damage) {
            (None, Some(damage)) => Err(damage),
            (newest, _) => Ok(newest.map(|(_, section)| section)),
        }
    }
}

/// The text that a metadata area holds now.
fn text(window: &mut Window, offset: u64, size: u64, left: &mut u64) -> Result<Option<Vec<u8>>, DiskError> {
    let mut header = [0; AREA_HEADER as usize];
    window.read_exact(offset, &mut header)?;
    if header[4..20] != *AREA || le32(&header, 20) != 1 || le64(&header, 24) != offset {
        return damaged("a metadata area of LVM has another header than it should");
    }
    if !fits(sum(&header[4..]), le32(&header, 0)) {
        return damaged("the header of a metadata area of LVM has another checksum than it should");
    }
    let (at, length, stored) = (le64(&header, 40), le64(&header, 48), le32(&header, 56));
    if at == 0 || le32(&header, 60) & IGNORED != 0 {
        return Ok(None);
    }
    let room = size.saturating_sub(AREA_HEADER);
    if at < AREA_HEADER || at >= size || length > room.min(MAX_TEXT) || offset.checked_add(size).is_none() {
        return damaged("the metadata of LVM lies outside its area");
    }
    let Some(rest) = left.checked_sub(length) else {
        let reason = format!("the disk has more than {} MiB of LVM's metadata", MAX_TEXTS >> 20);
        return Err(DiskError::Unsupported(reason));
    };
    *left = rest;
    let mut text = vec![0; length as usize];
    // Where the area ends, the text goes on behind the area's header.
    let first = length.min(size - at) as usize;
    window.read_exact(offset + at, &mut text[..first])?;
    window.read_exact(offset + AREA_HEADER, &mut text[first..])?;
    if !fits(sum(&text), stored) {
        return damaged("the metadata of LVM has another checksum than it should");
    }
    Ok(Some(text))
}

/// A text as sections, with its number: each change has a higher one.
fn parse(text: &[u8]) -> Result<(u64, Section), DiskError> {
    let section = Section::parse(text)?;
    let number = match section.sections().next() {
        Some((_, group)) => group.number("seqno")?,
        None => return damaged("the metadata of LVM describes no volume group"),
    };
    Ok((number, section))
}

/// 32 letters and digits as they are written elsewhere: `u2lZYc-0Kiq-H7q4-mDW1-gAuL-u2u6-P5nGmZ`.
fn identity(bytes: &[u8]) -> Option<String> {
    const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))?;
    let mut rest = text;
    let groups = GROUPS.map(|length| {
        let (group, behind) = rest.split_at_checked(length).unwrap_or_default();
        rest = behind;
        group
    });
    Some(groups.join("-"))
}

/// CRC-32 with LVM's start (`INITIAL_CRC`), and not inverted at the end.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let (mut value, mut bit) = (index as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    bytes.iter().fold(0xf597_a6cf, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// Whether a checksum is the one on the disk. A fuzzer could never get past this, so there it always is.
fn fits(computed: u32, stored: u32) -> bool {
    cfg!(fuzzing) || computed == stored
}

fn damaged<T>(what: &str) -> Result<T, DiskError> {
    Err(DiskError::Damaged(what.to_owned()))
}

/// Reads the label of what is at `start` of a disk.
pub(super) fn window(disk: &Shared, start: u64, length: u64) -> Window {
    let there = lock(disk).size().saturating_sub(start);
    Window { disk: std::sync::Arc::clone(disk), start, length: length.min(there) }
}
