//! What lies where on a disk: logical volumes, encryption, file systems that other disks bring, tables of other sectors, disks
//! that have lost their end. Nothing here may start an appliance.

mod common;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::small::{self, Root, Shape, Table};
use common::{Outcome, outcome, run, scratch, tib};
use fs_err as fs;

const MIB: u64 = 1 << 20;

/// A command where no appliance can start.
fn at_rest(arguments: &[&str], image: &Path, more: &[&str]) -> Outcome {
    let mut command = tib();
    command.args(arguments).arg(image).args(more);
    outcome(command.env("LIBGUESTFS_HV", "/nonexistent/hypervisor"))
}

/// Every command that opens an image refuses this one, with these words.
#[track_caller]
fn refused_by_all(image: &Path, words: &[&str]) {
    let place = scratch();
    let (output, cache) = (place.path().join("image.qcow2"), place.path().join("cache"));
    let more = ["-o", output.to_str().unwrap(), "--dry-run", "--cache-dir", cache.to_str().unwrap()];
    let commands: [(&[&str], &[&str]); 6] = [
        (&["ls"], &["/etc"]),
        (&["cat"], &["/etc/os-release"]),
        (&["inspect"], &[]),
        (&["inspect", "--only", "packages"], &[]),
        (&["verify"], &[]),
        (&["build", "common", "--base"], &more),
    ];
    for (command, more) in commands {
        let found = at_rest(command, image, more);
        for word in words {
            assert!(found.stderr.contains(word), "{command:?}: no `{word}` in\n{}", found.stderr);
        }
        assert!(!found.stderr.contains("appliance"), "{command:?}: {}", found.stderr);
        assert_eq!(found.code, Some(5), "{command:?}: {}", found.stderr);
    }
}

/// A disk of `mib` MiB with a table that sfdisk writes.
fn disk(place: &Path, mib: u64, script: &str) -> PathBuf {
    let path = place.join("disk.raw");
    fs::File::create(&path).unwrap().set_len(mib * MIB).unwrap();
    fs::write(place.join("script"), script).unwrap();
    run("sh", &[&"-c", &"sfdisk -q \"$0\" <\"$1\"", &path, &place.join("script")]);
    path
}

/// A small system with this fstab, put onto a disk at a MiB as a file system of so many.
fn system(place: &Path, disk: &Path, fstab: &str, at: u64, mib: u64) {
    let root = place.join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/os-release"), "ID=debian\nVERSION_ID=12\n").unwrap();
    fs::write(root.join("etc/fstab"), fstab).unwrap();
    let (offset, size) = (format!("offset={}", at * MIB), format!("{mib}M"));
    run("mke2fs", &[&"-q", &"-F", &"-t", &"ext4", &"-d", &root, &"-E", &offset, &disk, &size]);
}

fn put(disk: &Path, at: u64, bytes: &[u8]) {
    let disk = std::fs::OpenOptions::new().write(true).open(disk).unwrap();
    disk.write_all_at(bytes, at).unwrap();
}

/// The first 4 KiB of what cryptsetup 2.6.1 made: LUKS1, then LUKS2.
fn luks() -> [Vec<u8>; 2] {
    let place = scratch();
    let path = place.path().join("headers");
    fs::write(path.with_extension("xz"), include_bytes!("fixtures/luks-headers.xz")).unwrap();
    run("sh", &[&"-c", &"xz -dc \"$0.xz\" >\"$0\"", &path]);
    let bytes = fs::read(path).unwrap();
    [bytes[..4096].to_vec(), bytes[4096..].to_vec()]
}

