//! What `mkfs.xfs` does not make by itself: trees of extents, logs, features, damage.

use super::craft::{Craft, extent};
use super::*;

fn system(lab: &Lab, options: &str) -> Craft {
    let files = fill(lab);
    make(lab, options, "40M", &proto(lab, &files, false));
    Craft::load(lab)
}

#[test]
fn trees_of_extents_holes_and_blocks_that_were_never_written() {
    for options in ["-b size=4096", "-m crc=0 -b size=1024"] {
        let lab = Lab::new();
        let mut craft = system(&lab, options);
        let paths = paths(&mut craft.open().unwrap());
        let (number, donor) = (paths["/file-700001"], paths["/file-70000"]);
        let size = craft.superblock.block_size as usize;
        let (first, _) = craft.extent(number);
        let content = super::content(&mut craft.open().unwrap(), number);
        let (mut extents, mut expected) = (Vec::new(), vec![0; 3 * 100 * size]);
        for index in 0..100 {
            // Backwards on the disk, so that nothing can be joined; a hole of two blocks behind each.
            let (source, is_unwritten) = (99 - index, index % 10 == 3);
            extents.push(extent(3 * index, first + source, 1, is_unwritten));
            if !is_unwritten {
                let piece = &content[source as usize * size..][..size];
                expected[3 * index as usize * size..][..size].copy_from_slice(piece);
            }
        }
        craft.change_inode(number, 56, &(expected.len() as u64).to_be_bytes());
        craft.make_tree(number, donor, &extents);
        assert!(super::content(&mut craft.open().unwrap(), number) == expected, "{options}");
        // xfs_db sees the same in it.
        craft.store(&lab);
        let said = xfs_db(&lab, &format!("inode {number}\nbmap\n"));
        let lines = said.lines().filter(|line| line.contains("data offset "));
        assert_eq!(lines.clone().count(), 100, "{options}: {}", &said[said.len() - 500..]);
        for (index, line) in lines.enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [offset, start, flag] = ["offset", "startblock", "flag"].map(|name| {
                let at = words.iter().position(|word| *word == name).unwrap();
                words[at + 1].parse::<u64>().unwrap()
            });
            let index = index as u64;
            let expected = (3 * index, first + 99 - index, u64::from(index % 10 == 3));
            assert_eq!((offset, start, flag), expected, "{line}");
        }
    }
}

/// What a record begins with, and the number of a round.
const MAGIC: [u8; 4] = [0xfe, 0xed, 0xba, 0xbe];
const SEVEN: [u8; 4] = [0, 0, 0, 7];

/// xfs_logprint is the judge.
#[test]
fn a_log_that_was_not_written_back_is_left_to_a_kernel() {
    for options in ["-b size=4096", "-m crc=0 -l version=1"] {
        let lab = Lab::new();
        let good = system(&lab, options);
        let start = good.block(good.superblock.log.0);
        let sectors = good.superblock.log.1 as usize * good.superblock.block_size as usize / 512;
        let record = good.bytes[start..start + 1024].to_vec();
        assert!(record.starts_with(&MAGIC));
        // Puts the record that `mkfs.xfs` wrote somewhere else, as if the log had gone round.
        let moved = |at: usize, round: u32| {
            let mut craft = good.clone();
            for sector in 0..sectors {
                let own = if sector < (at + 2) { round } else { round - 1 };
                craft.put(start + 512 * sector, &[own.to_be_bytes().as_slice(), &[0; 508]].concat());
            }
            craft.put(start + 512 * at, &record);
            let lsn = (u64::from(round) << 32 | at as u64).to_be_bytes();
            craft.put(start + 512 * at + 4, &round.to_be_bytes());
            craft.put(start + 512 * at + 16, &[lsn, lsn].concat());
            craft.put(start + 512 * (at + 1), &round.to_be_bytes());
            craft
        };
        let changed = |craft: &Craft, field: usize, bytes: &[u8]| {
            let mut craft = craft.clone();
            craft.put(start + field, bytes);
            craft
        };
        let mut never_written = good.clone();
        never_written.put(start, &vec![0; 512 * sectors]);
        let middle = moved(1000, 7);
        let cases = [
            ("as made", good.clone(), true),
            ("never written to", never_written, true),
            ("in the middle", middle.clone(), true),
            ("at the end", moved(sectors - 2, 7), true),
            ("in a later round", moved(77, 70_000), true),
            (
                "cut off behind it",
                changed(&middle, 512 * 1002, &[MAGIC, SEVEN, [0, 0, 0, 2], [0, 0, 16, 0]].concat()),
                true,
            ),
            ("another operation", changed(&middle, 512 * 1001 + 9, &[0]), false),
            ("several operations", changed(&middle, 512 * 1000 + 40, &[0, 0, 0, 2]), false),
        ];
        for (what, craft, is_clean) in cases {
            craft.store(&lab);
            let said = lab.run("sh", &["-c", "xfs_logprint -t disk.img 2>&1 || true"]);
            let found = craft.open();
            if is_clean {
                assert!(said.contains("<CLEAN>"), "{options} {what}: {said}");
                assert!(found.is_ok(), "{options} {what}: {:?}", found.err());
            } else {
                assert!(!said.contains("<CLEAN>"), "{options} {what}: {said}");
                let error = found.err().expect(what);
                assert_eq!(error.to_string(), "the log of its XFS was not written back", "{options} {what}");
            }
        }
    }
}

