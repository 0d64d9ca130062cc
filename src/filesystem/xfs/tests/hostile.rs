//! Images made to do harm. Their checksums are right, so that they reach what reads them. Whatever is in them, the end is a typed error
//! with exit code 5, soon.

use super::craft::{Craft, extent};
use super::odd::with_everything;
use super::*;
use crate::block::bytes::{be32, be64};
use crate::disk::hostile_tests::read_everything;
use crate::error::{Diagnose, Exit};

/// Reads all that can be come to, and gives what was wrong with it.
fn read(craft: &Craft) -> Vec<DiskError> {
    let mut xfs = match craft.open() {
        Ok(xfs) => xfs,
        Err(error) => return vec![error],
    };
    let (mut left, mut met, mut errors) = (vec![xfs.root()], std::collections::HashSet::new(), Vec::new());
    while let Some(inode) = left.pop() {
        if !met.insert(inode) {
            continue;
        }
        assert!(met.len() < 20_000, "endless");
        let mut look = || -> Result<(), DiskError> {
            let stat = xfs.stat(inode)?;
            match stat.kind {
                FileKind::Directory => {
                    let directory = xfs.directory(inode)?;
                    left.extend(directory.names().filter_map(|name| directory.get(name)));
                }
                FileKind::Symlink => drop(xfs.read_link(inode)?),
                // As much as an image holds: holes cost nothing to claim.
                FileKind::File => drop(xfs.read_to(inode, 0, 80 << 20, &mut std::io::sink())?),
                _ => {}
            }
            xfs.xattrs(inode).map(drop)
        };
        errors.extend(look().err());
    }
    errors
}

fn assert_typed(errors: &[DiskError], what: &str) {
    for error in errors {
        assert_eq!(error.exit(), Exit::Integrity, "{what}: {error}");
        assert!(matches!(error, DiskError::Damaged(_) | DiskError::Unsupported(_)), "{what}: {error}");
    }
}

#[test]
fn a_file_cut_off_anywhere_is_content_or_an_error() {
    let lab = Lab::new();
    with_everything(&lab, "");
    let all = read_everything(&lab.path("disk.img")).unwrap();
    lab.run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.img", "disk.qcow2"]);
    let mut seed = 7u64;
    for round in 0..200 {
        let name = ["disk.img", "disk.qcow2"][round % 2];
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let length = std::fs::metadata(lab.path(name)).unwrap().len();
        lab.run("cp", &["--sparse=always", name, "cut"]);
        let file = std::fs::OpenOptions::new().write(true).open(lab.path("cut")).unwrap();
        file.set_len((seed >> 20) % length).unwrap();
        match read_everything(&lab.path("cut")) {
            Ok(count) => assert_eq!((count, name), (all, "disk.qcow2"), "{round}"),
            Err(error) => assert_eq!(error.exit(), Exit::Integrity, "{name} {round}: {error}"),
        }
    }
}

#[test]
fn what_fell_over_behind_right_checksums_is_survived() {
    let lab = Lab::new();
    for (options, rounds) in [("-b size=1024", 80), ("-m crc=0 -i size=512", 40)] {
        let (good, _) = with_everything(&lab, options);
        assert_eq!(read(&good).len(), 0, "{options}");
        let mut places = good.sealed();
        if !good.superblock.has_checksums {
            // What is no file: the files' content lies in one stretch, and is not looked for.
            places = (0..6000).map(|block| (block * 1024, 1024, 0)).collect();
            places.retain(|(at, ..)| good.bytes[*at..at + 1024].iter().any(|byte| *byte != 0));
        }
        let (mut seed, mut told) = (42u64, 0);
        for round in 0..rounds {
            let mut bad = good.clone();
            for _ in 0..12 {
                let mut next = |limit: usize| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 33) as usize % limit
                };
                // The superblock seldom: what is wrong with it hides the rest.
                let (at, length, field) =
                    places[if round % 10 == 0 { 0 } else { 1 + next(places.len() - 1) }];
                let reach = if next(2) == 0 { length } else { length.min(200) };
                bad.bytes[at + next(reach)] = next(256) as u8;
                bad.seal(at, length, field);
            }
            let errors = read(&bad);
            assert_typed(&errors, options);
            told += usize::from(!errors.is_empty());
        }
        assert!(told > rounds / 8, "{options}: {told}");
    }
}

/// What a case changes, given the paths: its path, then the change.
type Change<'a> = Box<dyn Fn(&mut Craft, u64) + 'a>;

fn inode(field: usize, bytes: &'static [u8]) -> Change<'static> {
    Box::new(move |craft, number| craft.change_inode(number, field, bytes))
}

fn fork(bytes: Vec<u8>) -> Change<'static> {
    Box::new(move |craft, number| craft.change_inode(number, craft.core(), &bytes))
}

