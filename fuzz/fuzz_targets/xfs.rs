//! Any bytes as an XFS file system, told by its pieces: read as far as they go, without a panic, and soon. Checksums are not looked
//! at: a fuzzer could never make a right one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tib::filesystem::any_xfs_in_pieces(bytes);
});
