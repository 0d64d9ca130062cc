//! Any bytes are a disk that can be described, or an error: boot sectors, tables, superblocks, FAT, EFI programs.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use tib::disk::{Policy, VirtualDisk};

/// Shorter files are refused before anything is looked at.
const SHORTEST: u64 = 2 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    let length = SHORTEST.max(bytes.len() as u64);
    if file.write_all(bytes).and_then(|()| file.as_file().set_len(length)).is_err() {
        return;
    }
    if let Ok(found) = VirtualDisk::open(file.path(), &Policy::default()).and_then(|disk| disk.layout()) {
        for partition in found.partitions {
            assert!(partition.start + partition.length <= found.image.virtual_size);
        }
    }
});
