//! Any text given as entries of the catalogue is refused with a message, or makes the same places every time, with
//! names that stay in their directories.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::base::catalogue::{Catalogue, Selection};

fuzz_target!(|text: &str| {
    let Ok(catalogue) = Catalogue::from_text("x", text) else { return };
    assert_eq!(catalogue.check(), catalogue.check());
    for entry in catalogue.entries() {
        for arch in entry.arch.keys() {
            let Ok(image) = entry.image(*arch, &Selection::Default) else { continue };
            for url in image.urls(&image.file) {
                assert!(image.directories.iter().any(|directory| url.as_str().starts_with(directory.as_str())));
            }
        }
    }
});
