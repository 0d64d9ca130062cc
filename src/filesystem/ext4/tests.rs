//! File systems of every kind that `mke2fs` makes, with debugfs as the judge of what is in them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::disk::testing::{Lab, mixture, write};
use crate::disk::{Policy, open};
use crate::filesystem::Timestamp;

/// What `mke2fs` is asked for, and whether directories get hash trees afterwards.
const VARIANTS: &[(&str, bool)] = &[
    ("-t ext4", false),
    ("-t ext4 -b 1024", true),
    ("-t ext4 -b 2048 -O ^64bit,^metadata_csum -I 128", true),
    ("-t ext4 -b 4096 -O metadata_csum_seed,ea_inode -I 1024", true),
    ("-t ext4 -b 16384", false),
    ("-t ext4 -b 65536", true),
    ("-t ext4 -b 1024 -O inline_data -I 512", true),
    ("-t ext4 -b 65536 -O inline_data", true),
    ("-t ext4 -O bigalloc -C 65536", false),
    ("-t ext4 -b 1024 -O meta_bg,^resize_inode -g 1024", false),
    ("-t ext4 -O ^extents,^64bit,^flex_bg,huge_file", false),
    ("-t ext3 -b 1024", true),
    ("-t ext3 -b 4096", false),
    ("-t ext2 -b 1024 -O ^filetype,^dir_index", false),
    ("-t ext2 -r 0 -b 1024", false),
];

/// A directory with files of every shape.
fn fill(lab: &Lab) {
    let root = lab.path("root");
    for directory in ["deep/er/and/er", "many", "odd"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    let put = |path: &str, content: &[u8]| write(&root.join(path), content);
    for length in [0, 1, 59, 60, 61, 150, 1023, 1024, 1025, 65536, 70_000, 3_000_001] {
        put(&format!("deep/file-{length}"), &mixture(length, length as u64));
    }
    for index in 0..900 {
        put(&format!("many/a-file-with-a-rather-long-name-{index:04}"), format!("{index}\n").as_bytes());
    }
    // Islands in a sea of nothing: many extents, and block maps of every depth.
    let islands = std::fs::File::create(root.join("odd/islands")).unwrap();
    islands.set_len(71 << 20).unwrap();
    for island in 0..400u64 {
        islands.write_all_at(format!("island {island}").as_bytes(), island * 32_768 + 5).unwrap();
    }
    islands.write_all_at(b"the last island", 70 << 20).unwrap();
    put("odd/hole-at-end", b"x");
    std::fs::OpenOptions::new()
        .write(true)
        .open(root.join("odd/hole-at-end"))
        .unwrap()
        .set_len(300_000)
        .unwrap();
    write(&root.join("odd").join(OsStr::from_bytes(b"caf\xe9 \"quoted\"")), b"latin");
    put(&format!("odd/{}", "n".repeat(255)), b"longest name");
    for length in [1, 58, 59, 60, 61, 255, 1000] {
        std::os::unix::fs::symlink("t".repeat(length), root.join(format!("odd/link-{length}"))).unwrap();
    }
    std::fs::hard_link(root.join("deep/file-61"), root.join("odd/second-name")).unwrap();
    std::fs::set_permissions(root.join("deep/file-60"), std::fs::Permissions::from_mode(0o6751)).unwrap();
    write(&lab.path("value"), &mixture(700, 9));
}

/// What only root may do on a host, but anybody in an image.
const CHANGES: &str = "\
cd /odd
mknod block b 8 300
mknod character c 4 64
mknod pipe p
ea_set hole-at-end user.note hello
ea_set hole-at-end security.selinux system_u:object_r:etc_t:s0
ea_set -f value hole-at-end trusted.big
ea_set link-1 security.selinux system_u:object_r:link_t:s0
ea_set pipe user.empty \"\"
set_inode_field hole-at-end uid 70000
set_inode_field hole-at-end gid 4000000000
set_inode_field hole-at-end mtime @1234567890
set_inode_field islands mtime @-5
";

/// Makes `disk.img` and changes it.
fn make(lab: &Lab, options: &str, index: bool) {
    let _ = std::fs::remove_file(lab.path("disk.img"));
    let mut arguments = vec!["-q", "-F", "-d", "root", "-N", "8192"];
    arguments.extend(options.split(' '));
    arguments.extend(["disk.img", "96M"]);
    lab.run("mke2fs", &arguments);
    write(&lab.path("changes"), CHANGES.as_bytes());
    lab.run("debugfs", &["-w", "-f", "changes", "disk.img"]);
    if index {
        // It says with 1 that it changed something.
        lab.run("sh", &["-c", "e2fsck -fyD disk.img >e2fsck.log 2>&1; test $? -le 1"]);
    }
}

fn open_ext(path: &Path) -> Result<Ext, DiskError> {
    let disk = open(path, &Policy::default())?;
    let length = disk.size();
    Ext::open(&Arc::new(Mutex::new(disk)), 0, length)
}

/// Everything below a directory: path to inode.
fn walk(ext: &mut Ext, inode: u64, path: &[u8], found: &mut BTreeMap<Vec<u8>, u64>) {
    let directory = ext.directory(inode).unwrap();
    for name in directory.names() {
        let child = directory.get(name).unwrap();
        let path = [path, b"/", name].concat();
        found.insert(path.clone(), child);
        if ext.stat(child).unwrap().kind == FileKind::Directory {
            walk(ext, child, &path, found);
        }
    }
}

/// The sections of a debugfs script's output, by the inode each is about.
fn debugfs(lab: &Lab, inodes: impl Iterator<Item = u64>) -> BTreeMap<u64, String> {
    let mut script = String::new();
    for inode in inodes {
        writeln!(script, "stat <{inode}>").unwrap();
    }
    write(&lab.path("script"), script.as_bytes());
    let output = lab.run("debugfs", &["-f", "script", "disk.img"]);
    let sections = output.split("debugfs: stat <").skip(1);
    sections
        .map(|section| {
            let (inode, text) = section.split_once(">\n").unwrap();
            (inode.parse().unwrap(), text.to_owned())
        })
        .collect()
}

/// The text behind `key` up to white space.
fn field<'a>(section: &'a str, key: &str) -> &'a str {
    let rest = section.split_once(key).unwrap_or_else(|| panic!("no {key} in {section}")).1;
    rest.split_whitespace().next().unwrap()
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(section: &str, key: &str) -> T {
    field(section, key).parse().unwrap()
}

