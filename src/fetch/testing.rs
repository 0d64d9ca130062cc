//! What the tests of downloads share.

use std::io::Write;

use super::FileCompression;

#[path = "../../tests/common/http.rs"]
pub(crate) mod http;

/// Compresses bytes.
pub(crate) fn compress(compression: FileCompression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        FileCompression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        FileCompression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        FileCompression::Zstd => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}
