//! Any bytes may be a GRUB configuration, a boot entry, a kernel, a preset or a unit: no parser panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tib::verify::inspect::parse_any(bytes));