/// Two hexadecimal words: seconds, and what an inode of more than 128 bytes adds to them.
fn time(section: &str, key: &str) -> Timestamp {
    let (seconds, extra) = field(section, key).split_once(':').unwrap_or((field(section, key), "0"));
    let word = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let (seconds, extra) = (i64::from(word(seconds).cast_signed()), word(extra));
    Timestamp { seconds: seconds + (i64::from(extra & 3) << 32), nanoseconds: extra >> 2 }
}

fn check_stat(stat: &Stat, section: &str, wide_inodes: bool) {
    let kind = match section.split_once("Type: ").unwrap().1.split("  ").next().unwrap().trim() {
        "regular" => FileKind::File,
        "directory" => FileKind::Directory,
        "symlink" => FileKind::Symlink,
        "block special" => FileKind::Block,
        "character special" => FileKind::Character,
        "FIFO" => FileKind::Fifo,
        other => panic!("{other}"),
    };
    assert_eq!(stat.kind, kind, "{section}");
    assert_eq!(stat.mode, u32::from_str_radix(field(section, "Mode:"), 8).unwrap(), "{section}");
    // It prints them with a sign.
    let owner = |key| number::<i64>(section, key) as u32;
    assert_eq!((stat.uid, stat.gid), (owner("User:"), owner("Group:")), "{section}");
    assert_eq!(stat.size, number::<u64>(section, " Size:"), "{section}");
    assert_eq!(stat.links, number::<u32>(section, "Links:"), "{section}");
    assert_eq!(stat.allocated, number::<u64>(section, "Blockcount:") * 512, "{section}");
    for (found, key) in [(stat.changed, "ctime:"), (stat.accessed, "atime:"), (stat.modified, "mtime:")] {
        let expected = time(section, key);
        assert_eq!(found, expected, "{key} {section}");
        assert!(wide_inodes || found.nanoseconds == 0);
    }
    if matches!(kind, FileKind::Block | FileKind::Character) {
        let numbers = field(section, "Device major/minor number:");
        let (major, minor) = numbers.split_once(':').unwrap();
        assert_eq!(stat.special, (major.parse().unwrap(), minor.parse().unwrap()), "{section}");
    }
}

/// The attributes debugfs lists: name and length.
fn listed_xattrs(section: &str) -> Vec<(String, usize)> {
    let lines = section.lines().filter(|line| line.starts_with("  ") && line.contains(" ("));
    let mut found: Vec<_> = lines
        .map(|line| {
            let (name, rest) = line.trim().split_once(" (").unwrap();
            (name.to_owned(), rest.split_once(')').unwrap().0.parse().unwrap())
        })
        .filter(|(name, _)| name != "system.data")
        .collect();
    found.sort();
    found
}

