//! Disks that `mkfs.btrfs` and Linux made. `tests/e2e_btrfs.rs` makes such disks anew and has Linux judge all that tib
//! says of them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::superblock::OFFSET;
use super::testing::{Patient, fixture, make, open_btrfs};
use super::*;
use crate::disk::Tree;
use crate::disk::testing::{Lab, mixture, tree_of, write};

/// What `mkfs.btrfs` is asked for, and the size of the disk.
const VARIANTS: &[(&str, u64)] = &[
    ("", 160 << 20),
    ("-n 4096 --csum xxhash", 160 << 20),
    ("-n 65536 --csum sha256 -m single", 200 << 20),
    ("-n 32768 --csum blake2 -m dup -d dup", 400 << 20),
    ("--mixed", 100 << 20),
    ("-O ^no-holes,^skinny-metadata -R ^free-space-tree", 160 << 20),
];

/// A directory with files of every shape.
fn fill(lab: &Lab) {
    let root = lab.path("root");
    for directory in ["etc", "deep/er/and/er", "many", "odd"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    let put = |path: &str, content: &[u8]| write(&root.join(path), content);
    put("etc/os-release", b"ID=fedora\n");
    for length in [0, 1, 100, 2047, 2048, 2049, 4095, 4096, 4097, 70_000, 1_300_001] {
        put(&format!("deep/file-{length}"), &mixture(length, length as u64));
    }
    for index in 0..1500 {
        put(&format!("many/a-file-with-a-rather-long-name-{index:04}"), format!("{index}\n").as_bytes());
    }
    for length in [1, 255, 3000] {
        std::os::unix::fs::symlink("t".repeat(length), root.join(format!("odd/link-{length}"))).unwrap();
    }
    put(&format!("odd/{}", "n".repeat(255)), b"longest name");
    std::fs::set_permissions(root.join("deep/file-1"), std::fs::Permissions::from_mode(0o6751)).unwrap();
}

/// Compares everything below a directory of the host with a tree. Returns how many there were.
fn compare(tree: &mut dyn Tree, root: &Path, directory: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let inside = [b"/", path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes()].concat();
        let (host, stat) = (path.symlink_metadata().unwrap(), tree.lstat(&inside).unwrap());
        let expected = (host.mode() & 0o7777, host.uid(), host.gid(), host.mtime());
        assert_eq!((stat.mode, stat.uid, stat.gid, stat.modified.seconds), expected, "{path:?}");
        match stat.kind {
            FileKind::Directory => {
                assert!(host.is_dir(), "{path:?}");
                let listed = tree.read_dir(&inside).unwrap().len();
                assert_eq!(listed, std::fs::read_dir(&path).unwrap().count(), "{path:?}");
                count += compare(tree, root, &path);
            }
            FileKind::Symlink => {
                let target = std::fs::read_link(&path).unwrap();
                assert_eq!(tree.read_link(&inside).unwrap(), target.as_os_str().as_encoded_bytes());
            }
            _ => assert!(tree.read(&inside, 1 << 30).unwrap() == std::fs::read(&path).unwrap(), "{path:?}"),
        }
        count += 1;
    }
    count
}

#[test]
fn every_kind_of_file_system_is_what_it_was_made_from() {
    let lab = Lab::new();
    fill(&lab);
    for (options, size) in VARIANTS {
        let path = make(&lab, options, *size);
        let mut tree = tree_of(&path).unwrap_or_else(|error| panic!("{options}: {error}"));
        assert!(tree.explain().contains("/ is Btrfs in the disk"), "{}", tree.explain());
        let root = lab.path("root");
        assert!(compare(tree.as_mut(), &root, &root) > 1500, "{options}");
    }
}

#[test]
fn a_hundred_thousand_files_in_a_directory() {
    let lab = Lab::new();
    std::fs::create_dir_all(lab.path("root/etc")).unwrap();
    write(&lab.path("root/etc/os-release"), b"ID=fedora\n");
    std::fs::create_dir_all(lab.path("root/many")).unwrap();
    for index in 0..100_000u32 {
        write(&lab.path("root/many").join(index.wrapping_mul(2_654_435_761).to_string()), b"");
    }
    let path = make(&lab, "", 400 << 20);
    let mut tree = tree_of(&path).unwrap();
    let names = tree.read_dir(b"/many").unwrap();
    assert_eq!(names.len(), 100_000);
    let mut inodes = std::collections::HashSet::new();
    for name in names {
        let stat = tree.lstat(&[b"/many/", name.as_slice()].concat()).unwrap();
        assert!(stat.kind == FileKind::File && inodes.insert(stat.inode));
    }
}

