//! Images made to do harm. Whatever is in them, the end is a typed error with exit code 5, soon.

use std::path::Path;

use super::testing::{Lab, mixture, tree_of, write};
use super::{DiskError, FileKind, Policy, open_own};
use crate::error::{Diagnose, Exit};

/// Entries that a walk visits before it is taken for endless.
const MANY: usize = 20_000;

/// Reads everything, as a listing with checksums would.
pub(crate) fn read_everything(image: &Path) -> Result<usize, DiskError> {
    let mut tree = tree_of(image)?;
    let mut left = vec![b"/".to_vec()];
    let mut met = std::collections::HashSet::new();
    let mut count = 0;
    while let Some(directory) = left.pop() {
        for name in tree.read_dir(&directory)? {
            let path = [if directory == b"/" { &[][..] } else { &directory }, b"/", &name].concat();
            count += 1;
            assert!(count < MANY, "endless");
            let stat = tree.lstat(&path)?;
            tree.xattrs(&path)?;
            match stat.kind {
                FileKind::Directory if !met.insert((stat.device, stat.inode)) => {
                    return Err(DiskError::Damaged("a directory twice".to_owned()));
                }
                FileKind::Directory => left.push(path),
                FileKind::File => drop(tree.read_to(&path, &mut std::io::sink())?),
                FileKind::Symlink => drop(tree.read_link(&path)?),
                _ => {}
            }
        }
    }
    Ok(count)
}

