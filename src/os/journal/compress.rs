//! Payloads that journald has compressed. What they may grow to is bounded before anything is unpacked.

use std::io::Read;

use super::object::{Damage, u64_at};

const XZ: u8 = 1;
const LZ4: u8 = 2;
const ZSTD: u8 = 4;

/// The most memory that a stream's dictionary may take; journald's take 1 MiB.
const XZ_MEMORY: u64 = 64 << 20;
const ZSTD_WINDOW_LOG: u32 = 26;

/// Whether an object with these flags is compressed.
pub(crate) fn is_packed(flags: u8) -> bool {
    flags & (XZ | LZ4 | ZSTD) != 0
}

/// Unpacks a payload of at most `limit` bytes. `spent` grows by what was unpacked, even if it was in vain.
pub(crate) fn unpack(flags: u8, packed: &[u8], limit: usize, spent: &mut u64) -> Result<Vec<u8>, Damage> {
    match flags & (XZ | LZ4 | ZSTD) {
        XZ => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
                .map_err(|error| format!("an XZ payload: {error}"))?;
            read(liblzma::bufread::XzDecoder::new_stream(packed, stream), "an XZ", limit, spent)
        }
        LZ4 => lz4(packed, limit, spent),
        ZSTD => {
            let decoder = zstd::Decoder::with_buffer(packed).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Ok(decoder.single_frame())
            });
            read(
                decoder.map_err(|error| format!("a Zstandard payload: {error}"))?,
                "a Zstandard",
                limit,
                spent,
            )
        }
        _ => Err("a payload is compressed in two ways at once".to_owned()),
    }
}

fn read(decoder: impl Read, name: &str, limit: usize, spent: &mut u64) -> Result<Vec<u8>, Damage> {
    let mut payload = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut payload);
    *spent += payload.len() as u64;
    read.map_err(|error| format!("{name} payload: {error}"))?;
    if payload.len() > limit { Err(too_large(limit)) } else { Ok(payload) }
}

/// A length of 64 bits, then one block.
fn lz4(packed: &[u8], limit: usize, spent: &mut u64) -> Result<Vec<u8>, Damage> {
    /// A byte of input makes 255 bytes of output at the most.
    const RATIO: usize = 255;
    let bad = |problem: &str| format!("an LZ4 payload: {problem}");
    let length = u64_at(packed, 0).ok_or_else(|| bad("it has no length"))?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let block = &packed[8..];
    if length > block.len().saturating_mul(RATIO) {
        return Err(bad("it cannot be that long"));
    }
    if length > limit {
        return Err(too_large(limit));
    }
    *spent += length as u64;
    let payload = lz4_flex::block::decompress(block, length).map_err(|error| bad(&error.to_string()))?;
    if payload.len() == length { Ok(payload) } else { Err(bad("it is shorter than it says")) }
}

fn too_large(limit: usize) -> Damage {
    format!("a field is larger than {limit} bytes")
}
