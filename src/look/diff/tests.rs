use std::process::Command;

use super::report::Style;
use super::*;
use crate::os::testing::MemTree;

fn base() -> MemTree {
    MemTree::new()
        .file("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n")
        .file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        .file("/etc/group", "root:x:0:\n")
        .file(
            "/var/lib/dpkg/status",
            "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
        )
        .file("/usr/lib/systemd/system/a.service", "[Install]\nWantedBy=multi-user.target\n")
        .file("/etc/config", "one\ntwo\nthree\n")
        .file("/etc/binary", [0, 1, 2])
        .file("/etc/same", "same")
        .dir("/etc/systemd/system/multi-user.target.wants")
}

fn changed() -> MemTree {
    base()
        .file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nmysql:x:27:27::/var/lib/mysql:/bin/false\n")
        .file(
            "/var/lib/dpkg/status",
            "Package: a\nStatus: install ok installed\nVersion: 2\nArchitecture: all\n\n\
             Package: b\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n\
             Package: b\nStatus: install ok installed\nVersion: 1\nArchitecture: i386\n",
        )
        .link("/etc/systemd/system/multi-user.target.wants/a.service", "/usr/lib/systemd/system/a.service")
        .file("/etc/config", "one\n2\nthree\n")
        .file("/etc/binary", [0, 1, 3])
        .access("/etc/same", 0o600, 1, 2)
        .xattr("/etc/same", "security.selinux", "system_u:object_r:etc_t:s0\0")
        .link("/etc/new\u{1b}[1m", "same")
        .without("/etc/group")
        .file("/etc/group", "root:x:0:\nmysql:x:27:\n")
        .without("/etc/os-release")
        .file("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12.1\"\n")
}

fn compare(old: &mut MemTree, new: &mut MemTree, paths: &[&str]) -> Result<Diff, LookError> {
    let mut old = Side { name: "old.qcow2".to_owned(), tree: old };
    let mut new = Side { name: "new.qcow2".to_owned(), tree: new };
    let paths: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
    diff(&mut old, &mut new, &paths)
}

#[test]
fn everything_that_differs_is_told_and_nothing_else() {
    let found = compare(&mut base(), &mut changed(), &[]).unwrap();
    insta::assert_snapshot!(found.to_text(Style { all_files: true, color: false }));
    insta::assert_json_snapshot!(found);
    assert_eq!((found.exit(false), found.exit(true)), (Exit::Done, Exit::Checks));

    let same = compare(&mut changed(), &mut changed(), &[]).unwrap();
    assert!(same.same && same.files.changes.is_empty());
    assert_eq!(same.exit(true), Exit::Done);
}

#[test]
fn long_lists_are_cut_and_paths_choose() {
    let mut many = (0..30).fold(base(), |tree, index| tree.file(&format!("/opt/f{index:02}"), "x"));
    let found = compare(&mut base(), &mut many, &[]).unwrap();
    let text = found.to_text(Style { all_files: false, color: true });
    // The directory counts too.
    assert!(text.contains("Files: 31 added; ") && text.ends_with("… and 11 more (--files)\n"), "{text}");
    assert!(text.contains("\u{1b}[32m+ /opt/f00\u{1b}[0m"));
    assert!(compare(&mut base(), &mut many, &["/etc"]).unwrap().same);
    let mut other = changed();
    assert!(compare(&mut base(), &mut other, &["/etc/group"]).unwrap().packages.is_none());
    assert!(compare(&mut base(), &mut other, &["/var/lib/systemd", "/usr/lib"]).is_err());
    let found = compare(&mut base(), &mut other, &["/usr/lib"]).unwrap();
    assert_eq!((found.same, found.exit(true)), (true, Exit::Done), "users differ, but were not asked for");
    assert_eq!(compare(&mut base(), &mut many, &["/opt/f03"]).unwrap().files.changes.len(), 1);
    let error = compare(&mut base(), &mut many, &["/nowhere"]).unwrap_err();
    assert!(error.to_string().contains("/nowhere"), "{error}");
}

#[test]
fn what_cannot_be_compared_is_said_and_is_a_failure() {
    let found = compare(&mut base(), &mut base().file("/var/lib/dpkg/status", "garbage"), &[]).unwrap();
    assert!(
        matches!(&found.packages, Some(Compared::Failed { unreadable }) if unreadable.contains("new.qcow2"))
    );
    assert!(matches!(found.units, Some(Compared::Done(_))));
    assert_eq!(found.exit(false), Exit::Checks);
    assert!(compare(&mut base().broken("/etc/same"), &mut base(), &[]).is_err());
}

/// `patch` is the judge: it makes the new files of the old ones.
#[test]
fn patch_makes_the_new_of_the_old() {
    let old = base()
        .file("/etc/gone", "gone\n")
        .file("/etc/no-end", "a\nb")
        .file("/etc/long", (0..500).map(|line| format!("{line}\n")).collect::<String>());
    let new = changed().file("/etc/made", "made\nof\nlines").file("/etc/no-end", "a\nc").file(
        "/etc/long",
        (0..500).filter(|line| line % 97 != 3).map(|line| format!("{line}\n")).collect::<String>(),
    );
    let (mut before, mut after) = (old.clone(), new.clone());
    let found = compare(&mut before, &mut after, &["/etc"]).unwrap();
    let mut text = Vec::new();
    let mut sides = (
        Side { name: "old".to_owned(), tree: &mut before },
        Side { name: "new".to_owned(), tree: &mut after },
    );
    patches(&found, &mut sides.0, &mut sides.1, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("Binary files a/etc/binary and b/etc/binary differ\n"), "{text}");
    assert!(!text.contains("/etc/same"), "only its mode changed");

    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    for (root, tree) in [(&one, &old), (&other, &new)] {
        fs_err::create_dir(root).unwrap();
        tree.write_below(root);
    }
    fs_err::write(directory.path().join("patch"), &text).unwrap();
    let status = Command::new("patch")
        .args(["-s", "-p1", "-i", "../patch"])
        .current_dir(&one)
        .status()
        .expect("patch is there (make setup)");
    assert!(status.success());
    for name in ["config", "passwd", "made", "no-end", "long"] {
        let read = |root: &std::path::Path| fs_err::read_to_string(root.join("etc").join(name)).unwrap();
        assert_eq!(read(&one), read(&other), "{name}");
    }
    assert!(!one.join("etc/gone").exists());
}
