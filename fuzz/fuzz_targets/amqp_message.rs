//! Whatever a guest sends to the message broker is read, or is no message.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tib::boot::fuzz_envelope(bytes));
