//! Writing without writing zeros.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The largest block that [`write_at`] can leave out.
pub(crate) const LARGEST: usize = 64 << 10;
static ZEROS: [u8; LARGEST] = [0; LARGEST];

/// Writes `bytes` at `offset`, where `file` has never been written to: whole aligned blocks of zeros are left out, so
/// that they take no space. Small blocks leave out more, but the file is more in pieces. The length of the file is the
/// caller's business, since it may end in zeros.
pub(crate) fn write_at(file: &File, offset: u64, bytes: &[u8], block: usize) -> io::Result<()> {
    let zeros = &ZEROS[..block];
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        let into_block = usize::try_from((offset + at as u64) % block as u64).unwrap_or(0);
        let end = bytes.len().min(at + block - into_block);
        if &bytes[at..end] == zeros {
            file.write_all_at(&bytes[start..at], offset + start as u64)?;
            start = end;
        }
        at = end;
    }
    file.write_all_at(&bytes[start..], offset + start as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn zeros_take_no_space() {
        let file = tempfile::tempfile().unwrap();
        let mut bytes = vec![0; 4 << 20];
        bytes[2 << 20] = 1;
        write_at(&file, 7, &bytes, LARGEST).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 <= 4 * LARGEST as u64);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_was_written_is_read(
            offset in 0u64..200_000,
            block in 12usize..=16,
            runs in prop::collection::vec((0u8..2, 1usize..150_000), 0..6),
        ) {
            let file = tempfile::tempfile().unwrap();
            let bytes: Vec<u8> = runs.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect();
            write_at(&file, offset, &bytes, 1 << block).unwrap();
            file.set_len(offset + bytes.len() as u64).unwrap();
            let mut read = vec![9; bytes.len()];
            file.read_exact_at(&mut read, offset).unwrap();
            prop_assert!(read == bytes);
        }
    }
}
