//! Any bytes are a partition table whose partitions lie on the disk, or an error; and no file system in them
//! makes its reader panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::disk::{BlockRead, DiskError, Extent, open_tree, partition};

struct Memory(Vec<u8>);

impl BlockRead for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let source = start.checked_add(buffer.len()).and_then(|end| self.0.get(start..end));
        buffer.copy_from_slice(source.ok_or_else(|| DiskError::Damaged("past the end".to_owned()))?);
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        Ok(Extent { length: self.size() - offset, zero: false })
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut disk = Memory(bytes.to_vec());
    if let Ok(partitions) = partition::list(&mut disk) {
        for partition in partitions {
            assert!(partition.start + partition.length <= disk.size());
        }
    }
    if let Ok(mut tree) = open_tree(Box::new(disk)) {
        for path in [b"/etc/os-release".as_slice(), b"/etc/fstab", b"/"] {
            let _ = tree.read(path, 1 << 20);
            let _ = tree.read_dir(path);
        }
    }
});