fn contents(root: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            let name = [b"/", path.strip_prefix(root).unwrap().as_os_str().as_bytes()].concat();
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_symlink() {
                found.insert(name, std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
            } else if kind.is_file() {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn every_kind_of_file_system_is_what_debugfs_says() {
    let lab = Lab::new();
    fill(&lab);
    let mut kinds = std::collections::BTreeSet::new();
    for (options, index) in VARIANTS {
        make(&lab, options, *index);
        let mut ext = open_ext(&lab.path("disk.img")).unwrap_or_else(|error| panic!("{options}: {error}"));
        kinds.insert(ext.name());
        let mut paths = BTreeMap::from([(b"/".to_vec(), ROOT)]);
        walk(&mut ext, ROOT, b"", &mut paths);
        assert!(paths.len() > 900, "{options}");

        let sections = debugfs(&lab, paths.values().copied());
        let mut attributes = 0;
        for (path, inode) in &paths {
            let section = &sections[inode];
            check_stat(&ext.stat(*inode).unwrap(), section, ext.superblock.inode_size > 128);
            let found = ext.xattrs(*inode).unwrap();
            let short: Vec<_> = found
                .iter()
                .map(|attribute| (String::from_utf8(attribute.name.clone()).unwrap(), attribute.value.len()))
                .collect();
            assert_eq!(short, listed_xattrs(section), "{options} {:?}", String::from_utf8_lossy(path));
            for attribute in &found {
                attributes += 1;
                if attribute.name == b"trusted.big" {
                    lab.run("debugfs", &["-R", &format!("ea_get -f got <{inode}> trusted.big"), "disk.img"]);
                    assert!(attribute.value == std::fs::read(lab.path("got")).unwrap(), "{options}");
                    assert!(attribute.value.len() >= 700);
                } else if attribute.name == b"security.selinux" {
                    assert!(attribute.value.starts_with(b"system_u:object_r:"), "{options}");
                }
            }
        }
        // The first revision has no attributes.
        assert_eq!(attributes >= 4, !options.contains("-r 0"), "{options}: {attributes}");

        // debugfs, which is not root here, cannot make nodes of devices or give files away; it goes on.
        let _ = std::fs::remove_dir_all(lab.path("dump"));
        std::fs::create_dir(lab.path("dump")).unwrap();
        lab.run("debugfs", &["-R", "rdump / dump", "disk.img"]);
        let expected = contents(&lab.path("dump"));
        assert!(expected.len() > 900);
        for (path, inode) in &paths {
            let content = match ext.stat(*inode).unwrap().kind {
                FileKind::File => {
                    let mut content = Vec::new();
                    ext.read_to(*inode, 0, u64::MAX, &mut content).unwrap();
                    content
                }
                FileKind::Symlink => ext.read_link(*inode).unwrap(),
                _ => continue,
            };
            let expected = expected.get(path).unwrap();
            // Of a file in its inode it dumps at least 60 bytes, and not the zeros that mke2fs claims to follow.
            let end =
                if options.contains("inline") { content.len().min(expected.len()) } else { expected.len() };
            let is_same = expected[..end] == content[..end] && content[end..].iter().all(|byte| *byte == 0);
            assert!(is_same, "{options} {:?}", String::from_utf8_lossy(path));
        }
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["ext2", "ext3", "ext4"]);
}

#[test]
fn any_part_of_a_file_can_be_read() {
    let lab = Lab::new();
    fill(&lab);
    // mke2fs with inline data cuts sparse files short.
    let cases = [
        ("-t ext4 -b 1024 -O inline_data", &["deep/file-59", "deep/file-150", "deep/file-70000"][..]),
        ("-t ext4 -b 1024", &["deep/file-59", "odd/islands", "odd/hole-at-end"]),
        ("-t ext2 -b 1024", &["deep/file-59", "odd/islands", "odd/hole-at-end"]),
    ];
    for (options, names) in cases {
        make(&lab, options, false);
        let mut ext = open_ext(&lab.path("disk.img")).unwrap();
        let mut paths = BTreeMap::new();
        walk(&mut ext, ROOT, b"", &mut paths);
        for name in names {
            let inode = paths[format!("/{name}").as_bytes()];
            let content = std::fs::read(lab.path("root").join(name)).unwrap();
            let size = content.len() as u64;
            for (offset, length) in [
                (0, 7),
                (5, 1024),
                (size / 2, 200_000),
                (131_072, 32_780),
                (size - 1, 9),
                (size, 1),
                (size + 5, 1),
            ] {
                let mut part = Vec::new();
                let count = ext.read_to(inode, offset, length, &mut part).unwrap();
                let from = offset.min(size) as usize;
                let expected = &content[from..(offset + length).min(size).max(from as u64) as usize];
                assert!(part == expected && count == expected.len() as u64, "{options} {name} {offset}");
            }
        }
    }
}

#[test]
fn access_control_lists_are_shown_as_linux_shows_them() {
    // Version 1 on the disk: owner rw-, user 1000 r--, group r--, mask r--, others ---.
    let stored = [
        &[1, 0, 0, 0][..],
        &[1, 0, 6, 0],
        &[2, 0, 4, 0, 0xe8, 3, 0, 0],
        &[4, 0, 4, 0],
        &[0x10, 0, 4, 0],
        &[0x20, 0, 0, 0],
    ]
    .concat();
    let expected = [
        &[2, 0, 0, 0][..],
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 4, 0, 0xe8, 3, 0, 0],
        &[4, 0, 4, 0, 255, 255, 255, 255],
        &[0x10, 0, 4, 0, 255, 255, 255, 255],
        &[0x20, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    assert_eq!(xattr::shown_acl(&stored).unwrap(), expected);
    for bad in [&stored[..3], &stored[..14], &[2, 0, 0, 0], &[1, 0, 0, 0, 3, 0, 0, 0]] {
        assert_eq!(xattr::shown_acl(bad), None, "{bad:?}");
    }
}

#[test]
fn a_journal_that_was_not_written_back_is_left_to_a_kernel() {
    let lab = Lab::new();
    fill(&lab);
    for options in ["-t ext4", "-t ext3 -b 1024"] {
        make(&lab, options, false);
        write(&lab.path("block"), &[7; 4096]);
        write(&lab.path("script"), b"jo\njw -b 9000 block\njc\n");
        lab.run("debugfs", &["-w", "-f", "script", "disk.img"]);
        let error = open_ext(&lab.path("disk.img")).err().expect("refused").to_string();
        assert!(error.ends_with("was not written back") && error.starts_with("the journal"), "{error}");
        lab.run("sh", &["-c", "e2fsck -fy disk.img >e2fsck.log 2>&1; test $? -le 1"]);
        open_ext(&lab.path("disk.img")).unwrap();
    }
}

#[test]
fn a_bit_that_fell_over_is_found_where_there_are_checksums() {
    let lab = Lab::new();
    fill(&lab);
    make(&lab, "-t ext4 -b 1024", false);
    let path = lab.path("disk.img");
    let mut ext = open_ext(&path).unwrap();
    let mut paths = BTreeMap::new();
    walk(&mut ext, ROOT, b"", &mut paths);
    let islands = ext.inode(paths[b"/odd/islands".as_slice()]).unwrap();
    let labelled = ext.inode(paths[b"/odd/hole-at-end".as_slice()]).unwrap();
    let many = paths[b"/many".as_slice()];
    let tree = u64::from(crate::block::bytes::le32(islands.map(), 16)) * 1024;
    let directory = ext.inode(many).unwrap();
    let directory = ext.runs(&directory).unwrap()[0].physical * 1024;
    let (group, index) = ext.superblock.locate(many).unwrap();
    let inode = ext.tables[&group] * 1024 + index * ext.superblock.inode_size as u64;
    drop(ext);

    let good = std::fs::read(&path).unwrap();
    let places = [
        ("superblock", 1024 + 0x50, b"/".as_slice()),
        ("block group", 2048 + 0x10, b"/many"),
        ("inode", inode + 0x9c, b"/many"),
        ("directory", directory + 300, b"/many"),
        ("extent", tree + 16, b"/odd/islands"),
        ("attributes", labelled.xattr_block * 1024 + 40, b"/odd/hole-at-end"),
    ];
    for (what, at, path) in places {
        let mut bad = good.clone();
        bad[at as usize] ^= 0x10;
        write(&lab.path("disk.img"), &bad);
        let read = || -> Result<(), DiskError> {
            let mut ext = open_ext(&lab.path("disk.img"))?;
            let inode = paths.get(path).copied().unwrap_or(ROOT);
            match ext.stat(inode)?.kind {
                FileKind::Directory => drop(ext.directory(inode)?),
                _ => drop(ext.read_to(inode, 0, u64::MAX, &mut std::io::sink())?),
            }
            ext.xattrs(inode).map(drop)
        };
        let error = read().expect_err(what).to_string();
        assert!(error.contains("checksum") && error.contains(what), "{what}: {error}");
    }
}
