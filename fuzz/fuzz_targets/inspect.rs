//! Any bytes may be any of the files that `tib inspect` reads: a GRUB configuration, a boot entry, a kernel, a preset, a
//! unit, accounts, sudoers, sshd's and cloud-init's configuration, AppArmor's profiles, Python's metadata, descriptions
//! and archives of container images. No parser panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tib::inspect::parse_any(bytes));
