//! Whatever a guest sends on its second network is answered, or is nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tib::boot::fuzz_frames(bytes));
