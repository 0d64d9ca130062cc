//! Compressed extents.

use std::io::Read;

use super::superblock::SECTOR;
use crate::block::bytes::le32;

/// Windows of zstd are no larger than an extent can be.
const ZSTD_WINDOW: u32 = 17;
/// Bytes of a length among the packed bytes of LZO.
const LZO_LENGTH: usize = 4;

/// How an extent is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Zlib,
    Lzo,
    Zstd,
}

impl Packing {
    pub(super) fn of(number: u8) -> Option<Self> {
        [Self::Plain, Self::Zlib, Self::Lzo, Self::Zstd].get(usize::from(number)).copied()
    }

    /// Unpacks `length` bytes. Behind the end of what is packed come zeros, as in Linux. `None` if it makes no sense.
    pub(super) fn unpack(self, packed: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut found = match self {
            Self::Plain => packed.get(..length.min(packed.len()))?.to_vec(),
            Self::Zlib => read(flate2::read::ZlibDecoder::new(packed), length)?,
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).ok()?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW).ok()?;
                read(decoder, length)?
            }
            Self::Lzo => lzo(packed, length)?,
        };
        found.resize(length, 0);
        Some(found)
    }
}

fn read(packed: impl Read, length: usize) -> Option<Vec<u8>> {
    let mut found = Vec::with_capacity(length);
    packed.take(length as u64).read_to_end(&mut found).ok()?;
    Some(found)
}

/// LZO packs each sector by itself, with its packed length in front. No such length crosses a boundary between sectors of
/// the packed bytes. In front of all stands how many bytes there are.
fn lzo(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let sector = SECTOR as usize;
    let packed = packed.get(..le32(packed, 0) as usize)?;
    let mut found = Vec::with_capacity(length);
    let mut at = LZO_LENGTH;
    while at < packed.len() && found.len() < length {
        if sector - at % sector < LZO_LENGTH {
            at = at.next_multiple_of(sector);
        }
        // What follows the last sector may be shorter than a length.
        let Some(piece) = packed.get(at..).filter(|rest| rest.len() >= LZO_LENGTH) else { break };
        let end = LZO_LENGTH.checked_add(le32(piece, 0) as usize)?;
        let mut unpacked = [0; SECTOR as usize];
        let count = lzo::decompress_into(piece.get(LZO_LENGTH..end)?, &mut unpacked).ok()?;
        found.extend_from_slice(unpacked.get(..count)?);
        at += end;
    }
    found.truncate(length);
    Some(found)
}