#[test]
fn an_encrypted_root_is_said_to_be_encrypted() {
    let place = scratch();
    for (header, name) in luks().iter().zip(["LUKS1", "LUKS2"]) {
        let image = disk(place.path(), 300, "label: gpt\nsize=100M\nsize=180M\n");
        put(&image, 101 * MIB, header);
        let locked = format!("partition 2 is encrypted ({name}), and tib cannot unlock it");
        refused_by_all(&image, &[&locked, "hint: give an image that is not encrypted"]);
        // The disk is told of all the same.
        let found = at_rest(&["inspect"], &image, &["--only", "disk"]);
        let uuid = if name == "LUKS1" { "0badc0de-1111-4222-8333-444444444441" } else { "444444444442" };
        assert!(found.stdout.contains("luks") && found.stdout.contains(uuid), "{}", found.stdout);
        found.expect(0);
        // On a disk without partitions, and on a logical volume.
        let whole = place.path().join("whole.raw");
        fs::write(&whole, header).unwrap();
        fs::OpenOptions::new().write(true).open(&whole).unwrap().set_len(80 * MIB).unwrap();
        // What is encrypted from its first byte on has no other format, if it is raw.
        let plain = at_rest(&["ls"], &whole, &["/etc"]);
        assert!(plain.stderr.contains("is refused: it is an encrypted (LUKS) image"), "{}", plain.stderr);
        plain.expect(5);
        let (raw, whole) = (whole, place.path().join("whole.qcow2"));
        run("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"qcow2", &raw, &whole]);
        refused_by_all(&whole, &[&format!("the disk without partitions is encrypted ({name})")]);
        let base = small::base(&Shape { table: Table::None, root: Root::Lvm, ..Shape::default() });
        let volume = place.path().join("volume.raw");
        run("qemu-img", &[&"convert", &"-O", &"raw", &base, &volume]);
        put(&volume, MIB, header);
        refused_by_all(&volume, &[&format!("the logical volume vg/root is encrypted ({name})")]);
    }
    // What is mounted from within it is not left out either.
    let image = disk(place.path(), 300, "label: gpt\nsize=100M\nsize=180M\n");
    system(place.path(), &image, "/dev/mapper/data /var/lib/mysql ext4 nofail 0 2\n", 1, 64);
    put(&image, 101 * MIB, &luks()[1]);
    refused_by_all(&image, &["`/dev/mapper/data` at /var/lib/mysql", "encrypted (partition 2)"]);
    system(place.path(), &image, "", 1, 64);
    at_rest(&["ls"], &image, &["/etc"]).expect(0);
}

#[test]
fn a_root_on_a_logical_volume_is_read_without_an_appliance() {
    for table in [Table::Gpt, Table::Mbr, Table::None] {
        let base = small::base(&Shape { table, root: Root::Lvm, ..Shape::default() });
        let found = at_rest(&["--explain", "cat"], &base, &["/etc/fstab"]);
        assert!(found.stderr.contains("/ is ext4 in the logical volume vg/root"), "{}", found.stderr);
        assert!(found.expect(0).contains("/dev/mapper/vg-root / ext4"));
        let found = at_rest(&["inspect", "--only", "disk"], &base, &[]).expect(0);
        let volume = found.lines().find(|line| line.contains("vg/root")).unwrap();
        assert!(
            volume.contains("380 MiB") && volume.contains("linear") && volume.contains("ext4"),
            "{volume}"
        );
    }
}

/// Volumes of a cloud, the line that Trove's own agent writes, servers, files, what programs and the kernel bring.
#[test]
fn what_other_disks_bring_is_not_needed() {
    let place = scratch();
    let missing = [
        "/dev/disk/by-id/virtio-5a9e2c70-1b1f-4d0c-a /var/lib/postgresql ext4 defaults 0 2",
        "/dev/disk/by-path/virtio-pci-0000:00:07.0 /var/lib/cassandra xfs defaults 0 2",
        "ID=scsi-0QEMU_QEMU_HARDDISK_5a9e2c70 /var/lib/redis ext4 defaults 0 2",
        "/dev/vdb\t/var/lib/mysql\text3\tdefaults,noatime\t0\t0",
        "/dev/rbd0 /srv/rbd xfs _netdev 0 0",
        "/dev/rbd/volumes/volume-1 /srv/rbd2 xfs _netdev 0 0",
        "/dev/mapper/mpatha /srv/san xfs _netdev 0 0",
        "UUID=6d5a1f5e-0000-4000-8000-000000000000 /srv/a\\040b ext4 defaults 0 2",
        "PARTLABEL=data /srv/data auto defaults 0 2",
        "//server/share /srv/share auto credentials=/etc/x 0 0",
        "server:/export /srv/export auto _netdev 0 0",
        "/var/lib/data.img /srv/file ext4 loop 0 0",
        "tank/data /srv/tank zfs defaults 0 0",
    ];
    let quiet = [
        "/dev/disk/by-id/virtio-1 /mnt/volume ext4 defaults 0 2",
        "/dev/vdb /srv/later ext4 nofail 0 2",
        "/dev/vdc /srv/never ext4 noauto 0 2",
        "rpc_pipefs /var/lib/nfs/rpc_pipefs rpc_pipefs defaults 0 0",
        "nfsd /proc/fs/nfsd nfsd defaults 0 0",
        "fs-0123:/ /efs efs _netdev 0 0",
        "share /host vboxsf defaults 0 0",
        "/a:/b /pool fuse.mergerfs defaults 0 0",
        "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0",
    ];
    let bound: String = (0..250).map(|n| format!("/etc /jail{n} none bind 0 0\n")).collect();
    let fstab = format!("{}\n{}\n{bound}", missing.join("\n"), quiet.join("\n"));
    let image = disk(place.path(), 80, "label: gpt\nsize=64M\n");
    system(place.path(), &image, &fstab, 1, 64);
    let found = at_rest(&["cat"], &image, &["/jail249/os-release"]);
    for line in missing {
        let mut words = line.split_ascii_whitespace();
        let (name, point) = (words.next().unwrap(), words.next().unwrap().replace("\\040", " "));
        let told = format!("`{name}`, which /etc/fstab mounts at {point}, is ");
        assert!(found.stderr.contains(&told), "no `{told}` in\n{}", found.stderr);
    }
    assert_eq!(
        found.stderr.matches(", which /etc/fstab mounts at ").count(),
        missing.len(),
        "{}",
        found.stderr
    );
    assert!(found.expect(0).contains("ID=debian"));
    let found = at_rest(&["--quiet", "--explain", "ls"], &image, &["/etc"]);
    assert!(!found.stderr.contains("/dev/vdb"), "{}", found.stderr);
    found.expect(0);
}

/// By fdisk, with a file system that begins where only sectors of 4096 bytes make it begin.
#[test]
fn a_master_boot_record_of_large_sectors_is_read() {
    let place = scratch();
    let image = place.path().join("disk.raw");
    fs::File::create(&image).unwrap().set_len(80 * MIB).unwrap();
    let table = "printf 'o\\nn\\np\\n1\\n256\\n+64M\\nw\\n' | fdisk -b 4096 \"$0\"";
    run("sh", &[&"-c", &table, &image]);
    system(place.path(), &image, "/dev/vda1 / ext4 defaults 0 1\n", 1, 64);
    assert!(at_rest(&["ls"], &image, &["/etc"]).expect(0).contains("os-release"));
}

/// libguestfs' lists of packages, by which an appliance would be made here, without these.
fn without(place: &Path, packages: &[&str]) -> PathBuf {
    let (from, to) =
        (PathBuf::from("/usr/lib/x86_64-linux-gnu/guestfs/supermin.d"), place.join("supermin.d"));
    let from = if from.exists() { from } else { PathBuf::from("/usr/lib64/guestfs/supermin.d") };
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().contains("packages") {
            let text = fs::read_to_string(&path).unwrap();
            let left: Vec<&str> = text.lines().filter(|line| !packages.contains(line)).collect();
            fs::write(to.join(path.file_name().unwrap()), left.join("\n")).unwrap();
        }
    }
    place.to_owned()
}