/// A change of the first block of a kind that belongs to the inode.
fn block(magic: &'static [u8], within: usize, owner: usize, field: usize, bytes: Vec<u8>) -> Change<'static> {
    Box::new(move |craft, number| {
        let found = craft.sealed().into_iter().find(|(at, ..)| {
            let block = &craft.bytes[*at..];
            block[within..].starts_with(magic) && be64(block, owner) == number
        });
        let (at, length, checksum) = found.expect("there is one");
        craft.put(at + field.min(length - 8), &bytes);
        craft.seal(at, length, checksum);
    })
}

#[test]
fn trees_that_bite_their_tail_and_counts_that_are_none() {
    let lab = Lab::new();
    let (good, paths) = with_everything(&lab, "-b size=1024");
    let tree = "/file-700001";
    let (donor, _) = good.extent(paths["/file-70000"]);
    let (first, _) = good.extent(paths["/file-4096"]);
    let extents = |all: &[u128]| all.iter().flat_map(|extent| extent.to_be_bytes()).collect::<Vec<_>>();
    let two = |second: u128| -> Change<'static> {
        let list = extents(&[extent(0, first, 1, false), second]);
        Box::new(move |craft, number| {
            craft.change_inode(number, 76, &[0, 0, 0, 2]);
            craft.change_inode(number, craft.core(), &list);
        })
    };
    let last_block = u64::from(be32(&good.bytes, 84)) - 1;
    let cases: Vec<(&str, &str, Change)> = vec![
        (
            "a tree with a node in itself",
            tree,
            block(b"BMA3\0\x01", 0, 56, 72 + 59 * 8, donor.to_be_bytes().into()),
        ),
        ("a tree that leads outside", tree, block(b"BMA3\0\x01", 0, 56, 72 + 59 * 8, vec![0x7f; 8])),
        ("a node with too many entries", tree, block(b"BMA3\0\x01", 0, 56, 6, vec![0xff, 0xff])),
        ("a node without entries", tree, block(b"BMA3\0\x01", 0, 56, 6, vec![0, 0])),
        ("a node of another level", tree, block(b"BMA3\0\x01", 0, 56, 4, vec![0, 5])),
        ("a leaf with too many entries", tree, block(b"BMA3\0\0", 0, 56, 6, vec![0xff, 0xff])),
        ("a leaf with fewer entries", tree, block(b"BMA3\0\0", 0, 56, 6, vec![0, 1])),
        ("a root of level 0", tree, fork(vec![0, 0])),
        ("a root of level 65535", tree, fork(vec![0xff, 0xff])),
        ("a root with too many entries", tree, fork(vec![0, 2, 0xff, 0xff])),
        ("extents that overlap", "/file-4096", two(extent(0, first, 1, false))),
        ("an extent without a length", "/file-4096", two(extent(9, first, 0, false))),
        ("an extent outside", "/file-4096", two(extent(9, (1 << 52) - 1, 1, false))),
        ("an extent over the end of its group", "/file-4096", two(extent(9, last_block, 2, false))),
        ("an extent over all", "/file-4096", two(extent(9, 1, (1 << 21) - 1, false))),
        ("an extent beyond any file", "/file-4096", two(extent((1 << 54) - 1, first, 1, false))),
        ("an extent at the superblock", "/file-4096", two(extent(9, 0, 1, false))),
        ("four thousand million extents", "/file-4096", inode(76, &[0xff; 4])),
        (
            "as many of 64 bits",
            "/file-4096",
            Box::new(|craft, number| {
                craft.change_inode(number, 120, &[0, 0, 0, 0, 0, 0, 0, 0x18]);
                craft.change_inode(number, 24, &[0xff; 8]);
            }),
        ),
        ("content in the inode", "/file-4096", inode(5, &[1])),
        ("content of no known form", "/file-4096", inode(5, &[9])),
        ("a size beyond any file", "/file-4096", inode(56, &[0xff; 8])),
        ("a file that is a directory", "/file-4096", inode(2, &[0x41, 0xed])),
        ("a file that is a link", "/file-4096", inode(2, &[0xa1, 0xff])),
        ("an inode that is free", "/file-4096", inode(2, &[0, 0])),
        ("an inode of another number", "/file-4096", inode(152, &[1])),
        ("attributes outside the inode", "/file-4096", inode(82, &[0xff])),
        ("attributes of no known form", "/character", inode(83, &[7])),
        ("a link without a target", "/link-40", inode(56, &[0; 8])),
        ("a link that is too long", "/link-40", inode(56, &[0, 0, 0, 0, 0, 0, 3, 0xff])),
        ("a long link that is too long", "/link-80", inode(56, &[0, 0, 0, 0, 0, 0, 4, 0])),
        ("a directory of an absurd size", "/block", inode(56, &[0x7f; 8])),
        ("a short directory of an absurd size", "/short", inode(56, &[0, 0, 1, 0, 0, 0, 0, 0])),
        ("a short directory with too many entries", "/short", fork(vec![0xff])),
        ("a short directory with too few", "/short", fork(vec![1])),
        ("a short directory with large numbers", "/short", fork(vec![4, 4])),
        (
            "a directory whose blocks were never written",
            "/block",
            Box::new(|craft, number| {
                craft.change_inode(number, craft.core(), &[0x80]);
            }),
        ),
        ("a table of names over all", "/block", block(b"XDB3", 0, 40, usize::MAX, vec![0xff; 8])),
        ("an entry that is longer than its block", "/node", block(b"XDD3", 0, 40, 64 + 8, vec![0xff])),
        ("an unused stretch of no length", "/node", block(b"XDD3", 0, 40, 64, vec![0xff, 0xff, 0, 0])),
        ("an unused stretch of an odd length", "/node", block(b"XDD3", 0, 40, 64, vec![0xff, 0xff, 0, 9])),
        ("a slash in a name", "/block", block(b"XDB3", 0, 40, 64 + 2 * 16 + 12, vec![b'/'])),
        ("a name with an end in it", "/block", block(b"XDB3", 0, 40, 64 + 2 * 16 + 12, vec![0])),
        ("a tree of attributes in itself", "/file-4096", block(&[0x3e, 0xbe], 8, 48, 64 + 4, vec![0; 4])),
        (
            "a tree of attributes that leads nowhere",
            "/file-4096",
            block(&[0x3e, 0xbe], 8, 48, 64 + 4, vec![0xff; 4]),
        ),
        (
            "a tree of attributes that is too wide",
            "/file-4096",
            block(&[0x3e, 0xbe], 8, 48, 56, vec![0xff, 0xff]),
        ),
        ("a tree of attributes that is too high", "/file-4096", block(&[0x3e, 0xbe], 8, 48, 58, vec![0, 9])),
        ("too many attributes", "/character", block(&[0x3b, 0xee], 8, 48, 56, vec![0xff, 0xff])),
        (
            "an attribute outside its block",
            "/character",
            block(&[0x3b, 0xee], 8, 48, 80 + 4, vec![0xff, 0xff]),
        ),
        ("a value that is elsewhere", "/file-4096", block(b"XARM", 0, 32, 4, vec![0, 0, 9, 9])),
    ];
    for (what, path, change) in cases {
        let mut bad = good.clone();
        change(&mut bad, paths[path]);
        assert!(bad.bytes != good.bytes, "{what}: nothing changed");
        let errors = read(&bad);
        assert!(errors.iter().any(|error| matches!(error, DiskError::Damaged(_))), "{what}: {errors:?}");
        assert_typed(&errors, what);
    }
}

