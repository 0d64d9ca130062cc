//! Every form that a file system has by itself.

use std::collections::BTreeSet;

use super::*;
use crate::block::bytes::{be16, be32};

/// Which form a directory has.
fn form_of(xfs: &mut Xfs, number: u64) -> &'static str {
    let inode = xfs.inode(number).unwrap();
    if inode.content().form == Form::Local {
        return "short";
    }
    let runs = xfs.metadata_runs(&inode).unwrap();
    let size = xfs.superblock.block_size;
    let table = runs.iter().find(|run| run.logical == directory::TABLE / size);
    let Some(table) = table else { return "block" };
    let mut block = vec![0; size as usize];
    xfs.window.read_exact(table.physical * size, &mut block).unwrap();
    match be16(&block, 8) {
        0xd2f1 | 0x3df1 => "leaf",
        0xd2ff | 0x3dff | 0xfebe | 0x3ebe => "node",
        other => panic!("{other:x}"),
    }
}

/// What xfs_db says about inodes: each field by its name, and the text behind it.
fn printed(lab: &Lab, inodes: &BTreeMap<String, u64>) -> BTreeMap<u64, BTreeMap<String, String>> {
    let script: String = inodes.values().map(|inode| format!("inode {inode}\nprint\n")).collect();
    let output = xfs_db(lab, &script);
    let sections: Vec<_> = output.split("core.magic = ").skip(1).collect();
    assert_eq!(sections.len(), inodes.len());
    let fields = |section: &str| {
        let pairs = section.lines().filter_map(|line| line.split_once(" = "));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    inodes.values().copied().zip(sections.into_iter().map(fields)).collect()
}

#[test]
fn every_kind_of_file_system_is_what_xfs_db_says() {
    let lab = Lab::new();
    let files = fill(&lab);
    let mut forms = BTreeSet::new();
    let variants = VARIANTS.iter().map(|options| (*options, "40M")).chain([(LARGE_BLOCKS, "340M")]);
    for (options, size) in variants {
        let is_old = options.contains("crc=0");
        make(&lab, options, size, &proto(&lab, &files, is_old));
        let mut xfs = open_xfs(&lab.path("disk.img")).unwrap_or_else(|error| panic!("{options}: {error}"));
        assert_eq!(xfs.superblock.has_checksums, !is_old, "{options}");
        let paths = paths(&mut xfs);
        let entries: usize = DIRECTORIES.iter().map(|(_, entries)| entries).sum();
        assert_eq!(paths.len(), entries + files.len() + 4 + 3 + 4 + 1, "{options}");
        for (name, entries) in DIRECTORIES {
            let number = paths[&format!("/{name}")];
            forms.insert(form_of(&mut xfs, number));
            let names = xfs.directory(number).unwrap();
            for index in 0..entries {
                let child = names.get(format!("entry-with-a-name-{index}").as_bytes()).expect(options);
                assert_eq!(xfs.stat(child).unwrap().uid, index as u32, "{options}");
            }
            assert_eq!(names.len(), entries, "{options}");
        }
        let printed = printed(&lab, &paths);
        for (path, inode) in &paths {
            let (stat, fields) = (xfs.stat(*inode).unwrap(), &printed[inode]);
            let number = |key: &str| fields[key].parse::<u64>().unwrap();
            let mode = u32::from_str_radix(&fields["core.mode"], 8).unwrap();
            assert_eq!(stat.mode, mode & 0o7777, "{options} {path}");
            assert_eq!(
                (u64::from(stat.uid), u64::from(stat.gid)),
                (number("core.uid"), number("core.gid")),
                "{options} {path}"
            );
            let links = fields.get("core.nlinkv2").or(fields.get("core.nlinkv1")).unwrap();
            assert_eq!(stat.links.to_string(), *links, "{options} {path}");
            assert_eq!((stat.size, stat.inode), (number("core.size"), *inode), "{options} {path}");
            assert_eq!(
                stat.allocated,
                number("core.nblocks") * xfs.superblock.block_size,
                "{options} {path}"
            );
            let nanoseconds: u32 = fields["core.mtime.nsec"].parse().unwrap();
            assert_eq!(stat.modified.nanoseconds, nanoseconds, "{options} {path}");
            assert!(stat.modified.seconds > 1_700_000_000, "{options} {path}");
            if stat.kind == FileKind::File {
                assert!(content(&mut xfs, *inode) == files[path], "{options} {path}");
            }
        }
        let stat = |xfs: &mut Xfs, path: &str| xfs.stat(paths[path]).unwrap();
        let kinds = ["/device", "/character", "/pipe"].map(|path| stat(&mut xfs, path));
        assert_eq!(kinds.map(|stat| stat.kind), [FileKind::Block, FileKind::Character, FileKind::Fifo]);
        assert_eq!(kinds.map(|stat| stat.special), [(8, 300), (204, 70_000), (0, 0)]);
        let file = stat(&mut xfs, "/file-70000");
        assert_eq!((file.mode, file.uid, file.gid), (0o6751, 70_000, 4_000_000_000));
        for (path, inode) in paths.iter().filter(|(path, _)| path.starts_with("/link-")) {
            let length = path["/link-".len()..].parse().unwrap();
            assert_eq!(xfs.read_link(*inode).unwrap(), vec![b't'; length], "{options} {path}");
        }
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["block", "leaf", "node", "short"]);
}

/// With a table of hashes of several levels. Each file is told from the others by its owner.
#[test]
fn a_hundred_thousand_files_in_a_directory() {
    let lab = Lab::new();
    let mut proto = "/dev/null\n0 0\nd--755 0 0\nmany d--755 3 4\n".to_owned();
    for index in 0..100_000u32 {
        writeln!(proto, "{} p--644 {index} 0", index.wrapping_mul(2_654_435_761)).unwrap();
    }
    make(&lab, "-b size=1024 -n size=4096", "200M", &(proto + "$\n$\n"));
    let mut xfs = open_xfs(&lab.path("disk.img")).unwrap();
    let many = xfs.directory(xfs.root()).unwrap().get(b"many").unwrap();
    assert_eq!(form_of(&mut xfs, many), "node");
    let directory = xfs.directory(many).unwrap();
    assert_eq!(directory.len(), 100_000);
    let mut inodes = BTreeSet::new();
    for index in 0..100_000u32 {
        let child = directory.get(index.wrapping_mul(2_654_435_761).to_string().as_bytes()).unwrap();
        assert_eq!(xfs.stat(child).unwrap().uid, index);
        assert!(inodes.insert(child), "{index}");
    }
    // What xfs_db finds by name and by number.
    let said = xfs_db(&lab, &format!("inode {many}\nprint core.size core.nlinkv2\nls /many\n"));
    assert!(said.contains(&format!("core.size = {}", xfs.stat(many).unwrap().size)), "{said}");
    let listed: BTreeSet<u64> = said
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse().ok())
        .filter(|inode| *inode != many && *inode != xfs.root())
        .collect();
    assert!(listed == inodes, "{} of {}", listed.len(), inodes.len());
}

