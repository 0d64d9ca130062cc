//! What the tests of this room share: disks that Linux made, and a hand that changes them and makes checksums right again.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use xxhash_rust::xxh64::xxh64;

use super::superblock::{LENGTH, OFFSET};
use super::*;
use crate::block::bytes::{le16, le32, le64};
use crate::disk::testing::{Lab, write};
use crate::disk::{Policy, open};

/// Disks that `tests/fixtures/btrfs/make.sh` made in an appliance, as `name.raw`.
pub(super) fn fixture(lab: &Lab, name: &str) -> PathBuf {
    let packed: &[u8] = match name {
        "fedora" => include_bytes!("../../../tests/fixtures/btrfs/fedora.xz"),
        _ => include_bytes!("../../../tests/fixtures/btrfs/suse.xz"),
    };
    write(&lab.path("fixture.xz"), packed);
    lab.run("sh", &["-c", &format!("xz -dc fixture.xz >{name}.raw")]);
    lab.path(&format!("{name}.raw"))
}

/// Makes `disk.raw` of the directory `root`, and checks it.
pub(super) fn make(lab: &Lab, options: &str, size: u64) -> PathBuf {
    let path = lab.path("disk.raw");
    let _ = std::fs::remove_file(&path);
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let mut arguments = vec!["-q", "-f", "--rootdir", "root"];
    arguments.extend(options.split_whitespace());
    arguments.push("disk.raw");
    lab.run("mkfs.btrfs", &arguments);
    lab.run("btrfs", &["check", "--readonly", "--check-data-csum", "disk.raw"]);
    path
}

pub(super) fn open_btrfs(path: &Path) -> Result<Btrfs, DiskError> {
    let disk = open(path, &Policy::default())?;
    let length = disk.size();
    Btrfs::open(&Arc::new(Mutex::new(disk)), 0, length)
}

/// A disk that is changed in place.
pub(super) struct Patient {
    file: std::fs::File,
    size: usize,
    /// CRC-32C, or xxHash.
    kind: u16,
    /// Where all tree blocks begin, also those that nothing uses any more. Of two copies, the first.
    pub(super) blocks: Vec<u64>,
    /// Where their second copies begin.
    pub(super) copies: HashMap<u64, u64>,
    /// What was there before, to be put back.
    before: Vec<(u64, Vec<u8>)>,
}

impl Patient {
    pub(super) fn new(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let superblock = &bytes[OFFSET as usize..][..LENGTH];
        let fsid = &superblock[0x20..0x30];
        // Copies of the superblock have their number where tree blocks have theirs.
        let is_block =
            |at: &usize| &bytes[at + 0x20..at + 0x30] == fsid && &bytes[at + 0x40..at + 0x48] != b"_BHRfS_M";
        let size = le32(superblock, 0x94) as usize;
        let (mut blocks, mut copies, mut known) = (Vec::new(), HashMap::new(), HashMap::new());
        for at in (0..bytes.len()).step_by(4096).filter(is_block) {
            match known.get(&bytes[at..at + size]) {
                Some(first) => drop(copies.insert(*first, at as u64)),
                None => {
                    known.insert(&bytes[at..at + size], at as u64);
                    blocks.push(at as u64);
                }
            }
        }
        Self {
            blocks,
            copies,
            size,
            kind: le16(superblock, 0xc4),
            file: std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap(),
            before: Vec::new(),
        }
    }

    pub(super) fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    pub(super) fn block(&self, at: u64) -> Vec<u8> {
        self.read(at, if at == OFFSET { LENGTH } else { self.size })
    }

    /// The same without looking for tree blocks.
    pub(super) fn superblock_of(path: &Path) -> Self {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut disk = Self {
            blocks: Vec::new(),
            copies: HashMap::new(),
            size: LENGTH,
            kind: 0,
            file,
            before: Vec::new(),
        };
        disk.kind = le16(&disk.block(OFFSET), 0xc4);
        disk
    }

    /// Puts bytes on the disk as they are, and into the copy of their block, if that is one.
    pub(super) fn put_all(&mut self, at: u64, bytes: &[u8]) {
        self.put(at, bytes);
        if let Some(copy) = self.copies.get(&at) {
            self.put(*copy, bytes);
        }
    }

    /// Puts bytes on the disk as they are.
    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) {
        self.before.push((at, self.read(at, bytes.len())));
        self.file.write_all_at(bytes, at).unwrap();
    }

    /// Changes a tree block with its copy, or the superblock. Its checksum is right afterwards.
    pub(super) fn change(&mut self, at: u64, change: impl FnOnce(&mut [u8])) {
        let mut block = self.block(at);
        change(&mut block);
        let (field, rest) = block.split_at_mut(32);
        match self.kind {
            0 => field[..4].copy_from_slice(&crc32c::crc32c(rest).to_le_bytes()),
            1 => field[..8].copy_from_slice(&xxh64(rest, 0).to_le_bytes()),
            other => panic!("{other}"),
        }
        self.put_all(at, &block);
    }

    /// Changes items of leaves: `change` gets the number of the tree, the key, and the item's data, and says whether it
    /// changed that. Returns how many it changed.
    pub(super) fn change_items(&mut self, change: impl Fn(u64, Key, &mut [u8]) -> bool) -> usize {
        let mut count = 0;
        for at in self.blocks.clone() {
            let before = self.block(at);
            if before[100] != 0 {
                continue;
            }
            let (owner, items) = (le64(&before, 0x58), le32(&before, 0x60) as usize);
            let mut after = before.clone();
            for header in before[101..].chunks(25).take(items) {
                let (start, length) = (101 + le32(header, 17) as usize, le32(header, 21) as usize);
                count += usize::from(change(owner, Key::parse(header), &mut after[start..][..length]));
            }
            if before != after {
                self.change(at, |block| block[32..].copy_from_slice(&after[32..]));
            }
        }
        count
    }

    /// Replaces some bytes wherever they are in tree blocks. Returns how often.
    pub(super) fn replace(&mut self, from: &[u8], to: &[u8]) -> usize {
        assert_eq!(from.len(), to.len());
        let mut count = 0;
        for at in self.blocks.clone() {
            let block = self.block(at);
            let found: Vec<usize> =
                (0..block.len()).filter(|place| block[*place..].starts_with(from)).collect();
            count += found.len();
            if !found.is_empty() {
                self.change(at, |block| {
                    found.iter().for_each(|place| block[*place..][..to.len()].copy_from_slice(to));
                });
            }
        }
        count
    }

    /// Puts everything back.
    pub(super) fn heal(&mut self) {
        for (at, bytes) in std::mem::take(&mut self.before).into_iter().rev() {
            self.file.write_all_at(&bytes, at).unwrap();
        }
    }
}