#[test]
fn superblocks_that_claim_the_impossible() {
    let lab = Lab::new();
    let (good, _) = with_everything(&lab, "");
    for (what, field, bytes) in [
        ("blocks of a gigabyte", 120, &[30u8][..]),
        ("blocks of no length", 4, &[0; 4]),
        ("more blocks than fit", 8, &[0, 0, 0, 1]),
        ("endless blocks", 8, &[0xff; 8]),
        ("no blocks in a group", 84, &[0; 4]),
        ("more blocks in a group than can be named", 84, &[0xff; 4]),
        ("no groups", 88, &[0; 4]),
        ("endless groups", 88, &[0xff; 4]),
        ("names of groups that overlap", 124, &[1]),
        ("names of groups of 255 bits", 124, &[0xff]),
        ("inodes of 3 bytes", 104, &[0, 3]),
        ("inodes larger than blocks", 122, &[13]),
        ("other numbers of inodes in a block", 123, &[9]),
        ("blocks of directories of 2^255 bytes", 192, &[0xff]),
        ("no log", 96, &[0; 4]),
        ("an endless log", 96, &[0xff; 4]),
        ("a log outside", 48, &[0x7f; 8]),
        ("a root that is nowhere", 56, &[0xff; 8]),
        ("a root in the superblock", 56, &[0; 8]),
        ("sectors of 3 bytes", 102, &[0, 3]),
        ("sectors of 2^200 bytes", 121, &[200]),
        ("an end that never came", 126, &[1]),
    ] {
        let mut bad = good.clone();
        bad.change_superblock(field, bytes);
        assert_ne!(be32(&bad.bytes, 0), 0);
        let errors = read(&bad);
        assert!(matches!(errors[..], [DiskError::Damaged(_)]), "{what}: {errors:?}");
    }
}