#[test]
fn any_part_of_a_file_can_be_read() {
    let lab = Lab::new();
    let mut tree = tree_of(&fixture(&lab, "fedora")).unwrap();
    let names =
        ["odd/plain", "odd/inline", "odd/islands", "odd/preallocated", "odd/punched", "odd/fragments"];
    let packed = ["zlib", "lzo", "zstd"]
        .iter()
        .flat_map(|kind| ["large", "noise", "shared", "text", "zeros"].map(|name| format!("{kind}/{name}")));
    for name in names.map(str::to_owned).into_iter().chain(packed) {
        let path = [b"/", name.as_bytes()].concat();
        let content = tree.read(&path, 1 << 30).unwrap();
        let size = content.len() as u64;
        assert!(size > 600, "{name}");
        let places = [
            (0, 7),
            (5, 4096),
            (4095, 2),
            (size / 2, 200_000),
            (131_072, 32_780),
            (size - 1, 9),
            (size, 1),
            (size + 5, 1),
        ];
        for (offset, length) in places {
            let mut part = Vec::new();
            let count = tree.read_range(&path, offset, length, &mut part).unwrap();
            let from = offset.min(size) as usize;
            let expected = &content[from..(offset + length).min(size).max(from as u64) as usize];
            assert!(part == expected && count == expected.len() as u64, "{name} {offset}");
        }
    }
}

#[test]
fn attributes_are_found_also_where_their_hashes_are_the_same() {
    let lab = Lab::new();
    let mut tree = tree_of(&fixture(&lab, "fedora")).unwrap();
    let attributes = tree.xattrs(b"/odd/plain").unwrap();
    let shown: Vec<_> = attributes
        .iter()
        .map(|attribute| (String::from_utf8_lossy(&attribute.name).into_owned(), attribute.value.len()))
        .collect();
    let expected = [
        ("security.selinux", 26),
        ("trusted.large", 3000),
        ("user.cqtdxncif", 3),
        ("user.empty", 0),
        ("user.hxrrnvgxq", 3),
    ];
    assert_eq!(shown, expected.map(|(name, length)| (name.to_owned(), length)));
    assert_eq!(tree.xattrs(b"/odd/link-100").unwrap()[0].value, b"here");
    assert!(tree.exists(b"/odd/cqtdxncif").unwrap() && tree.exists(b"/odd/hxrrnvgxq").unwrap());
}

#[test]
fn subvolumes_are_where_linux_shows_them() {
    let lab = Lab::new();
    let mut tree = tree_of(&fixture(&lab, "fedora")).unwrap();
    let explained = tree.explain();
    for part in ["/ is Btrfs in the disk without partitions (subvolume `root`)", "(subvolume `home`)"] {
        assert!(explained.contains(part), "{explained}");
    }
    assert_eq!(tree.read(b"/home/file", 100).unwrap(), b"at home\n");
    assert!(!tree.exists(b"/home/hidden").unwrap());
    assert_eq!(tree.read(b"/nested/deeper/file", 100).unwrap(), b"further\n");
    assert!(tree.read_dir(b"/.snapshots/1/snapshot/nested").unwrap().is_empty(), "it is in no snapshot");
    assert!(tree.exists(b"/.snapshots/1/snapshot/odd/regular").unwrap());
    assert!(!tree.exists(b"/odd/regular").unwrap(), "removed after the snapshot");
    assert!(tree.exists(b"/hidden/changed/odd/later").unwrap(), "the whole is mounted, too");
    // Numbers of inodes are one's own within a subvolume: equal ones are no second names.
    let (one, other) = (tree.stat(b"/nested").unwrap(), tree.stat(b"/nested/deeper").unwrap());
    assert_eq!((one.inode, other.inode), (256, 256));
    assert_ne!(one.device, other.device);
    let (one, other) = (tree.stat(b"/odd/plain").unwrap(), tree.stat(b"/deep/name-1").unwrap());
    assert_eq!((one.inode, one.device), (other.inode, other.device));
    let mut fork = tree.fork().unwrap();
    assert_eq!(fork.read(b"/home/file", 100).unwrap(), b"at home\n");
    drop(fork);

    let mut tree = tree_of(&fixture(&lab, "suse")).unwrap();
    assert!(tree.explain().contains("(subvolume `@/.snapshots/1/snapshot`)"), "{}", tree.explain());
    assert_eq!(tree.read(b"/var/file", 100).unwrap(), b"kept\n");
    assert_eq!(tree.read(b"/usr/local/file", 100).unwrap(), b"local\n");
    assert!(tree.exists(b"/.snapshots/2/snapshot/usr/lib/large").unwrap());
}

