//! A way in for fuzzers: any bytes as a file system.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::ext4::Ext;
use super::inodes::Inodes;
use super::raw::check_range;
use super::{BlockRead, DiskError, Extent, FileKind};

/// Inodes looked at, and bytes read of each.
const INODES: usize = 2000;
const LENGTH: u64 = 1 << 20;

struct Bytes(Vec<u8>);

impl BlockRead for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len() as u64)?;
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        Ok(Extent { length: self.size() - offset, zero: false })
    }
}

/// Reads bytes as an ext file system, as far as that goes. Returns how many inodes it came to.
#[doc(hidden)]
pub fn any_ext(bytes: &[u8]) -> usize {
    let length = bytes.len() as u64;
    let disk: Box<dyn BlockRead> = Box::new(Bytes(bytes.to_vec()));
    let Ok(mut ext) = Ext::open(&Arc::new(Mutex::new(disk)), 0, length) else { return 0 };
    let mut left = vec![ext.root()];
    let mut met = HashSet::new();
    while let Some(inode) = left.pop() {
        if met.len() > INODES || !met.insert(inode) {
            continue;
        }
        let Ok(stat) = ext.stat(inode) else { continue };
        // What is wrong with one is no reason to leave the others.
        let _ = ext.xattrs(inode);
        match stat.kind {
            FileKind::Directory => {
                let Ok(directory) = ext.directory(inode) else { continue };
                left.extend(directory.names().filter_map(|name| directory.get(name)));
            }
            FileKind::Symlink => drop(ext.read_link(inode)),
            FileKind::File => drop(ext.read_to(inode, stat.size / 2, LENGTH, &mut std::io::sink())),
            _ => {}
        }
    }
    met.len()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lab;
    use super::*;

    #[test]
    fn a_real_one_is_read_and_noise_is_not() {
        let lab = Lab::new();
        std::fs::create_dir(lab.path("root")).unwrap();
        std::fs::write(lab.path("root/file"), [1; 5000]).unwrap();
        lab.run("mke2fs", &["-q", "-F", "-d", "root", "disk", "1M"]);
        let good = std::fs::read(lab.path("disk")).unwrap();
        assert_eq!(any_ext(&good), 3, "the root, lost+found, the file");
        assert_eq!(any_ext(&good[..500]), 0);
        let mut seed = 5u64;
        for round in 0..3000 {
            let mut bad = good.clone();
            for _ in 0..=round % 7 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Superblock, descriptors, inodes and the first directory lie at the front.
                let at = 1024 + (seed >> 33) as usize % 60_000;
                bad[at] = (seed >> 17) as u8;
            }
            any_ext(&bad);
        }
    }
}
