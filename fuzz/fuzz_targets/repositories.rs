//! Any bytes may be an image's file of repositories. What the host's dnf gets of it is read as the same again, and switches
//! nothing on that tib does not know.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tib::packages::any_repositories(bytes));
