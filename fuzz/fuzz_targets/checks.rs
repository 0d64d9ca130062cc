//! Any text of an image is survived by the parsers that checks use, and any file of checks is refused or can be told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::check::CheckFile;
use tib::verify::parse_text;

fuzz_target!(|bytes: &[u8]| {
    parse_text(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for check in CheckFile::parse("x.toml", text).unwrap_or_default() {
        assert!(check.validate().is_ok() && !check.title().is_empty());
    }
});
