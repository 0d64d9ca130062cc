//! What `/etc/fstab` shows where: boot partitions, paths shown twice, systems in more than one partition.

use super::super::testing::{Lab, tree_of, write};
use super::tests::{partitioned, system};
use super::*;

/// A root file system with this fstab, and further files in it.
fn root(lab: &Lab, fstab: &str, files: &[(&str, &str)]) {
    let root = if lab.path("root").exists() { lab.path("root") } else { system(lab) };
    write(&root.join("etc/fstab"), fstab.as_bytes());
    for (path, content) in files {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        write(&root.join(path), content.as_bytes());
    }
    let _ = std::fs::remove_file(lab.path("root.img"));
    lab.run("mke2fs", &["-q", "-t", "ext4", "-d", "root", "-L", "root", "root.img", "64M"]);
}

/// A file system of its own with one file in it.
fn ext(lab: &Lab, image: &str, label: &str, file: &str) {
    let directory = lab.path("tree").join(image);
    std::fs::create_dir_all(directory.join(file).parent().unwrap()).unwrap();
    write(&directory.join(file), label.as_bytes());
    let from = format!("tree/{image}");
    lab.run("mke2fs", &["-q", "-t", "ext4", "-d", &from, "-L", label, image, "64M"]);
}

/// An EFI system partition as systemd-boot leaves it.
fn esp(lab: &Lab) {
    std::fs::File::create(lab.path("esp.img")).unwrap().set_len(60 << 20).unwrap();
    lab.run("mkfs.fat", &["-F", "32", "-s", "1", "-i", "1234abcd", "-n", "ESP", "esp.img"]);
    write(&lab.path("seed"), &[7; 32]);
    lab.run("mmd", &["-i", "esp.img", "::/EFI", "::/EFI/BOOT", "::/loader"]);
    lab.run("mcopy", &["-i", "esp.img", "seed", "::/loader/random-seed"]);
    lab.run("mcopy", &["-i", "esp.img", "seed", "::/EFI/BOOT/BOOTX64.EFI"]);
}

fn opened(lab: &Lab, volumes: &[&str]) -> Result<Box<dyn Tree>, DiskError> {
    tree_of(&partitioned(lab, volumes))
}

#[test]
fn what_is_on_the_efi_system_partition_is_there() {
    let lab = Lab::new();
    root(&lab, "LABEL=ESP /boot/efi vfat umask=0077,gid=4 0 1\n", &[("boot/efi/hidden", "")]);
    esp(&lab);
    let mut tree = opened(&lab, &["root.img", "esp.img"]).unwrap();
    assert!(tree.exists(b"/boot/efi/loader/random-seed").unwrap());
    assert_eq!(tree.read(b"/boot/efi/EFI/boot/bootx64.efi", 100).unwrap(), [7; 32]);
    assert_eq!(tree.read_dir(b"/boot/efi").unwrap(), [b"EFI".to_vec(), b"loader".to_vec()]);
    assert!(!tree.exists(b"/boot/efi/hidden").unwrap());
    let stat = tree.stat(b"/boot/efi/loader/random-seed").unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid, stat.size, stat.links), (0o700, 0, 4, 32, 1));
    assert!(tree.xattrs(b"/boot/efi/EFI").unwrap().is_empty());
    assert!(tree.explain().ends_with("/boot/efi is vfat in partition 2"), "{}", tree.explain());
    let mut fork = tree.fork().unwrap();
    assert_eq!(fork.read(b"/boot/efi/loader/random-seed", 100).unwrap(), [7; 32]);
    // The file is in the image whatever the partition is called by.
    for fstab in [
        "UUID=1234-ABCD /boot/efi vfat defaults",
        "/dev/vda2 /boot/efi vfat noauto,x-systemd.automount",
        "/dev/disk/by-label/ESP /boot/efi vfat nofail",
    ] {
        root(&lab, fstab, &[]);
        let mut tree = opened(&lab, &["root.img", "esp.img"]).unwrap();
        assert!(tree.exists(b"/boot/efi/loader/random-seed").unwrap(), "{fstab}");
    }
    for fstab in ["LABEL=ESP /boot/efi vfat noauto", "LABEL=esp /boot/efi vfat nofail"] {
        root(&lab, fstab, &[]);
        let mut tree = opened(&lab, &["root.img", "esp.img"]).unwrap();
        assert!(!tree.exists(b"/boot/efi/loader/random-seed").unwrap(), "{fstab}");
    }
}

