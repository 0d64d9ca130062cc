//! Whatever a guest writes on its console is taken for text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tib::boot::fuzz_console(bytes));