/// `mkfs.xfs` takes the room that is left for a whole chunk of 64 inodes; where there is none, half of one does.
#[test]
fn inodes_of_chunks_with_holes_are_found() {
    const INODES: usize = 400;
    let lab = Lab::new();
    let mut text = format!(
        "/dev/null\n0 0\nd--755 0 0\nlarge ---644 0 0 {}\nmany d--755 0 0\n",
        lab.path("large").display()
    );
    for index in 0..INODES {
        writeln!(text, "pipe-{index} p--644 {index} 0").unwrap();
    }
    write(&lab.path("proto"), (text + "$\n$\n").as_bytes());
    // The largest file, in KiB, that leaves room for all the inodes: their last chunk is then as small as one may be.
    let mut bounds = (30_000_u32, 38_000);
    let make = |size: u32| {
        let script = format!(
            "rm -f disk.img; truncate -s 40M disk.img; yes | head -c {size}K >large; export TEST_DIR=x TEST_DEV=x QA_CHECK_FS=x
             mkfs.xfs -q -i size=2048,sparse=1 -d agcount=1 -p proto disk.img 2>&1 || true"
        );
        lab.run("sh", &["-euc", &script])
    };
    while bounds.1 - bounds.0 > 8 {
        let middle = bounds.0.midpoint(bounds.1);
        *(if make(middle).is_empty() { &mut bounds.0 } else { &mut bounds.1 }) = middle;
    }
    assert_eq!(make(bounds.0), "");
    // First inode, and a bit for each four that are not there.
    let chunks = xfs_db(&lab, "agi 0\naddr root\nprint recs\n");
    let (first, holes) = chunks
        .lines()
        .filter_map(|line| line.split_once(":[")?.1.strip_suffix(']'))
        .map(|record| record.split(',').collect::<Vec<_>>())
        .find(|fields| fields[1] != "0")
        .map(|fields| {
            (
                fields[0].parse::<u64>().unwrap(),
                u16::from_str_radix(fields[1].trim_start_matches("0x"), 16).unwrap(),
            )
        })
        .unwrap_or_else(|| panic!("no chunk has holes: {chunks}"));

    let mut xfs = open_xfs(&lab.path("disk.img")).unwrap();
    let paths = paths(&mut xfs);
    assert_eq!(paths.len(), INODES + 2);
    let mut in_chunk = 0;
    for index in 0..INODES {
        let inode = paths[&format!("/many/pipe-{index}")];
        assert_eq!(xfs.stat(inode).unwrap().uid, index as u32);
        in_chunk += u32::from((first..first + 64).contains(&inode));
    }
    assert!(in_chunk > 0, "{first} {holes:x}");
    for bit in (0..16).filter(|bit| holes & (1 << bit) != 0) {
        let error = xfs.stat(first + 4 * bit).unwrap_err();
        assert!(matches!(error, DiskError::Damaged(_)), "{error}");
    }
}