#[test]
fn a_damaged_efi_system_partition_is_no_empty_one() {
    let lab = Lab::new();
    root(&lab, "UUID=1234-abcd /boot/efi vfat nofail\n", &[]);
    esp(&lab);
    let mut bytes = std::fs::read(lab.path("esp.img")).unwrap();
    // No sector of a FAT file system has such a length.
    bytes[11] = 1;
    write(&lab.path("esp.img"), &bytes);
    let error = opened(&lab, &["root.img", "esp.img"]).err().unwrap();
    assert!(matches!(error, DiskError::Damaged(_)), "{error}");
}

#[test]
fn a_path_is_shown_a_second_time() {
    let lab = Lab::new();
    let files =
        [("srv/hidden", ""), ("var/x/shown", "shown"), ("var/x/sub/below", "below"), ("etc/one", "1")];
    root(
        &lab,
        "/var/x /srv none bind\n/var /all none rbind\n/etc/one /etc/shadow none bind\n\
         /srv/sub /deep none bind\nLABEL=data /var/x/data ext4\n/gone /odd none bind\n",
        &files,
    );
    std::fs::create_dir_all(lab.path("root/var/x/data")).unwrap();
    ext(&lab, "data.img", "data", "on/data");
    let mut tree = opened(&lab, &["root.img", "data.img"]).unwrap();
    assert!(!tree.exists(b"/srv/hidden").unwrap());
    assert_eq!(tree.read(b"/srv/shown", 10).unwrap(), b"shown");
    assert_eq!(tree.read(b"/deep/below", 10).unwrap(), b"below");
    assert_eq!(tree.read(b"/etc/shadow", 10).unwrap(), b"1");
    assert_eq!(tree.read(b"/var/x/data/on/data", 10).unwrap(), b"data");
    assert_eq!(tree.read(b"/all/x/data/on/data", 10).unwrap(), b"data", "with what is mounted below");
    assert!(!tree.exists(b"/srv/data/on").unwrap(), "without what is mounted below");
    assert!(tree.exists(b"/odd/sparse").unwrap(), "the source is not there");
    assert_eq!(tree.canonicalize(b"/srv/../srv/sub/below").unwrap(), b"/srv/sub/below");
    let (one, other) = (tree.stat(b"/srv").unwrap(), tree.stat(b"/var/x").unwrap());
    assert_eq!(one.inode, other.inode);
    assert_ne!(one.device, other.device, "a walk takes it for another directory");
    assert!(tree.explain().contains("/srv is /var/x"), "{}", tree.explain());
    assert_eq!(tree.fork().unwrap().read(b"/srv/shown", 10).unwrap(), b"shown");
}

#[test]
fn of_two_systems_none_is_taken() {
    let lab = Lab::new();
    root(&lab, "", &[]);
    std::fs::copy(lab.path("root.img"), lab.path("other.img")).unwrap();
    let error = opened(&lab, &["root.img", "other.img"]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "more than one operating system in the image, in partition 1 and partition 2: tib cannot know which is meant"
    );
    // What has no /etc is no root: `/usr` alone, or a copy of it.
    ext(&lab, "usr.img", "usr", "usr/lib/os-release");
    assert!(opened(&lab, &["usr.img", "root.img"]).is_ok());
    // What is not read might hold another, unless fstab tells what it is for.
    let script = "truncate -s 66M xfs.img; TEST_DIR=x TEST_DEV=x QA_CHECK_FS=x mkfs.xfs -q -L more -n version=ci xfs.img";
    lab.run("sh", &["-euc", script]);
    let error = opened(&lab, &["root.img", "xfs.img"]).err().unwrap();
    assert!(
        matches!(&error, DiskError::Unsupported(why) if why.starts_with("partition 2: the XFS file system uses names")),
        "{error}"
    );
    root(&lab, "LABEL=more /more xfs noauto", &[]);
    assert!(opened(&lab, &["root.img", "xfs.img"]).is_ok());
}

#[test]
fn usr_may_be_a_partition_of_its_own() {
    let lab = Lab::new();
    root(&lab, "LABEL=usr /usr ext4 ro 0 0\n", &[]);
    std::fs::remove_file(lab.path("root/usr/lib/os-release")).unwrap();
    root(&lab, "LABEL=usr /usr ext4 ro 0 0\n", &[]);
    ext(&lab, "usr.img", "usr", "lib/os-release");
    let mut tree = opened(&lab, &["usr.img", "root.img"]).unwrap();
    assert_eq!(tree.read(b"/etc/os-release", 10).unwrap(), b"usr");
    root(&lab, "", &[]);
    let error = opened(&lab, &["usr.img", "root.img"]).err().unwrap();
    assert!(matches!(error, DiskError::NoSystem(_)), "{error}");
}