#[test]
fn what_only_a_kernel_reads_is_said() {
    let lab = Lab::new();
    let good = system(&lab, "");
    let features = crate::block::bytes::be32(&good.bytes, 216);
    let with = |more: u32| {
        let mut craft = good.clone();
        craft.change_superblock(216, &(features | more).to_be_bytes());
        craft
    };
    for (more, reason) in [
        (0x10, "uses a mark that it needs repair"),
        (0x100, "uses a directory of metadata"),
        (0x8000_0000, "uses features 0x80000000"),
    ] {
        let error = with(more).open().err().unwrap();
        assert!(matches!(&error, DiskError::Unsupported(why) if why.ends_with(reason)), "{error}");
    }
    // These change nothing for readers, nor do unknown ones that only matter to who writes.
    assert!(with(0x40 | 0x80).open().is_ok());
    let mut craft = good.clone();
    craft.change_superblock(212, &[0xff; 4]);
    assert!(craft.open().is_ok());
    let mut craft = good.clone();
    craft.change_superblock(48, &[0; 8]);
    assert!(matches!(craft.open(), Err(DiskError::Unsupported(why)) if why.contains("another disk")));

    let number = paths(&mut good.open().unwrap())["/file-70000"];
    let mut craft = good.clone();
    craft.change_inode(number, 90, &[0, 1]);
    let error = craft.open().unwrap().read_to(number, 0, 9, &mut std::io::sink()).unwrap_err();
    assert!(matches!(&error, DiskError::Unsupported(why) if why.contains("another device")), "{error}");

    make(&lab, "-n version=ci", "40M", &proto(&lab, &fill(&lab), false));
    let error = open_xfs(&lab.path("disk.img")).err().unwrap();
    assert!(
        matches!(&error, DiskError::Unsupported(why) if why.contains("without regard to case")),
        "{error}"
    );
}

#[test]
fn another_uuid_and_links_to_parents_change_nothing() {
    let lab = Lab::new();
    let mut craft = system(&lab, "");
    xfs_db(&lab, "uuid 11111111-2222-3333-4444-555555555555\n");
    let number = paths(&mut craft.open().unwrap())["/pipe"];
    xfs_db(&lab, &format!("inode {number}\nattr_set -u -v 5 shown\nattr_set -u -v 5 hidden\n"));
    craft = Craft::load(&lab);
    assert_ne!(crate::block::bytes::be32(&craft.bytes, 216) & 4, 0, "has two");
    let names = |craft: &Craft| -> Vec<_> {
        craft.open().unwrap().xattrs(number).unwrap().into_iter().map(|found| found.name).collect()
    };
    assert_eq!(names(&craft), [b"user.hidden".to_vec(), b"user.shown".to_vec()]);
    // The second in its list: a header of 4 bytes, then 3, 5 and 5 bytes.
    let at = usize::from(craft.bytes[craft.inode(number) + 82]) * 8 + craft.core();
    let second = at + 4 + 3 + 5 + 5;
    assert_eq!(&craft.bytes[craft.inode(number) + second + 3..][..6], b"hidden");
    for flag in [0x8, 0x80] {
        craft.change_inode(number, second + 2, &[flag]);
        assert_eq!(names(&craft), [b"user.shown".to_vec()]);
    }
}

#[test]
fn times_before_and_beyond_what_32_bits_hold() {
    let lab = Lab::new();
    for (options, field, cases) in [
        ("", 40, &[(0u64, -2_147_483_648i64, 0u32), (u64::MAX, 16_299_260_425, 709_551_615)][..]),
        (
            "-m crc=0",
            40,
            &[(0xffff_ffff_0000_0007, -1, 7), (0x7fff_ffff_3b9a_c9ff, 2_147_483_647, 999_999_999)],
        ),
    ] {
        let mut craft = system(&lab, options);
        let root = craft.superblock.root;
        for (stored, seconds, nanoseconds) in cases {
            craft.change_inode(root, field, &stored.to_be_bytes());
            let modified = craft.open().unwrap().stat(root).unwrap().modified;
            assert_eq!((modified.seconds, modified.nanoseconds), (*seconds, *nanoseconds), "{options}");
        }
    }
}

