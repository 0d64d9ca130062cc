//! Layers, packed and unpacked: how they are packed, and both of their digests in one go.

use std::io::{self, Read, Write};

use flate2::write::MultiGzDecoder;

use super::ContainerError;
use super::manifest::Packed;
use crate::cancel::Cancel;
use crate::digest::{Digest, Hasher, HashingWriter};

/// Bytes that tell how something is packed.
pub(crate) const MAGIC: u64 = 4;
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// The most memory that unpacking zstd may take, as a power of two: what `zstd` itself takes without being asked.
const WINDOW: u32 = 27;

/// How something is packed, by its first bytes, as docker finds out.
pub(crate) fn packed_of(start: &[u8]) -> Packed {
    match start {
        [0x1f, 0x8b, ..] => Packed::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packed::Zstd,
        _ => Packed::Plain,
    }
}

/// What was found out about a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digests {
    /// Of its bytes as they were read.
    pub(crate) served: Digest,
    /// Of what they hold.
    pub(crate) unpacked: Digest,
}

/// Copies a layer, and finds out its digests on the way. What docker cannot be relied on to unpack is written unpacked.
///
/// # Errors
/// Those of the reader and the writer, and [`io::ErrorKind::InvalidData`] for what cannot be unpacked.
pub(crate) fn copy(
    mut from: impl Read,
    to: &mut impl Write,
    packed: Packed,
    limit: u64,
    cancel: &Cancel,
) -> io::Result<Digests> {
    let mut served = Hasher::default();
    let unpacked = match packed {
        Packed::Plain => {
            each(&mut from, cancel, |bytes| {
                served.update(bytes);
                to.write_all(bytes)
            })?;
            served.clone().finish()
        }
        Packed::Gzip => {
            let mut decoder = MultiGzDecoder::new(Hasher::default());
            each(&mut from, cancel, |bytes| {
                served.update(bytes);
                decoder.write_all(bytes).map_err(invalid)?;
                to.write_all(bytes)
            })?;
            decoder.finish().map_err(invalid)?.finish()
        }
        Packed::Zstd => {
            let to = Limited { inner: HashingWriter::new(to), left: limit };
            let mut decoder = zstd::stream::write::Decoder::new(to)?;
            decoder.window_log_max(WINDOW)?;
            each(&mut from, cancel, |bytes| {
                served.update(bytes);
                decoder.write_all(bytes).map_err(invalid)
            })?;
            decoder.flush().map_err(invalid)?;
            decoder.into_inner().inner.finish().1
        }
    };
    Ok(Digests { served: served.finish(), unpacked })
}

/// The digest of what a reader gives.
pub(crate) fn digest<F: FnOnce(io::Error) -> ContainerError>(
    mut from: impl Read,
    cancel: &Cancel,
    failed: impl Fn() -> F,
) -> Result<Digest, ContainerError> {
    let mut hasher = Hasher::default();
    let read = each(&mut from, cancel, |bytes| {
        hasher.update(bytes);
        Ok(())
    });
    cancel.check()?;
    read.map_err(failed())?;
    Ok(hasher.finish())
}

/// Gives all that a reader has to `take`, in pieces. Ends with an error when the user interrupts.
fn each(
    from: &mut impl Read,
    cancel: &Cancel,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        cancel.check().map_err(io::Error::other)?;
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => take(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a decoder says is about the bytes; what a disk says keeps its kind.
fn invalid(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() { error } else { io::Error::new(io::ErrorKind::InvalidData, error) }
}

struct Limited<W> {
    inner: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("it holds more than a layer may"))?;
        self.inner.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(packed: Packed, bytes: &[u8]) -> Vec<u8> {
        match packed {
            Packed::Plain => bytes.to_vec(),
            Packed::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Packed::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        }
    }

    #[test]
    fn both_digests_come_from_one_reading() {
        let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        for packed in [Packed::Plain, Packed::Gzip, Packed::Zstd] {
            let bytes = pack(packed, &content);
            assert_eq!(packed_of(&bytes), packed);
            let mut to = Vec::new();
            let digests = copy(&bytes[..], &mut to, packed, u64::MAX, &Cancel::new()).unwrap();
            assert_eq!(digests, Digests { served: Digest::of(&bytes), unpacked: Digest::of(&content) });
            assert!(to == if packed == Packed::Zstd { content.clone() } else { bytes.clone() });
            if packed != Packed::Plain {
                let cut = copy(&bytes[..bytes.len() - 9], &mut Vec::new(), packed, u64::MAX, &Cancel::new());
                assert!(cut.is_err() || cut.unwrap().unpacked != Digest::of(&content), "{packed:?}");
            }
        }
    }

    #[test]
    fn what_unpacks_to_too_much_and_an_interruption_end_it() {
        let bomb = pack(Packed::Zstd, &vec![0; 9_000_000]);
        let error = copy(&bomb[..], &mut Vec::new(), Packed::Zstd, 1 << 20, &Cancel::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let cancel = Cancel::new();
        cancel.raise();
        assert!(copy(&bomb[..], &mut Vec::new(), Packed::Zstd, u64::MAX, &cancel).is_err());
    }
}
