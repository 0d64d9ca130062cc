//! Any file is read to its end or refused, through the gate and by both readers, without a panic.
//!
//! Where both readers give a piece of the disk, it is the same.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use tib::disk::{Policy, open, open_own};

/// Pieces of a disk that are read; a header may claim terabytes.
const PIECES: u64 = 64;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file can be written");
    let policy = Policy::default();
    let Ok(mut first) = open(file.path(), &policy) else { return };
    let mut second = open_own(file.path(), &policy).expect("what one opens, the other opens");
    assert_eq!(first.size(), second.size());
    let (mut one, mut other) = (vec![0; 65536], vec![0; 65536]);
    let step = (first.size() / PIECES).next_multiple_of(512).max(512);
    let mut at = 0;
    while at < first.size() {
        let length = (first.size() - at).min(one.len() as u64) as usize;
        let (one, other) = (&mut one[..length], &mut other[..length]);
        let read = (first.read_exact_at(one, at), second.read_exact_at(other, at));
        if let (Ok(()), Ok(())) = read {
            assert!(one == other, "the readers differ at {at}");
        }
        if let Ok(extent) = second.extent(at) {
            assert!(extent.length > 0 && at + extent.length <= second.size());
        }
        at += step;
    }
});