/// LVM needs its tools in any case, to be found; XFS and Btrfs need theirs to grow.
#[test]
fn tools_that_this_host_lacks_are_named_before_an_appliance_starts() {
    let (archive, place) = (small::archive(), scratch());
    let path = without(place.path(), &["lvm2", "xfsprogs", "btrfs-progs"]);
    for (root, name, install) in [
        (Root::Lvm, "LVM", "lvm2"),
        (Root::Xfs, "XFS", "libguestfs-xfs and xfsprogs"),
        (Root::Btrfs, "Btrfs", "btrfs-progs"),
    ] {
        let base = small::base(&Shape { root, ..Shape::default() });
        for (recipe, grows) in [("small-large", true), ("small-site", false)] {
            let mut command = tib();
            command.args(archive.build(recipe, &base, &place.path().join("image.qcow2")));
            command.env("LIBGUESTFS_PATH", &path).env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
            let found = outcome(&mut command);
            let words = format!("is on {name}, and this host's appliance has no tools for that");
            let hint = format!("hint: install {install} (`make setup` does");
            let refused = found.stderr.contains(&words) && found.stderr.contains(&hint);
            assert_eq!(refused, grows || root == Root::Lvm, "{recipe} on {name}: {}", found.stderr);
            // Otherwise it goes on until there is no hypervisor.
            assert_eq!(
                refused,
                !found.stderr.contains("appliance did not start"),
                "{recipe}: {}",
                found.stderr
            );
            found.expect(7);
        }
    }
    let mut doctor = tib();
    doctor.arg("doctor").env("LIBGUESTFS_PATH", &path).env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
    let found = outcome(&mut doctor);
    assert!(found.stdout.contains("no tools for XFS, Btrfs, LVM"), "{}", found.stdout);
    let install = "install libguestfs-xfs and xfsprogs, btrfs-progs, lvm2";
    assert!(found.stdout.contains(install), "{}", found.stdout);
    found.expect(7);
}

/// A copy that stopped too early, of a disk whose last partition has more than its file system needs.
#[test]
fn what_fits_a_disk_that_was_cut_is_read() {
    let place = scratch();
    let image = disk(place.path(), 80, "label: dos\nstart=2048, size=72M, type=83\n");
    system(place.path(), &image, "", 1, 48);
    let cut = |mib: u64| fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(mib * MIB).unwrap();
    cut(56);
    assert!(at_rest(&["ls"], &image, &["/etc"]).expect(0).contains("os-release"));
    let found = at_rest(&["inspect", "--only", "disk"], &image, &[]).expect(0);
    assert!(found.contains("55 MiB"), "{found}");
    cut(40);
    let words = ["partition 1 has 39 MiB, and its ext4 needs 48 MiB: the image has lost its end"];
    refused_by_all(&image, &words);
}

/// XFS, Btrfs and LVM, with a partition table and without.
#[test]
fn what_has_lost_its_end_is_damaged_for_every_command() {
    for (root, name) in [(Root::Xfs, "XFS"), (Root::Btrfs, "Btrfs"), (Root::Lvm, "LVM"), (Root::Ext4, "ext4")]
    {
        for (table, what) in [(Table::None, "the disk without partitions"), (Table::Mbr, "partition 1")] {
            let base = small::base(&Shape { table, root, ..Shape::default() });
            let place = scratch();
            let cut = place.path().join("cut.raw");
            run("qemu-img", &[&"convert", &"-O", &"raw", &base, &cut]);
            fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(320 * MIB).unwrap();
            let words =
                [&format!("{what} has 3"), &format!(", and its {name} needs"), "the image has lost its end"];
            refused_by_all(&cut, &words.map(|word| word as &str));
        }
    }
}