/// A small system as `disk.raw`, its metadata without checksums, so that changes are not found by them.
fn system(lab: &Lab) {
    let root = lab.path("root");
    for directory in ["etc", "deep/er/still", "names"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    write(&root.join("etc/os-release"), b"ID=debian\n");
    for index in 0..200 {
        write(&root.join(format!("names/file-{index}")), &mixture(index * 40, index as u64));
    }
    write(&root.join("names/aXb"), b"x");
    write(&root.join("deep/large"), &mixture(3_000_000, 3));
    std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
    lab.run("mke2fs", &["-q", "-F", "-b", "1024", "-O", "^metadata_csum", "-d", "root", "disk.raw", "24M"]);
}

#[track_caller]
fn assert_refused(image: &Path, what: &str) {
    let error = read_everything(image).expect_err(what);
    assert_eq!(error.exit(), Exit::Integrity, "{what}: {error}");
}

#[test]
fn a_file_cut_off_anywhere_is_content_or_an_error() {
    let lab = Lab::new();
    system(&lab);
    let all = read_everything(&lab.path("disk.raw")).unwrap();
    let convert = ["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd"];
    lab.run("qemu-img", &[&convert[..], &["disk.raw", "disk.qcow2"]].concat());
    lab.run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "plain.qcow2"]);
    let mut seed = 7u64;
    let mut refused = 0;
    for round in 0..200 {
        let name = ["disk.raw", "disk.qcow2", "plain.qcow2"][round % 3];
        let good = std::fs::read(lab.path(name)).unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let end = (seed >> 20) as usize % good.len();
        write(&lab.path("cut"), &good[..end]);
        match read_everything(&lab.path("cut")) {
            Ok(count) => assert_eq!(count, all, "{name} {end}"),
            Err(error) => {
                assert_eq!(error.exit(), Exit::Integrity, "{name} {end}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn trees_that_bite_their_tail_and_names_that_are_none() {
    let lab = Lab::new();
    system(&lab);
    let good = std::fs::read(lab.path("disk.raw")).unwrap();
    let changes: &[(&str, &str)] = &[
        ("a directory in itself", "ln /deep /deep/er/again"),
        ("the root in a directory", "ln / /deep/root"),
        ("a size of nearly 2^63", "sif /deep/large size 0x7ffffffffffff000"),
        ("a directory of an absurd size", "sif /names size 0x7ffff000"),
        ("a file that is a directory", "sif /names/file-9 mode 040755"),
        ("a file that is a link", "sif /deep/large mode 0120777"),
        ("blocks outside the file system", "sif /deep/large block[2] 0x7fffffff"),
        ("an extent tree within itself", "sif /names block[0] 0xf30a"),
        ("attributes outside the file system", "sif /deep/large file_acl 0x7ffffff"),
        ("attributes that are something else", "sif /deep/large file_acl 9"),
        ("an inode that is free", "sif /names/file-3 mode 0"),
        ("no blocks in a group", "ssv blocks_per_group 0"),
        ("no inodes in a group", "ssv inodes_per_group 0"),
        ("more inodes than fit", "ssv inodes_count 0xffffffff"),
        ("more blocks than fit", "ssv blocks_count 0xffffff"),
        ("blocks of a gigabyte", "ssv log_block_size 20"),
        ("inodes of 3 bytes", "ssv inode_size 3"),
    ];
    for (what, command) in changes {
        write(&lab.path("disk.raw"), &good);
        lab.run("debugfs", &["-w", "-R", command, "disk.raw"]);
        assert!(std::fs::read(lab.path("disk.raw")).unwrap() != good, "{what}: nothing changed");
        assert_refused(&lab.path("disk.raw"), what);
    }
    let at = good.windows(3).position(|window| window == b"aXb").unwrap();
    for byte in [b'/', 0] {
        let mut bad = good.clone();
        bad[at + 1] = byte;
        write(&lab.path("disk.raw"), &bad);
        assert_refused(&lab.path("disk.raw"), "an impossible name");
    }
    // `..` of a directory is not believed: the way up is the way down.
    write(&lab.path("disk.raw"), &good);
    let mut tree = tree_of(&lab.path("disk.raw")).unwrap();
    assert_eq!(tree.canonicalize(b"/deep/er/../../../../etc/../..").unwrap(), b"/");
    let error = tree.stat(b"/loop").unwrap_err().to_string();
    assert!(error.contains("too many links"), "{error}");
}

#[test]
fn parts_of_a_qcow2_file_in_the_same_place_are_refused() {
    let lab = Lab::new();
    write(&lab.path("disk.raw"), &mixture(40 << 20, 11));
    for options in ["compression_type=zstd,cluster_size=4k", "cluster_size=4k"] {
        for compress in [true, false] {
            let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2", "-o", options];
            arguments.extend(compress.then_some("-c"));
            arguments.extend(["disk.raw", "good.qcow2"]);
            lab.run("qemu-img", &arguments);
            let good = std::fs::read(lab.path("good.qcow2")).unwrap();
            let word = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
            let l1 = word(40) as usize;
            let l2 = (word(l1) & 0x00ff_ffff_ffff_fe00) as usize;
            // Two different places that hold an entry that is in use.
            let used: Vec<usize> =
                (0..512).map(|index| l2 + 8 * index).filter(|at| word(*at) != 0).take(2).collect();
            let cases: &[(&str, usize, u64)] = &[
                ("two entries for one table", l1 + 8, word(l1)),
                ("a table that is the list of tables", l1, l1 as u64 | 1 << 63),
                ("two clusters in one place", used[1], word(used[0])),
                ("a cluster that is its own table", used[0], l2 as u64 | 1 << 63),
                ("a cluster that is the list of tables", used[0], l1 as u64 | 1 << 63),
            ];
            for (what, at, value) in cases {
                let mut bad = good.clone();
                bad[*at..at + 8].copy_from_slice(&value.to_be_bytes());
                write(&lab.path("bad.qcow2"), &bad);
                for reader in [super::open, open_own] {
                    let opened = reader(&lab.path("bad.qcow2"), &Policy::default());
                    let result = opened.and_then(|mut disk| disk.read_exact_at(&mut [0; 4096], 0));
                    let error = result.expect_err(what);
                    assert_eq!(error.exit(), Exit::Integrity, "{options} {compress} {what}: {error}");
                }
            }
            open_own(&lab.path("good.qcow2"), &Policy::default()).unwrap();
        }
    }
}

/// Deflate: 300 literals, then a match from further back than anything was written, which wraps around a window of
/// 4 KiB. The inflater of `qcow2-rs` panics there.
fn reaches_too_far_back() -> Vec<u8> {
    let mut bits = Vec::new();
    // The last block, with the fixed codes. Numbers have their lowest bit first, codes their highest.
    bits.extend([1, 1, 0]);
    let code = |value: u32, length: u32| (0..length).rev().map(move |bit| (value >> bit) & 1);
    for _ in 0..300 {
        bits.extend(code(0x30 + u32::from(b'x'), 8));
    }
    // 258 bytes from 4097 + 99 back.
    bits.extend(code(0xc5, 8));
    bits.extend(code(24, 5));
    bits.extend((0..11).map(|bit| (99 >> bit) & 1));
    bits.extend(code(0, 7));
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |byte, bit| byte << 1 | *bit as u8)).collect()
}

#[test]
fn a_packed_cluster_that_reaches_too_far_back_is_an_error() {
    let lab = Lab::new();
    write(&lab.path("disk.raw"), &mixture(1 << 20, 5));
    let options = "compression_type=zlib,cluster_size=4k";
    lab.run(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", options, "disk.raw", "bad.qcow2"],
    );
    let mut bad = std::fs::read(lab.path("bad.qcow2")).unwrap();
    let word = |at: usize| u64::from_be_bytes(bad[at..at + 8].try_into().unwrap());
    let l2 = (word(word(40) as usize) & 0x00ff_ffff_ffff_fe00) as usize;
    let (number, cluster) = (0..256)
        .map(|index| (index, word(l2 + 8 * index)))
        .find(|(_, entry)| entry >> 62 & 1 == 1 && entry >> 58 & 0xf > 1)
        .unwrap();
    let at = (cluster & ((1 << 58) - 1)) as usize;
    let stream = reaches_too_far_back();
    bad[at..at + stream.len()].copy_from_slice(&stream);
    write(&lab.path("bad.qcow2"), &bad);
    for reader in [super::open, open_own] {
        let mut disk = reader(&lab.path("bad.qcow2"), &Policy::default()).unwrap();
        let error = disk.read_exact_at(&mut [0; 4096], number as u64 * 4096).unwrap_err();
        assert_eq!(error.exit(), Exit::Integrity, "{error}");
    }
}
