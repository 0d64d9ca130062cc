use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::super::Policy;
use super::super::testing::{Lab, mixture, tree_of, write};
use super::*;

/// A directory that looks like a small system, with all a tree may hold that needs no privilege to make.
pub(super) fn system(lab: &Lab) -> PathBuf {
    let root = lab.path("root");
    let make = |path: &str| std::fs::create_dir_all(root.join(path)).unwrap();
    for directory in ["etc", "usr/lib", "usr/bin", "var/lib/deep/er", "boot/efi", "run", "many", "odd"] {
        make(directory);
    }
    let put = |path: &str, content: &[u8]| write(&root.join(path), content);
    put("usr/lib/os-release", b"ID=debian\nVERSION_ID=12\n");
    put("etc/fstab", b"LABEL=root / ext4 defaults 0 1\nUUID=AB-CD /boot/efi vfat umask=077 0 1\n");
    put("etc/shadow", b"secret");
    put("usr/bin/tool", &mixture(3_000_000, 5));
    put("odd/empty", b"");
    write(&root.join("odd").join(OsStr::from_bytes(b"caf\xe9 \n")), b"latin");
    for index in 0..800 {
        put(&format!("many/a-file-with-a-rather-long-name-{index}"), index.to_string().as_bytes());
    }
    let sparse = std::fs::File::create(root.join("odd/sparse")).unwrap();
    sparse.set_len(9 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 5 << 20).unwrap();
    let link = |target: &str, path: &str| std::os::unix::fs::symlink(target, root.join(path)).unwrap();
    link("../usr/lib/os-release", "etc/os-release");
    link("usr/bin", "bin");
    link("/usr/bin/../lib", "lib");
    link("../../../../../bin/tool", "odd/up-and-out");
    link(&format!("/{}", "x".repeat(200)), "odd/dangling");
    link("gone/below", "to-nowhere");
    link("/etc/shadow/", "to-slash");
    link("loop-b", "odd/loop-a");
    link("loop-a", "odd/loop-b");
    let mode = |path: &str, mode: u32| {
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("etc/shadow", 0o640);
    mode("usr/bin/tool", 0o4755);
    mode("var/lib", 0o1777);
    rustix::fs::mknodat(rustix::fs::CWD, root.join("run/pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    root
}

pub(super) fn filled(lab: &Lab, options: &[&str]) -> PathBuf {
    let mut arguments = vec!["-q", "-d", "root", "-L", "root"];
    arguments.extend(options);
    arguments.extend(["disk.raw", "64M"]);
    let _ = std::fs::remove_file(lab.path("disk.raw"));
    lab.run("mke2fs", &arguments);
    lab.path("disk.raw")
}

/// Path to kind, mode, user, group, size, time and content or target.
type Listing = BTreeMap<Vec<u8>, (FileKind, u32, u32, u32, u64, i64, Vec<u8>)>;

/// Everything below a directory on the host, as a tree tells it.
fn on_host(root: &Path) -> Listing {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let (kind, size, content) = match meta.mode() & 0o170_000 {
                0o040_000 => {
                    left.push(path.clone());
                    (FileKind::Directory, 0, Vec::new())
                }
                0o120_000 => {
                    let target = std::fs::read_link(&path).unwrap();
                    (FileKind::Symlink, meta.len(), target.as_os_str().as_bytes().to_vec())
                }
                0o010_000 => (FileKind::Fifo, 0, Vec::new()),
                _ => (FileKind::File, meta.len(), std::fs::read(&path).unwrap()),
            };
            let name = [b"/", path.strip_prefix(root).unwrap().as_os_str().as_bytes()].concat();
            found.insert(
                name,
                (kind, meta.mode() & 0o7777, meta.uid(), meta.gid(), size, meta.mtime(), content),
            );
        }
    }
    found
}

fn in_image(tree: &mut dyn Tree) -> Listing {
    let mut found = BTreeMap::new();
    let mut left = vec![Vec::new()];
    while let Some(directory) = left.pop() {
        let listed: &[u8] = if directory.is_empty() { b"/" } else { &directory };
        for name in tree.read_dir(listed).unwrap() {
            let path = [&directory, b"/".as_slice(), &name].concat();
            if path == b"/lost+found" {
                continue;
            }
            let stat = tree.lstat(&path).unwrap();
            let content = match stat.kind {
                FileKind::File => tree.read(&path, 1 << 30).unwrap(),
                FileKind::Symlink => tree.read_link(&path).unwrap(),
                _ => Vec::new(),
            };
            let size = if stat.kind == FileKind::Directory { 0 } else { stat.size };
            if stat.kind == FileKind::Directory {
                left.push(path.clone());
            }
            found.insert(
                path,
                (stat.kind, stat.mode, stat.uid, stat.gid, size, stat.modified.seconds, content),
            );
        }
    }
    found
}

#[test]
fn a_tree_is_what_it_was_made_from() {
    let lab = Lab::new();
    let expected = on_host(&system(&lab));
    assert!(expected.len() > 800);
    let variants: &[&[&str]] = &[
        &["-t", "ext4"],
        &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit", "-I", "128"],
        &["-t", "ext3"],
        &["-t", "ext2", "-b", "2048"],
    ];
    for options in variants {
        let path = filled(&lab, options);
        let mut tree = tree_of(&path).unwrap();
        let found = in_image(tree.as_mut());
        for (path, expected) in &expected {
            let mut expected = expected.clone();
            let found = found.get(path).unwrap();
            // A directory's time changes while mke2fs fills it.
            if expected.0 == FileKind::Directory {
                expected.5 = found.5;
            }
            assert!(*found == expected, "{options:?} {:?}", String::from_utf8_lossy(path));
        }
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn paths_are_resolved_inside_the_image() {
    let lab = Lab::new();
    system(&lab);
    let mut tree = tree_of(&filled(&lab, &["-t", "ext4"])).unwrap();
    let cases: &[(&str, &str)] = &[
        ("/", "/"),
        ("//etc/./../etc/", "/etc"),
        ("/etc/os-release", "/usr/lib/os-release"),
        ("/bin/tool", "/usr/bin/tool"),
        ("/lib/os-release", "/usr/lib/os-release"),
        ("/odd/up-and-out", "/usr/bin/tool"),
        ("/bin/../lib", "/usr/lib"),
        ("/../../etc/shadow", "/etc/shadow"),
        ("/odd/dangling", "no such file in the image: `/odd/dangling` → `/xxx"),
        ("/nolink/x", "no such file in the image: `/nolink`"),
        ("/to-nowhere", "no such file in the image: `/to-nowhere` → `/gone/below`"),
        ("/to-nowhere/x", "no such file in the image: `/to-nowhere/x` → `/gone/below/x`"),
        ("/etc/shadow/", "`/etc/shadow` in the image is not a directory"),
        ("/etc/shadow/.", "`/etc/shadow` in the image is not a directory"),
        ("/etc/os-release/", "`/usr/lib/os-release` in the image is not a directory"),
        ("/to-slash", "`/etc/shadow` in the image is not a directory"),
        ("/bin/", "/usr/bin"),
        ("/odd/loop-a", "`/odd/loop-a` in the image goes through too many links"),
        ("/etc/shadow/x", "`/etc/shadow` in the image is not a directory"),
        ("/nowhere/x", "no such file in the image: `/nowhere`"),
        ("etc", "`etc` in the image is not an absolute path"),
    ];
    for (path, expected) in cases {
        let found = match tree.canonicalize(path.as_bytes()) {
            Ok(path) => String::from_utf8(path).unwrap(),
            Err(error) => error.to_string(),
        };
        let is_error = !expected.starts_with('/');
        assert!(if is_error { found.starts_with(expected) } else { found == *expected }, "{path}: {found}");
    }
    assert_eq!(tree.lstat(b"/odd/dangling").unwrap().kind, FileKind::Symlink);
    assert!(tree.exists(b"/odd/dangling").unwrap());
    for path in ["/odd/nothing", "/etc/shadow/x", "/etc/os-release/x/y", "/etc/shadow/", "/to-nowhere/x"] {
        assert!(!tree.exists(path.as_bytes()).unwrap(), "{path}");
    }
    assert_eq!(tree.lstat(b"/to-slash").unwrap().kind, FileKind::Symlink);
    assert_eq!(tree.lstat(b"/bin/").unwrap().kind, FileKind::Directory);
    for path in ["/etc/shadow/", "/usr/bin/tool/", "/bin/tool/."] {
        let found = [
            tree.lstat(path.as_bytes()).map(drop),
            tree.stat(path.as_bytes()).map(drop),
            tree.read(path.as_bytes(), 1 << 30).map(drop),
            tree.read_dir(path.as_bytes()).map(drop),
            tree.xattrs(path.as_bytes()).map(drop),
        ];
        assert!(
            found.iter().all(|found| matches!(found, Err(DiskError::NotDirectory(_)))),
            "{path}: {found:?}"
        );
    }
    assert_eq!(tree.lstat(b"/bin/..").unwrap().kind, FileKind::Directory);
    assert_eq!(tree.stat(b"/bin/tool").unwrap().mode, 0o4755);
    let wrong: [(&str, Result<(), DiskError>); 4] = [
        ("is not a link", tree.read_link(b"/etc/shadow").map(drop)),
        ("is not a directory", tree.read_dir(b"/etc/shadow").map(drop)),
        ("is a directory", tree.read(b"/etc", 1 << 20).map(drop)),
        ("is not a regular file", tree.read(b"/run/pipe", 1 << 20).map(drop)),
    ];
    for (problem, result) in wrong {
        assert!(result.unwrap_err().to_string().ends_with(problem), "{problem}");
    }
}

/// Puts file systems into the partitions of a GPT disk.
pub(super) fn partitioned(lab: &Lab, volumes: &[&str]) -> PathBuf {
    let size = 70 << 20;
    let disk = std::fs::File::create(lab.path("disk.raw")).unwrap();
    disk.set_len((volumes.len() as u64 + 1) * size).unwrap();
    let script: String = volumes.iter().map(|_| "size=66M\n").collect();
    write(&lab.path("script"), format!("label: gpt\n{script}").as_bytes());
    lab.run("sh", &["-c", "sfdisk -q disk.raw < script"]);
    let partitions =
        partition::list(super::super::open(&lab.path("disk.raw"), &Policy::default()).unwrap().as_mut())
            .unwrap();
    for (volume, partition) in volumes.iter().zip(partitions) {
        let content = std::fs::read(lab.path(volume)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&disk, &content, partition.start).unwrap();
    }
    lab.path("disk.raw")
}

#[test]
fn other_file_systems_are_mounted_where_fstab_says() {
    let lab = Lab::new();
    let root = system(&lab);
    std::fs::create_dir_all(lab.path("var/lib")).unwrap();
    write(&lab.path("var/lib/state"), b"on the other");
    std::os::unix::fs::symlink("/etc/shadow", lab.path("var/lib/back")).unwrap();
    lab.run("mke2fs", &["-q", "-t", "ext4", "-d", "var", "-L", "var", "var.img", "64M"]);
    write(&root.join("etc/fstab"), b"LABEL=var /var ext4\n");
    lab.run("mke2fs", &["-q", "-t", "ext4", "-d", "root", "-L", "root", "root.img", "64M"]);
    // The root is found wherever it lies.
    for order in [["root.img", "var.img"], ["var.img", "root.img"]] {
        let mut tree = tree_of(&partitioned(&lab, &order)).unwrap();
        assert_eq!(tree.read(b"/var/lib/state", 100).unwrap(), b"on the other");
        assert_eq!(tree.canonicalize(b"/var/lib/back").unwrap(), b"/etc/shadow");
        assert!(!tree.exists(b"/var/lib/deep").unwrap(), "hidden by the mount");
        assert_eq!(tree.canonicalize(b"/var/../usr").unwrap(), b"/usr");
        assert!(tree.read(b"/var/lib/state", 5).unwrap_err().to_string().contains("larger than 5"));
    }
}

#[test]
fn what_cannot_be_read_natively_is_said() {
    let lab = Lab::new();
    let root = system(&lab);
    write(&root.join("etc/fstab"), b"LABEL=var /var xfs\n");
    filled(&lab, &["-t", "ext4"]);
    let error = |lab: &Lab| match tree_of(&lab.path("disk.raw")) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    };
    let missed =
        "`LABEL=var`, which /etc/fstab mounts at /var, is not on the image's disk: it is read without that";
    let tree = tree_of(&lab.path("disk.raw")).unwrap();
    assert_eq!(tree.missed(), [missed]);
    assert!(tree.explain().ends_with(&format!("; {missed}")), "{}", tree.explain());
    filled(&lab, &["-t", "ext4", "-O", "casefold"]);
    let reason = "the disk without partitions: the ext4 file system uses names without regard to case";
    assert_eq!(error(&lab).to_string(), reason);
    let mut squashed = vec![0; 2 << 20];
    squashed[..4].copy_from_slice(b"hsqs");
    write(&lab.path("disk.raw"), &squashed);
    assert!(
        matches!(error(&lab), DiskError::Unsupported(reason) if reason == "the disk without partitions is SquashFS")
    );
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::create_dir(&root).unwrap();
    filled(&lab, &["-t", "ext4"]);
    assert!(matches!(error(&lab), DiskError::NoSystem(_)), "{}", error(&lab));
}

#[test]
fn a_disk_on_which_nothing_is_needs_no_appliance() {
    let lab = Lab::new();
    let error = |lab: &Lab| tree_of(&lab.path("disk.qcow2")).err().unwrap();
    lab.run("qemu-img", &["create", "-q", "-f", "qcow2", "disk.qcow2", "1G"]);
    assert!(matches!(error(&lab), DiskError::NoSystem(why) if why == "the disk is blank"));
    lab.run("qemu-img", &["create", "-q", "-f", "raw", "disk.raw", "1G"]);
    lab.run("sh", &["-c", "echo 'label: gpt' | sfdisk -q disk.raw"]);
    lab.run("qemu-img", &["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    assert!(matches!(error(&lab), DiskError::NoSystem(why) if why.contains("without partitions")));
    lab.run("sh", &["-c", "printf 'label: gpt\\nsize=200M\\nsize=200M' | sfdisk -q disk.raw"]);
    lab.run("qemu-img", &["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    assert!(matches!(error(&lab), DiskError::NoSystem(why) if why.contains("os-release")));
    // Something unknown is left to the appliance.
    let disk = std::fs::OpenOptions::new().write(true).open(lab.path("disk.raw")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&disk, b"what is this?", 300 << 20).unwrap();
    lab.run("qemu-img", &["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    assert!(
        matches!(error(&lab), DiskError::Unsupported(why) if why.contains("partition 2 holds something"))
    );
}

#[test]
fn damaged_file_systems_are_errors() {
    let lab = Lab::new();
    system(&lab);
    let path = filled(&lab, &["-t", "ext4", "-O", "^metadata_csum"]);
    let disk = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut good = vec![0; 1 << 20];
    std::os::unix::fs::FileExt::read_exact_at(&disk, &mut good, 0).unwrap();
    let mut seed = 42u64;
    let mut told = 0;
    for round in 0..120 {
        let mut bad = good.clone();
        for _ in 0..=round {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Superblock, descriptors and inode tables lie at the front.
            let at = 1024 + (seed >> 33) as usize % if round % 2 == 0 { 1024 } else { 600_000 };
            bad[at] ^= (seed >> 20) as u8;
        }
        bad[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
        std::os::unix::fs::FileExt::write_all_at(&disk, &bad, 0).unwrap();
        let Ok(mut tree) = tree_of(&lab.path("disk.raw")) else {
            told += 1;
            continue;
        };
        for path in ["/etc/os-release", "/usr/bin/tool", "/odd/sparse", "/many", "/odd/dangling"] {
            // Either content or an error; never a panic, which would end the release build.
            let _ = tree.read(path.as_bytes(), 64 << 20);
            let _ = tree.read_dir(path.as_bytes());
            let _ = tree.xattrs(path.as_bytes());
        }
    }
    assert!(told > 10);
}