#[test]
fn access_control_lists_are_shown_as_linux_shows_them() {
    // Owner rw-, user 1000 r--, group r--, mask r--, others ---.
    let entry = |tag: u32, id: u32, permissions: u16| {
        [&tag.to_be_bytes()[..], &id.to_be_bytes(), &permissions.to_be_bytes(), &[0, 0]].concat()
    };
    let entries = [entry(1, 7, 6), entry(2, 1000, 4), entry(4, 7, 4), entry(0x10, 7, 4), entry(0x20, 7, 0)];
    let stored = [&5u32.to_be_bytes()[..], &entries.concat()].concat();
    let expected = [
        &[2, 0, 0, 0][..],
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 4, 0, 0xe8, 3, 0, 0],
        &[4, 0, 4, 0, 255, 255, 255, 255],
        &[0x10, 0, 4, 0, 255, 255, 255, 255],
        &[0x20, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    assert_eq!(attributes::shown_list(&stored).unwrap(), expected);
    let unknown = [&1u32.to_be_bytes()[..], &entry(3, 0, 0)].concat();
    for bad in [&stored[..3], &stored[..30], &unknown, &[255; 16]] {
        assert_eq!(attributes::shown_list(bad), None, "{bad:?}");
    }
}

/// A file system with everything that has checksums, and the inodes that lead to each.
pub(super) fn with_everything(lab: &Lab, options: &str) -> (Craft, BTreeMap<String, u64>) {
    let craft = system(lab, options);
    let paths = paths(&mut craft.open().unwrap());
    let mut script = format!("inode {}\nattr_set -r -v 3000 large\n", paths["/file-4096"]);
    for index in 0..200 {
        writeln!(script, "attr_set -u -v 80 attribute-{index}").unwrap();
    }
    writeln!(script, "inode {}\nattr_set -u -v 60 one\nattr_set -u -v 250 two", paths["/character"]).unwrap();
    writeln!(script, "attr_set -u -v 250 three\nattr_set -u -v 250 four").unwrap();
    xfs_db(lab, &script);
    let mut craft = Craft::load(lab);
    let (first, _) = craft.extent(paths["/file-700001"]);
    let extents: Vec<_> = (0..50).map(|index| extent(2 * index, first + index, 1, false)).collect();
    craft.make_tree(paths["/file-700001"], paths["/file-70000"], &extents);
    if craft.superblock.has_checksums {
        craft.make_long_link(paths["/link-80"], paths["/file-512"], &[b'l'; 900]);
    }
    craft.store(lab);
    (craft, paths)
}

#[test]
fn a_bit_that_fell_over_is_found_where_there_are_checksums() {
    let lab = Lab::new();
    let (good, paths) = with_everything(&lab, "-b size=1024");
    // For each kind: what it begins with, and at which byte.
    for (what, magic, within, at, path) in [
        ("superblock", &b"XFSB"[..], 0, 200, "/etc"),
        ("inode", b"IN", 0, 60, "/short"),
        ("directory", b"XDB3", 0, 300, "/block"),
        ("directory", b"XDD3", 0, 300, "/node"),
        ("tree of extents", b"BMA3", 0, 900, "/file-700001"),
        ("target", b"XSLM", 0, 300, "/link-80"),
        ("value", b"XARM", 0, 300, "/file-4096"),
        ("attributes", &[0x3b, 0xee], 8, 900, "/character"),
        ("tree of attributes", &[0x3e, 0xbe], 8, 68, "/file-4096"),
    ] {
        let number = paths[path];
        let begins = |place: &usize| {
            let owner = match what {
                "superblock" => return *place == 0,
                "inode" => return *place == good.inode(number),
                "directory" => 40,
                "tree of extents" => 56,
                "attributes" | "tree of attributes" => 48,
                _ => 32,
            };
            let block = &good.bytes[*place..];
            block[within..].starts_with(magic) && crate::block::bytes::be64(block, owner) == number
        };
        let places = good.sealed();
        let place = places.iter().map(|(place, ..)| *place).find(begins);
        let place = place.unwrap_or_else(|| panic!("there is no {what}"));
        let mut bad = good.clone();
        bad.bytes[place + at] ^= 0x10;
        let read = || -> Result<(), DiskError> {
            let mut xfs = bad.open()?;
            match xfs.stat(number)?.kind {
                FileKind::Directory => drop(xfs.directory(number)?),
                FileKind::Symlink => drop(xfs.read_link(number)?),
                FileKind::File => drop(xfs.read_to(number, 0, u64::MAX, &mut std::io::sink())?),
                _ => {}
            }
            xfs.xattrs(number).map(drop)
        };
        let error = read().expect_err(what).to_string();
        let said = if what == "value" { "attribute" } else { what };
        assert!(error.contains("checksum") && error.contains(said), "{what}: {error}");
    }
}
