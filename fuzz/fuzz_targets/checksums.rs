//! Any file of checksums is refused or read; what is read, written again in any style, reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::trust::checksum::{Listing, Style};

fuzz_target!(|bytes: &[u8]| {
    let Ok(listing) = Listing::parse(bytes) else { return };
    let files: Vec<_> = listing.names().filter_map(|name| Some((name, listing.get(name)?.checksum))).collect();
    assert!(!files.is_empty() || listing.bare().is_some());
    for (name, _) in &files {
        assert!(!name.is_empty() && *name != ".." && !name.contains(['/', '\n', '\0']));
    }
    for style in [Style::Gnu, Style::GnuBinary, Style::Bsd] {
        let text: String = files.iter().map(|(name, checksum)| style.line(name, checksum) + "\n").collect();
        if let Ok(again) = Listing::parse(text.as_bytes()) {
            assert!(again.names().eq(listing.names()));
            assert!(files.iter().all(|(name, checksum)| again.get(name).is_some_and(|l| l.checksum == *checksum)));
        } else {
            // The lines may be longer than those that were read.
            assert!(files.is_empty() || text.len() > 1 << 20);
        }
    }
});
