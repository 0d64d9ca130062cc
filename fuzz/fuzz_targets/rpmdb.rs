//! Any bytes are an RPM database of each form, or an error. The first byte chooses the form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::os::rpm::{Form, read};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, database)) = bytes.split_first() else { return };
    let form = [Form::Sqlite, Form::Ndb, Form::Bdb][usize::from(choice % 3)];
    if let Ok(packages) = read(form, database) {
        // Not even a header without a single tag is shorter than its two lengths.
        assert!(packages.len() <= database.len() / 8);
    }
});