/// Texts that are replaced, and what is explained then, or said.
type Case<'a> = (&'a [(&'a str, &'a str)], Result<&'a str, &'a str>);

#[test]
fn a_root_is_the_system_that_says_so() {
    let lab = Lab::new();
    let path = fixture(&lab, "fedora");
    let mut disk = Patient::new(&path);
    let cases: &[Case<'_>] = &[
        (&[], Ok("(subvolume `root`)")),
        // The line for the root, in all snapshots of it, names another subvolume, or none.
        (&[("/ btrfs subvol=root,", "/ btrfs subvol=home,")], Err("more than one subvolume")),
        (&[("/ btrfs subvol=root,", "/ btrfs defaults=ro,")], Err("more than one subvolume")),
        (&[("/ btrfs subvol=root,compress", "/ btrfs subvolid=256,ompress")], Ok("(subvolume `root`)")),
        (
            &[("/home btrfs subvol=home,", "/home btrfs subvol=gone,")],
            Err("at /home that is not in the image"),
        ),
        (
            &[("/home btrfs subvol=home,compress", "/home btrfs subvol=gone,nofail,s")],
            Ok("(subvolume `root`)"),
        ),
        (
            &[("/home btrfs subvol=home,compress", "/home btrfs subvolid=257,ompress")],
            Ok("(subvolume `home`)"),
        ),
        // `odd` is a directory of the top, but no subvolume.
        (
            &[("/home btrfs subvol=home,compress", "/home btrfs subvol=root/odd,ress")],
            Err("not in the image"),
        ),
        (&[("/home btrfs subvol=home,compress", "/home btrfs subvol=root/nested,s")], Ok("`root/nested`")),
    ];
    for (changes, expected) in cases {
        for (from, to) in *changes {
            assert!(disk.replace(from.as_bytes(), to.as_bytes()) > 0, "{from}");
        }
        match (tree_of(&path), expected) {
            (Ok(tree), Ok(part)) => assert!(tree.explain().contains(part), "{changes:?}: {}", tree.explain()),
            (Err(DiskError::Unsupported(found)), Err(part)) => assert!(found.contains(part), "{found}"),
            (found, _) => panic!("{changes:?}: {:?}", found.map(|tree| tree.explain())),
        }
        disk.heal();
    }
}

/// The default subvolume is a snapshot of a system, with the same fstab.
#[test]
fn the_default_subvolume_may_say_that_another_is_the_root() {
    /// Its number, as `tests/fixtures/btrfs/make.sh` makes them.
    const CHANGED: u64 = 261;
    let lab = Lab::new();
    let path = fixture(&lab, "fedora");
    let mut disk = Patient::new(&path);
    let named = "/ btrfs subvol=root,compress";
    for (options, root) in [
        (named, "(subvolume `root`)"),
        ("/ btrfs subvolid=256,ompress", "(subvolume `root`)"),
        ("/ btrfs subvolid=261,ompress", "(subvolume `changed`)"),
        ("/ btrfs defaults=ro,compress", "(subvolume `changed`)"),
        // No system, and no subvolume.
        ("/ btrfs subvol=home,compress", "(subvolume `changed`)"),
        ("/ btrfs subvolid=999,ompress", "(subvolume `changed`)"),
    ] {
        for at in disk.blocks.clone() {
            disk.change(at, |block| {
                // In front of the name: what it leads to (17 bytes), a transaction (8), two lengths (4), a kind (1).
                let found = (30..block.len()).find(|place| block[*place..].starts_with(b"default"));
                let is_entry = |place: &usize| block[place - 22] == 132;
                if let Some(place) = found.filter(is_entry) {
                    block[place - 30..place - 22].copy_from_slice(&CHANGED.to_le_bytes());
                }
            });
        }
        assert!(disk.replace(named.as_bytes(), options.as_bytes()) > 0);
        let explained = tree_of(&path).unwrap().explain();
        let expected = format!("/ is Btrfs in the disk without partitions {root}");
        assert!(explained.contains(&expected), "{options}: {explained}");
        disk.heal();
    }
}

