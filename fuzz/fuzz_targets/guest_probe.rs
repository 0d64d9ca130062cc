//! Whatever a guest sends over the port of the probe changes what is known of it, and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tib::boot::fuzz_probe(bytes));