#[test]
fn any_part_of_a_file_can_be_read() {
    let lab = Lab::new();
    let files = fill(&lab);
    make(&lab, "-b size=1024", "40M", &proto(&lab, &files, false));
    let mut xfs = open_xfs(&lab.path("disk.img")).unwrap();
    let paths = paths(&mut xfs);
    for (name, content) in &files {
        let size = content.len() as u64;
        for (offset, length) in [
            (0, 7),
            (5, 1024),
            (size / 2, 200_000),
            (131_072, 32_780),
            (size.saturating_sub(1), 9),
            (size + 5, 1),
        ] {
            let mut part = Vec::new();
            let count = xfs.read_to(paths[name], offset, length, &mut part).unwrap();
            let from = offset.min(size) as usize;
            let expected = &content[from..(offset + length).min(size).max(from as u64) as usize];
            assert!(part == expected && count == expected.len() as u64, "{name} {offset}");
        }
    }
}

/// Attributes set by xfs_db: its flag for their kind, the name, bytes of value.
fn attributes(many: usize) -> Vec<(char, String, usize)> {
    let mut all =
        vec![('u', "note".to_owned(), 5), ('s', "selinux".to_owned(), 30), ('r', "empty".to_owned(), 1)];
    all.extend((0..many).map(|index| ('u', format!("attribute-{index}"), 1 + index % 90)));
    if many > 0 {
        all.extend([
            ('r', "large".to_owned(), 3000),
            ('u', "largest".to_owned(), 65_536),
            ('u', "n".repeat(255), 9),
        ]);
    }
    all
}

#[test]
fn attributes_of_every_form_are_those_that_were_set() {
    let lab = Lab::new();
    let files = fill(&lab);
    let mut forms = BTreeSet::new();
    for options in VARIANTS {
        make(&lab, options, "40M", &proto(&lab, &files, false));
        let mut xfs = open_xfs(&lab.path("disk.img")).unwrap();
        let paths = paths(&mut xfs);
        for (path, many) in [("/pipe", 0), ("/short", 10), ("/file-70000", 900)] {
            let mut script = format!("inode {}\n", paths[path]);
            for (kind, name, length) in attributes(many) {
                writeln!(script, "attr_set -{kind} -v {length} {name}").unwrap();
            }
            xfs_db(&lab, &script);
            // What was read before may not be kept.
            let mut xfs = open_xfs(&lab.path("disk.img")).unwrap();
            let found: Vec<_> = xfs.xattrs(paths[path]).unwrap();
            let mut expected: Vec<_> = attributes(many)
                .into_iter()
                .map(|(kind, name, length)| {
                    let prefix = BTreeMap::from([('u', "user"), ('s', "security"), ('r', "trusted")])[&kind];
                    Xattr { name: format!("{prefix}.{name}").into_bytes(), value: vec![b'v'; length] }
                })
                .collect();
            expected.sort();
            assert!(found == expected, "{options} {path}: {} {}", found.len(), expected.len());
            let inode = xfs.inode(paths[path]).unwrap();
            let fork = inode.attributes().unwrap();
            let mut form = fork.form;
            if form != Form::Local {
                let runs =
                    extents::runs(&mut xfs.window, &xfs.superblock, inode.number, fork, Kind::Metadata)
                        .unwrap();
                let mut block = [0; 16];
                xfs.window.read_exact(runs[0].physical << xfs.superblock.block_log, &mut block).unwrap();
                assert_ne!(be32(&block, 8), 0);
                let is_node = matches!(be16(&block, 8), 0xfebe | 0x3ebe);
                forms.insert(if is_node { "node" } else { "leaf" });
                form = Form::Extents;
            }
            forms.insert(if form == Form::Local { "short" } else { "blocks" });
        }
        assert_eq!(xfs.xattrs(xfs.root()).unwrap(), []);
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["blocks", "leaf", "node", "short"]);
}