#[test]
fn what_only_a_kernel_reads_is_left_to_it() {
    let lab = Lab::new();
    fill(&lab);
    let path = make(&lab, "", 160 << 20);
    let mut disk = Patient::new(&path);
    open_btrfs(&path).unwrap();
    let cases: &[(usize, u64, usize, &str)] = &[
        (0x60, 0x40_0000, 8, "the log of its Btrfs was not written back"),
        (0x88, 2, 8, "on 2 devices"),
        (0x90, 65536, 4, "sectors of 65536 bytes"),
        (0xbc, 1 << 12, 8, "zoned"),
        (0xbc, 1 << 13, 8, "extent trees"),
        (0xbc, 1 << 14, 8, "RAID stripe tree"),
        (0xbc, 1 << 40, 8, "unknown features"),
        (0xc4, 9, 2, "checksums of an unknown kind"),
        (0x38, 1 << 32, 8, "a seed"),
        // The profile and the device of the first chunk.
        (0x32b + 17 + 24, 1 << 3 | 2, 8, "in a RAID"),
        (0x32b + 17 + 48, 2, 8, "on another device"),
    ];
    for (at, value, length, expected) in cases {
        disk.change(OFFSET, |block| {
            let number = value.to_le_bytes();
            block[*at..at + length].copy_from_slice(&number[..*length]);
        });
        match open_btrfs(&path).err() {
            Some(DiskError::Unsupported(reason)) => {
                assert!(reason.contains(expected), "{expected}: {reason}");
            }
            other => panic!("{expected}: {other:?}"),
        }
        disk.heal();
    }
    open_btrfs(&path).unwrap();
}

#[test]
fn a_second_copy_is_read_where_the_first_is_damaged() {
    let lab = Lab::new();
    fill(&lab);
    let path = make(&lab, "-m dup -d dup", 400 << 20);
    let root = lab.path("root");
    let mut disk = Patient::new(&path);
    let pairs: Vec<(u64, u64)> = disk.copies.clone().into_iter().collect();
    assert!(pairs.len() > 5);
    let content = std::fs::read(root.join("deep/file-1300001")).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    // A sector of which there is one in each copy, and the same of the next.
    let places = |sector: &[u8]| -> Vec<usize> {
        (0..bytes.len()).step_by(4096).filter(|at| bytes[*at..].starts_with(sector)).collect()
    };
    let copies = content.chunks_exact(4096).map(places).find(|places| places.len() == 2).unwrap();
    drop(bytes);
    for pair in &pairs {
        disk.put(pair.0 + 200, b"damage");
    }
    disk.put(copies[0] as u64 + 20, b"damage");
    assert!(compare(tree_of(&path).unwrap().as_mut(), &root, &root) > 1500);
    // Of another sector, it is the other copy.
    disk.put(copies[1] as u64 + 4096, b"damage");
    assert!(compare(tree_of(&path).unwrap().as_mut(), &root, &root) > 1500);

    disk.put(copies[1] as u64 + 20, b"damage");
    let mut tree = tree_of(&path).unwrap();
    let error = tree.read(b"/deep/file-1300001", 1 << 30).unwrap_err().to_string();
    assert!(error.contains("content with a wrong checksum"), "{error}");
    for pair in &pairs {
        disk.put(pair.1 + 200, b"damage");
    }
    let error = tree_of(&path).err().unwrap();
    assert!(matches!(&error, DiskError::Damaged(what) if what.contains("wrong checksum")), "{error}");
}
