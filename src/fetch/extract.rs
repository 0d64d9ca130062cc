//! Extracting `.xz`, `.gz` and `.zst` as they come.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};
use crate::sparse;

/// Bytes read, hashed and written at a time.
const CHUNK: usize = 1 << 20;
/// What the xz decoder may take, in bytes: presets up to `-9` need 65 MiB.
const XZ_MEMORY: u64 = 160 << 20;
/// The largest zstd window, as a power of two: 128 MiB, what the zstd program itself accepts unless told.
const ZSTD_WINDOW: u32 = 27;

/// How a file is compressed on its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileCompression {
    /// `.xz`
    Xz,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl FileCompression {
    /// The compression that the end of a file name tells of.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            "xz" => Some(Self::Xz),
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for FileCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Why nothing was extracted.
#[derive(Debug)]
pub(crate) enum ExtractError {
    /// The compressed bytes could not be read, or they are damaged.
    Read(io::Error),
    /// The extracted bytes could not be written.
    Write(io::Error),
    /// There are more of them than allowed.
    TooLarge,
}

/// Extracts all of `from` into the empty file `to`, at most `limit` bytes, and returns the digest of what `to` then
/// holds. Zeros become holes; nothing is synced.
pub(crate) fn extract(
    from: impl Read + 'static,
    compression: FileCompression,
    to: &File,
    limit: u64,
) -> Result<Digest, ExtractError> {
    let mut decoder = decoder(from, compression).map_err(ExtractError::Read)?;
    let (mut hasher, mut buffer, mut at) = (Hasher::default(), vec![0; CHUNK], 0);
    loop {
        let length = fill(&mut decoder, &mut buffer).map_err(ExtractError::Read)?;
        if length == 0 {
            break;
        }
        let end = at + length as u64;
        if end > limit {
            return Err(ExtractError::TooLarge);
        }
        hasher.update(&buffer[..length]);
        sparse::write_at(to, at, &buffer[..length], sparse::LARGEST).map_err(ExtractError::Write)?;
        at = end;
    }
    to.set_len(at).map_err(ExtractError::Write)?;
    Ok(hasher.finish())
}

/// What `from` holds, uncompressed; its end is only reached if nothing is damaged.
///
/// # Errors
/// Those of setting up.
pub(crate) fn decoder(from: impl Read + 'static, compression: FileCompression) -> io::Result<Box<dyn Read>> {
    let from = BufReader::with_capacity(CHUNK / 4, from);
    Ok(match compression {
        FileCompression::Xz => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream))
        }
        FileCompression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        FileCompression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(from)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
    })
}

/// Reads until `buffer` is full or there is no more, so that what is written has whole blocks.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::testing::compress;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    const ALL: [FileCompression; 3] = [FileCompression::Xz, FileCompression::Gzip, FileCompression::Zstd];

    fn content() -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        bytes.extend((0..100_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()));
        bytes
    }

    fn run(bytes: Vec<u8>, compression: FileCompression, limit: u64) -> (Result<Digest, ExtractError>, File) {
        let file = tempfile::tempfile().unwrap();
        (extract(io::Cursor::new(bytes), compression, &file, limit), file)
    }

    #[test]
    fn what_was_compressed_comes_out_in_one_piece_or_several() {
        let content = content();
        for compression in ALL {
            let (one, two) = content.split_at(300_000);
            let several = [compress(compression, one), compress(compression, two)].concat();
            for archive in [compress(compression, &content), several] {
                let (digest, file) = run(archive, compression, content.len() as u64);
                assert_eq!(digest.unwrap(), Digest::of(&content), "{compression}");
                let meta = file.metadata().unwrap();
                assert_eq!(meta.len(), content.len() as u64);
                assert!(meta.blocks() * 512 < 1 << 20, "{compression}: zeros are holes");
            }
        }
    }

    #[test]
    fn what_is_cut_damaged_followed_by_junk_or_no_archive_is_refused() {
        let content = content();
        for compression in ALL {
            let whole = compress(compression, &content);
            let cut = |at: usize| whole[..at].to_vec();
            let mut damaged = whole.clone();
            damaged[whole.len() / 2] ^= 0x55;
            let junk = [whole.clone(), b"some junk at the end".to_vec()].concat();
            let cases = [
                cut(0),
                cut(3),
                cut(whole.len() / 2),
                cut(whole.len() - 1),
                damaged,
                junk,
                b"plain".to_vec(),
            ];
            for (number, case) in cases.into_iter().enumerate() {
                let (result, _) = run(case, compression, u64::MAX);
                assert!(matches!(result, Err(ExtractError::Read(_))), "{compression} {number}: {result:?}");
            }
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        for compression in ALL {
            let bomb = compress(compression, &vec![0; 16 << 20]);
            let (result, file) = run(bomb, compression, (4 << 20) + 1);
            assert!(matches!(result, Err(ExtractError::TooLarge)), "{compression}: {result:?}");
            assert!(file.metadata().unwrap().len() <= 4 << 20);
        }
    }

    #[test]
    fn an_archive_that_wants_too_much_memory_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&content()).unwrap();
        let (result, _) = run(encoder.finish().unwrap(), FileCompression::Zstd, u64::MAX);
        assert!(matches!(result, Err(ExtractError::Read(_))), "{result:?}");
    }

    #[test]
    fn names_tell_the_compression() {
        let cases = [
            ("a.raw.xz", Some(FileCompression::Xz)),
            ("a.gz", Some(FileCompression::Gzip)),
            ("a.qcow2.zst", Some(FileCompression::Zstd)),
            ("a.qcow2", None),
            ("xz", None),
        ];
        for (name, expected) in cases {
            assert_eq!(FileCompression::of_name(name), expected, "{name}");
        }
    }
}
