//! Any bytes may be the lists of an SELinux policy that say which label a file gets. No line makes a parser or a lookup panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tib::os::selinux::any_text(bytes));
