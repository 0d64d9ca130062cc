//! Disks made to do harm, all of whose checksums are right. Whatever is on them, the end is a typed error with exit code 5,
//! soon.

use std::path::Path;

use super::extent::EXTENT;
use super::superblock::OFFSET;
use super::testing::{Patient, fixture};
use super::*;
use crate::block::bytes::le64;
use crate::disk::hostile_tests::read_everything;
use crate::disk::testing::{Lab, tree_of};
use crate::error::{Diagnose, Exit};

#[track_caller]
fn assert_refused(image: &Path, what: &str) {
    let error = read_everything(image).expect_err(what);
    assert_eq!(error.exit(), Exit::Integrity, "{what}: {error}");
}

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

fn put(bytes: &mut [u8], at: usize, number: u64) -> bool {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    true
}

#[test]
fn a_disk_cut_off_anywhere_is_content_or_an_error() {
    let lab = Lab::new();
    let path = fixture(&lab, "suse");
    let all = read_everything(&path).unwrap();
    let size = path.metadata().unwrap().len();
    let (mut seed, mut refused) = (7u64, 0);
    for round in 0..200 {
        // What is in use lies at the front.
        let end = random(&mut seed) % if round % 4 == 0 { size } else { size / 3 };
        lab.run("cp", &["--sparse=always", "suse.raw", "cut.raw"]);
        let cut = lab.path("cut.raw");
        if round % 2 == 0 && end > OFFSET + 4096 {
            // The superblock does not tell.
            Patient::superblock_of(&cut).change(OFFSET, |block| assert!(put(block, 0xd1, end)));
        }
        std::fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(end).unwrap();
        match read_everything(&cut) {
            Ok(count) => assert_eq!(count, all, "{end}"),
            Err(error) => {
                assert_eq!(error.exit(), Exit::Integrity, "{end}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn one_that_is_larger_than_its_place_has_lost_its_end() {
    let lab = Lab::new();
    let path = fixture(&lab, "suse");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100 << 20).unwrap();
    let error = tree_of(&path).err().unwrap();
    assert!(matches!(error, DiskError::Damaged(_)), "{error:?}");
    assert!(error.to_string().ends_with("Btrfs needs 128 MiB: the image has lost its end"), "{error}");
}

#[test]
fn bits_that_fell_over_are_survived() {
    let lab = Lab::new();
    let mut seed = 11u64;
    for (name, rounds) in [("suse", 600), ("fedora", 60)] {
        let path = fixture(&lab, name);
        let mut disk = Patient::new(&path);
        // Of the trees that are read.
        let is_read = |at: &u64| match le64(&disk.block(*at), 0x58) {
            1 | 3 | 5 | 7 => true,
            owner => owner >= ROOT,
        };
        let blocks: Vec<u64> = disk.blocks.iter().copied().filter(is_read).collect();
        let mut refused = 0;
        for round in 0..rounds {
            for _ in 0..=round % 5 {
                let block = random(&mut seed) as usize % (blocks.len() + 1);
                let block = blocks.get(block).copied().unwrap_or(OFFSET);
                disk.change(block, |block| {
                    // Half of them in headers, keys and the superblock's fields.
                    let reach = if round % 2 == 0 { 300 } else { block.len() - 32 };
                    let at = 32 + random(&mut seed) as usize % reach;
                    block[at] ^= 1 << (random(&mut seed) % 8);
                });
            }
            if let Err(error) = read_everything(&path) {
                assert_eq!(error.exit(), Exit::Integrity, "{name} {round}: {error}");
                refused += 1;
            }
            disk.heal();
        }
        read_everything(&path).unwrap();
        assert!(refused > rounds / 10, "{name}: {refused}");
    }
}

#[test]
fn noise_in_packed_content_is_survived() {
    let lab = Lab::new();
    let path = fixture(&lab, "fedora");
    let (mut tree, mut seed) = (tree_of(&path).unwrap(), 5u64);
    let names: Vec<Vec<u8>> =
        ["zlib", "lzo", "zstd"].iter().map(|kind| format!("/{kind}/large").into_bytes()).collect();
    // All that such a file could be: noise as an extent of each kind.
    for round in 0..3000 {
        let length = 1 + random(&mut seed) as usize % 9000;
        let mut packed: Vec<u8> = (0..length).map(|_| random(&mut seed) as u8).collect();
        let packing = unpack::Packing::of((round % 4) as u8).unwrap();
        if round % 3 == 0 {
            // With a length as LZO has it in front, or the beginning of a zstd frame or of a stream of zlib.
            packed[..length.min(4)].copy_from_slice(&(length as u32).to_le_bytes()[..length.min(4)]);
        } else if packing == unpack::Packing::Zstd && length > 4 {
            packed[..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
        } else if packing == unpack::Packing::Zlib && length > 2 {
            packed[..2].copy_from_slice(&[0x78, 0x9c]);
        }
        let wanted = random(&mut seed) as usize % 200_000;
        assert!(packing.unpack(&packed, wanted).is_none_or(|found| found.len() == wanted));
    }
    for name in names {
        assert_eq!(tree.stat(&name).unwrap().size, 1_000_003);
    }
}

/// What is changed, how, and in which of the disks.
type Change = (&'static str, fn(u64, Key, &mut [u8]) -> bool);

/// Number, size, length of data and the like of inodes and extents, in the tree of the root.
const CHANGES: &[Change] = &[
    ("a size of nearly 2^63", |_, key, data| key.kind == INODE && put(data, 16, 0x7fff_ffff_ffff_f000)),
    ("a size beyond 2^63", |_, key, data| key.kind == INODE && put(data, 16, 1 << 63)),
    ("a file that is a directory", |_, key, data| {
        key.kind == INODE && data[53] & 0xf0 == 0x80 && {
            data[53] = 0x41;
            true
        }
    }),
    ("a directory that is a file", |_, key, data| {
        key.kind == INODE && key.object > ROOT && data[53] & 0xf0 == 0x40 && {
            data[53] = 0x81;
            true
        }
    }),
    ("a file that is a link", |_, key, data| {
        key.kind == INODE && data[53] & 0xf0 == 0x80 && {
            data[53] = 0xa1;
            true
        }
    }),
    ("a kind that is none", |_, key, data| {
        key.kind == INODE && key.object > ROOT && {
            data[53] = 0x31;
            true
        }
    }),
    ("an extent without end", |_, key, data| key.kind == EXTENT && data.len() == 53 && put(data, 45, !4095)),
    ("an empty extent", |_, key, data| key.kind == EXTENT && data.len() == 53 && put(data, 45, 0)),
    ("extents that overlap", |_, key, data| {
        key.kind == EXTENT && data.len() == 53 && {
            put(data, 45, le64(data, 45) + 4096) && put(data, 8, 1 << 20) && put(data, 29, 1 << 20)
        }
    }),
    ("content outside of all chunks", |_, key, data| {
        key.kind == EXTENT && data.len() == 53 && put(data, 21, 1 << 50)
    }),
    ("content at the end of all addresses", |_, key, data| {
        key.kind == EXTENT && data.len() == 53 && put(data, 21, !4095)
    }),
    ("a part far behind its extent", |_, key, data| {
        key.kind == EXTENT && data.len() == 53 && data[16] != 0 && put(data, 37, !4095)
    }),
    ("far more than was ever packed", |_, key, data| {
        key.kind == EXTENT && data.len() == 53 && data[16] != 0 && put(data, 8, 1 << 40)
    }),
    ("another way of packing", |_, key, data| {
        key.kind == EXTENT && data.len() == 53 && data[16] != 0 && {
            data[16] ^= 1;
            true
        }
    }),
    ("an extent of no kind", |_, key, data| {
        key.kind == EXTENT && {
            data[20] = 7;
            true
        }
    }),
    ("a name longer than its item", |_, key, data| {
        matches!(key.kind, BY_INDEX | BY_HASH) && key.object >= ROOT && {
            data[27] = 250;
            true
        }
    }),
    ("a name that is none", |_, key, data| {
        matches!(key.kind, BY_INDEX | BY_HASH) && key.object >= ROOT && {
            data[30] = b'/';
            true
        }
    }),
    ("lists that differ", |_, key, data| {
        key.kind == BY_INDEX && key.object >= ROOT && {
            data[30] ^= 1;
            true
        }
    }),
    ("a directory in itself", |_, key, data| {
        matches!(key.kind, BY_INDEX | BY_HASH)
            && key.object >= ROOT
            && data[29] == 2
            && data[8] == INODE
            && put(data, 0, key.object)
    }),
    ("names of what is not there", |_, key, data| {
        matches!(key.kind, BY_INDEX | BY_HASH) && key.object >= ROOT && put(data, 0, 1 << 30)
    }),
    ("a tree that is higher than it is", |_, key, data| {
        key.kind == TREE && key.object >= ROOT && {
            data[238] += 1;
            true
        }
    }),
    ("a tree of impossible height", |_, key, data| {
        key.kind == TREE && {
            data[238] = 200;
            true
        }
    }),
    ("a tree that is another one", |_, key, data| {
        key.kind == TREE && key.object >= ROOT && put(data, 176, 0x50_0000)
    }),
    ("a tree nowhere", |_, key, data| key.kind == TREE && key.object >= ROOT && put(data, 176, 1 << 60)),
    ("a chunk of no length", |_, key, data| key.kind == chunks::CHUNK && put(data, 0, 0)),
    ("a chunk around the end", |_, key, data| key.kind == chunks::CHUNK && put(data, 0, !4095)),
    ("chunks that overlap", |_, key, data| key.kind == chunks::CHUNK && put(data, 0, 1 << 40)),
    ("a chunk behind the disk", |_, key, data| key.kind == chunks::CHUNK && put(data, 56, 1 << 45)),
    ("a chunk at the end of all disks", |_, key, data| key.kind == chunks::CHUNK && put(data, 56, !4095)),
    ("a chunk with too many stripes", |_, key, data| {
        key.kind == chunks::CHUNK && {
            data[44] = 255;
            true
        }
    }),
];

#[test]
fn items_that_lie_are_refused() {
    let lab = Lab::new();
    let path = fixture(&lab, "suse");
    let mut disk = Patient::new(&path);
    for (what, change) in CHANGES {
        assert!(disk.change_items(change) > 0, "{what}: nothing changed");
        assert_refused(&path, what);
        disk.heal();
    }
    read_everything(&path).unwrap();
}

#[test]
fn blocks_that_lie_are_refused() {
    let lab = Lab::new();
    let path = fixture(&lab, "fedora");
    let mut disk = Patient::new(&path);
    type Lie = (&'static str, bool, fn(&mut [u8]));
    let lies: &[Lie] = &[
        ("more entries than fit", false, |block| block[0x60..0x64].fill(0xff)),
        ("more entries than there are", false, |block| block[0x60] = block[0x60].wrapping_add(3)),
        ("an item behind its block", false, |block| block[101 + 17..101 + 21].fill(0xff)),
        ("an item of absurd length", false, |block| block[101 + 21..101 + 25].fill(0xff)),
        ("items in the same place", false, |block| block.copy_within(101 + 17..101 + 25, 101 + 25 + 17)),
        ("keys that are equal", false, |block| block.copy_within(101..101 + 17, 101 + 25)),
        ("another height", false, |block| block[100] = 3),
        ("another time", false, |block| block[0x50] ^= 1),
        ("another address", false, |block| block[0x31] ^= 0x40),
        ("another file system", false, |block| block[0x20] ^= 1),
        ("an inner block without entries", true, |block| block[0x60..0x64].fill(0)),
        ("an inner block in itself", true, |block| block.copy_within(0x30..0x38, 101 + 17)),
        ("one block for all entries", true, |block| {
            let first: [u8; 16] = *block[101 + 17..].first_chunk().unwrap();
            block[101 + 33..].chunks_exact_mut(33).for_each(|entry| entry[17..].copy_from_slice(&first));
        }),
        ("an address that is none", true, |block| block[101 + 17] = 1),
        ("keys in the wrong order", true, |block| block[101..101 + 8].fill(0xff)),
        ("keys that are not their blocks' first", true, |block| {
            block[101 + 33..].chunks_exact_mut(33).for_each(|entry| entry[9] ^= 1);
        }),
    ];
    for (what, inner, lie) in lies {
        let mut count = 0;
        for at in disk.blocks.clone() {
            let block = disk.block(at);
            // Leaves and inner blocks with at least two entries.
            if (block[100] > 0) == *inner && block[0x60] > 1 {
                disk.change(at, lie);
                count += 1;
            }
        }
        assert!(count > 0, "{what}: nothing changed");
        assert_refused(&path, what);
        disk.heal();
    }
    let fields: &[(&str, usize, u64)] = &[
        ("blocks of a gigabyte", 0x94, 1 << 30),
        ("blocks of 3 bytes", 0x94, 3),
        ("no tree", 0x50, 0),
        ("a tree that is the tree of chunks", 0x50, 22 << 20),
        ("chunks without end", 0xa0, 0xffff_ffff),
        ("chunks that are cut off", 0xa0, 60),
        ("no chunks", 0xa0, 0),
        ("a superblock of another place", 0x30, 64 << 20),
    ];
    for (what, at, value) in fields {
        let length = if matches!(at, 0x94 | 0xa0) { 4 } else { 8 };
        disk.change(OFFSET, |block| block[*at..at + length].copy_from_slice(&value.to_le_bytes()[..length]));
        assert_refused(&path, what);
        disk.heal();
    }
    read_everything(&path).unwrap();
}

#[test]
fn a_bit_that_fell_over_is_found_by_its_checksum() {
    let lab = Lab::new();
    let path = fixture(&lab, "suse");
    let mut disk = Patient::new(&path);
    let mut found = 0;
    for at in disk.blocks.clone().into_iter().chain([OFFSET]) {
        let mut block = disk.block(at);
        block[150] ^= 0x10;
        disk.put_all(at, &block);
        match read_everything(&path) {
            // Nothing that is read uses it.
            Ok(_) => {}
            Err(error) => {
                assert!(error.to_string().contains("wrong checksum"), "{error}");
                found += 1;
            }
        }
        disk.heal();
    }
    // The superblock, and the roots of as many trees and subvolumes.
    assert!(found >= 9, "{found}");
}
