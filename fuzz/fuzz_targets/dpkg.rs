//! Any text is a list of packages, each of which it names, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::os::parse_dpkg;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packages) = parse_dpkg(bytes) {
        let text = String::from_utf8_lossy(bytes);
        for package in packages {
            assert!(text.contains(&package.name) && text.contains(&package.version));
        }
    }
});
