//! Any bytes as a FAT file system: read as far as they go, without a panic, and soon.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tib::filesystem::any_fat(bytes);
});
