//! Any bytes are read as a journal to an end, or are none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::os::journal::Reader;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let mut count = 0;
    while let Some(entry) = reader.next() {
        for field in reader.fields(&entry) {
            assert!(!field.name().contains(&b'='));
        }
        count += 1;
    }
    // Entries begin at different multiples of 8.
    assert!(count <= bytes.len() / 8);
});
