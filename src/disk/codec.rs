//! Compressed clusters, as qemu packs and unpacks them.

use flate2::{FlushCompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::DiskError;
use super::header::Compression;

/// qemu inflates with a window of 2^12 bytes: a packer must not refer further back.
const ZLIB_WINDOW_BITS: u8 = 12;
/// Window a zstd frame may ask for: 8 MiB. Clusters are 2 MiB at the most.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Unpacks clusters of one kind.
pub(super) enum Decompress {
    Zlib(Box<flate2::Decompress>),
    Zstd(Decoder<'static>),
}

impl Decompress {
    pub(super) fn new(kind: Compression) -> Result<Self, DiskError> {
        Ok(match kind {
            // A reader may have the largest window: it makes no difference to what fits into a smaller one.
            Compression::Zlib => Self::Zlib(Box::new(flate2::Decompress::new(false))),
            Compression::Zstd => {
                let mut decoder = Decoder::new().map_err(setup)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(setup)?;
                Self::Zstd(decoder)
            }
        })
    }

    /// Unpacks `packed`, which may have any bytes behind its end, to exactly the length of `content`.
    pub(super) fn unpack(&mut self, packed: &[u8], content: &mut [u8]) -> Result<(), String> {
        match self {
            Self::Zlib(inflate) => {
                inflate.reset(false);
                let status = inflate
                    .decompress(packed, content, FlushDecompress::Finish)
                    .map_err(|error| error.to_string())?;
                if inflate.total_out() != content.len() as u64 {
                    return Err(format!("{} bytes of {} ({status:?})", inflate.total_out(), content.len()));
                }
            }
            Self::Zstd(decoder) => {
                decoder.reinit().map_err(|error| error.to_string())?;
                let mut input = InBuffer::around(packed);
                let length = content.len();
                let mut output = OutBuffer::around(content);
                while output.pos() < length {
                    let before = (input.pos(), output.pos());
                    let left = decoder.run(&mut input, &mut output).map_err(|error| error.to_string())?;
                    if before == (input.pos(), output.pos()) {
                        return Err(format!("{} bytes of {length}", output.pos()));
                    }
                    if output.pos() == length && left != 0 {
                        return Err("more than a cluster".to_owned());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Packs clusters of one kind.
pub(super) enum Compress {
    Zlib(Box<flate2::Compress>),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

impl Compress {
    pub(super) fn new(kind: Compression, level: i32) -> Result<Self, DiskError> {
        Ok(match kind {
            Compression::Zlib => {
                let level = flate2::Compression::new(level.clamp(1, 9).unsigned_abs());
                Self::Zlib(Box::new(flate2::Compress::new_with_window_bits(level, false, ZLIB_WINDOW_BITS)))
            }
            Compression::Zstd => Self::Zstd(Box::new(zstd::bulk::Compressor::new(level).map_err(setup)?)),
        })
    }

    /// Packs `content` into `packed`; `false` when that does not make it shorter by at least a sector.
    pub(super) fn pack(&mut self, content: &[u8], packed: &mut Vec<u8>) -> Result<bool, DiskError> {
        packed.clear();
        let limit = content.len().saturating_sub(512);
        match self {
            Self::Zlib(deflate) => {
                deflate.reset();
                // Room for the worst case: with less, zlib-rs 0.6 panics where it should say that it is full.
                packed.resize(content.len() + content.len() / 4 + 1024, 0);
                let status = deflate
                    .compress(content, packed, FlushCompress::Finish)
                    .map_err(|error| setup(std::io::Error::other(error)))?;
                packed.truncate(deflate.total_out() as usize);
                Ok(status == Status::StreamEnd && packed.len() <= limit)
            }
            Self::Zstd(compressor) => {
                packed.reserve(zstd::zstd_safe::compress_bound(content.len()));
                compressor.compress_to_buffer(content, packed).map_err(setup)?;
                Ok(packed.len() <= limit)
            }
        }
    }
}

fn setup(source: std::io::Error) -> DiskError {
    DiskError::Io { action: "compress for", path: "the image".into(), source }
}

#[cfg(test)]
mod tests {
    use super::super::testing::mixture;
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_at_every_level() {
        for (kind, levels) in [(Compression::Zlib, 1..=9), (Compression::Zstd, 1..=9)] {
            for level in levels {
                let mut compress = Compress::new(kind, level).unwrap();
                let mut decompress = Decompress::new(kind).unwrap();
                let mut packed = Vec::new();
                let mut kinds = [0, 0];
                for seed in 0..150 {
                    let content = mixture(1 << 16, seed);
                    let smaller = compress.pack(&content, &mut packed).unwrap();
                    kinds[usize::from(smaller)] += 1;
                    if smaller {
                        let half = packed.len() / 2;
                        // As in an image, where other clusters follow.
                        packed.extend_from_slice(&[0x55; 700]);
                        let mut back = vec![1; content.len()];
                        decompress.unpack(&packed, &mut back).unwrap();
                        assert!(back == content, "{kind:?} {level} {seed}");
                        assert!(decompress.unpack(&packed[..half], &mut back).is_err());
                    }
                }
                assert!(kinds[0] > 0 && kinds[1] > 0);
            }
        }
    }

    #[test]
    fn noise_is_an_error_not_a_cluster() {
        for kind in [Compression::Zlib, Compression::Zstd] {
            let mut decompress = Decompress::new(kind).unwrap();
            for seed in 0..200 {
                let noise: Vec<u8> = mixture(4096, seed).into_iter().map(|byte| byte ^ 0xa5).collect();
                assert!(decompress.unpack(&noise, &mut [0; 4096]).is_err(), "{kind:?} {seed}");
            }
        }
    }
}
