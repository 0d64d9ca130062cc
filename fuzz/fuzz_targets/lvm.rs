//! Any bytes as a physical volume of LVM, or its metadata: read as far as they go, without a panic, and soon.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tib::disk::any_lvm(bytes);
});
