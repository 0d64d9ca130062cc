use super::*;
use proptest::prelude::*;

#[test]
fn specs_of_all_kinds_are_read() {
    for (text, spec) in [
        ("UUID=ab-1", Spec::Uuid("ab-1".into())),
        ("UUID=\"ab-1\"", Spec::Uuid("ab-1".into())),
        ("/dev/disk/by-uuid/ab", Spec::Uuid("ab".into())),
        ("LABEL=cloudimg-rootfs", Spec::Label("cloudimg-rootfs".into())),
        ("PARTUUID=1-2", Spec::PartUuid("1-2".into())),
        ("PARTLABEL=boot", Spec::PartLabel("boot".into())),
        ("/dev/vda15", Spec::Partition(15)),
        ("/dev/nvme0n1p2", Spec::Partition(2)),
        ("/dev/sr0", Spec::Medium("/dev/sr0".into())),
        ("/dev/cdrom", Spec::Medium("/dev/cdrom".into())),
        ("/dev/vda", Spec::Partition(0)),
        ("/dev/nvme0n1", Spec::Partition(0)),
        ("/dev/disk/by-label/my\\x20data", Spec::Label("my data".into())),
        ("/dev/disk/by-partlabel/a\\x2fb\\xZZ", Spec::PartLabel("a/b\\xZZ".into())),
        ("/dev/mapper/vg-root", Spec::Other("mapper/vg-root".into())),
        ("/dev/vg/root", Spec::Other("vg/root".into())),
        ("/dev/srv", Spec::Other("srv".into())),
        ("/dev/md0", Spec::Other("md0".into())),
        ("/dev/md/data", Spec::Other("md/data".into())),
        ("/dev/dm-3", Spec::Other("dm-3".into())),
        ("/dev/vdisk/home", Spec::Other("vdisk/home".into())),
        ("/dev/disk/by-id/dm-name-vg-x", Spec::Other("disk/by-id/dm-name-vg-x".into())),
        ("ID=dm-name-vg-x", Spec::Other("disk/by-id/dm-name-vg-x".into())),
        ("/dev/disk/by-id/md-uuid-1:2", Spec::Other("disk/by-id/md-uuid-1:2".into())),
        ("/srv/disk.img", Spec::File("/srv/disk.img".into())),
    ] {
        assert_eq!(parse_spec(text, "ext4", &OwnDisk::default()), spec, "{text}");
    }
    for text in [
        "/dev/sdb1",
        "/dev/vdb",
        "/dev/nvme1n1",
        "/dev/rbd0",
        "/dev/rbd/pool/image",
        "/dev/nbd0p1",
        "/dev/loop7",
        "/dev/zram1",
        "/dev/pmem0s",
        "/dev/dasda1",
        "/dev/disk/by-id/virtio-5a9e2c70-1b1f-4d0c-a",
        "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_1-part1",
        "/dev/disk/by-path/pci-0000:00:05.0-part1",
        "/dev/disk/by-path/virtio-pci-0000:00:07.0",
        "/dev/disk/by-diskseq/3",
        "ID=wwn-0x5002538e40b0c1a2",
        "//server/share",
        "server:/export",
        "[fe80::1]:/export",
        "10.0.0.1:6789,10.0.0.2:6789:/",
        "user@host:",
        "tank/data",
        "none",
    ] {
        let spec = parse_spec(text, "auto", &OwnDisk::default());
        assert!(matches!(spec, Spec::OtherDisk(_)), "{text}: {spec:?}");
    }
    assert_eq!(parse_spec("tank/data", "zfs", &OwnDisk::default()), Spec::Other("tank/data".into()));
    assert_eq!(
        parse_spec("LABEL=config-2", "iso9660", &OwnDisk::default()),
        Spec::Medium("LABEL=config-2".into())
    );
}

#[test]
fn what_can_lie_on_a_disk_is_kept() {
    let text = "# comment\n\
        UUID=e /boot/efi/ vfat umask=0077 0 1\n\
        LABEL=r / ext4 errors=remount-ro 0 1\n\
        LABEL=b //boot/. ext4 defaults,nofail 0 2\n\
        UUID=s none swap sw 0 0\n\
        tmpfs /tmp tmpfs defaults 0 0\n\
        server:/x /mnt nfs defaults 0 0\n\
        a#b /sshfs fuse.sshfs defaults\n\
        overlay /merged overlay lowerdir=/a,upperdir=/b\n\
        server:/g /gluster glusterfs _netdev\n\
        LABEL=x /evil/../etc ext4 defaults\n\
        ../x /relative none bind\n\
        /srv /home none bind\n\
        /srv /all none rbind\n\
        LABEL=n /later ext4 noauto\n\
        LABEL=n /asked ext4 noauto,x-systemd.automount\n\
        LABEL=h /with\\040blank btrfs subvol=home,compress=zstd:1\n\
        short\n";
    let entries = parse(text);
    let points: Vec<&str> = entries.iter().map(|entry| entry.point.as_str()).collect();
    assert_eq!(points, ["/boot/efi", "", "/boot", "/home", "/all", "/later", "/asked", "/with blank"]);
    let is = |what: fn(&FstabEntry) -> bool| -> Vec<&str> {
        entries.iter().filter(|entry| what(entry)).map(|entry| entry.point.as_str()).collect()
    };
    assert_eq!(is(|entry| entry.optional), ["/boot"]);
    assert_eq!(is(|entry| entry.later), ["/later"]);
    assert_eq!(is(|entry| matches!(entry.spec, Spec::Bind { .. })), ["/home", "/all"]);
    assert_eq!(is(|entry| matches!(entry.spec, Spec::Bind { recursive: true, .. })), ["/all"]);
    assert_eq!(entries[7].options_named(&["subvol", "subvolid"]).collect::<Vec<_>>(), ["subvol=home"]);
    assert_eq!(entries[0].options_named(&["umask"]).collect::<Vec<_>>(), ["umask=0077"]);
}

#[test]
fn what_others_need_is_mounted_first() {
    let points = |text: &str| match to_mount(&parse(text)) {
        Ok(entries) => entries.iter().map(|entry| entry.point.clone()).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    };
    for (text, expected) in [
        ("LABEL=b /b/c ext4\nLABEL=a /b ext4\nLABEL=r / ext4\nLABEL=n /n ext4 noauto", "/b /b/c"),
        ("/data/x /a none bind\nLABEL=d /data ext4", "/data /a"),
        ("LABEL=l /a/log ext4\n/data/ /a none rbind\nLABEL=d /data ext4", "/data /a /a/log"),
        ("LABEL=x /a ext4\nLABEL=y /a ext4", "/a /a"),
        ("/a /a none bind", "/a"),
        ("/ /all none rbind\nLABEL=x /x ext4\nLABEL=y /all/y ext4", "/x /all /all/y"),
        ("/a /b none bind\n/b /a none bind", "damaged image: /etc/fstab mounts paths in a circle"),
    ] {
        assert_eq!(points(text), expected, "{text}");
    }
    let many: String = (0..5000).map(|n| format!("/srv/{n} /home/{} none bind\n", 4999 - n)).collect();
    assert_eq!(points(&many).split(' ').count(), 5000);
    assert!(points(&"LABEL=a /a ext4\n".repeat(5001)).contains("more than 5000"));
}

#[test]
fn the_disk_of_the_root_is_the_images() {
    for (root, name, number) in [
        ("LABEL=r", "/dev/vda2", Some(2)),
        ("LABEL=r", "/dev/sdb2", None),
        ("/dev/sdb1", "/dev/sdb2", Some(2)),
        ("/dev/sdb1", "/dev/sda2", None),
        ("/dev/vda1", "/dev/sda2", None),
        ("/dev/vda1", "/dev/vdaa2", None),
        ("/dev/vdb", "/dev/vdb", Some(0)),
        ("/dev/vdb", "/dev/vdb1", Some(1)),
        ("/dev/nvme1n1p2", "/dev/nvme1n1p1", Some(1)),
        ("/dev/nvme1n1p2", "/dev/nvme0n1p1", None),
        ("/dev/nvme1n1", "/dev/nvme1n1", Some(0)),
        ("/dev/disk/by-id/ata-QEMU_1-part2", "/dev/disk/by-id/ata-QEMU_1-part1", Some(1)),
        ("/dev/disk/by-id/ata-QEMU_1-part2", "/dev/disk/by-id/ata-QEMU_2-part1", None),
        ("/dev/disk/by-id/ata-QEMU_1-part2", "ID=ata-QEMU_1-part1", Some(1)),
        ("/dev/disk/by-path/pci-0000:00:05.0-part1", "/dev/disk/by-path/pci-0000:00:05.0-part3", Some(3)),
        ("/dev/disk/by-path/pci-0000:00:05.0-part1", "/dev/disk/by-path/pci-0000:00:06.0-part3", None),
        ("/dev/mapper/vg-root", "/dev/vda1", Some(1)),
        ("/dev/vg/root", "/dev/sda1", Some(1)),
        ("none", "/dev/sda1", Some(1)),
    ] {
        let entries = parse(&format!("{name} /boot ext4\n{root} / ext4\n"));
        let found = match entries[0].spec {
            Spec::Partition(number) => Some(number),
            _ => None,
        };
        assert_eq!(found, number, "{root} {name}");
    }
}

#[test]
fn what_the_image_does_not_have_is_said_where_it_matters() {
    let missed = |line: &str| parse(line)[0].missed().unwrap_or_default();
    assert_eq!(
        missed("/dev/vdb\t/var/lib/mysql\text3\tdefaults,noatime\t0\t0"),
        "`/dev/vdb`, which /etc/fstab mounts at /var/lib/mysql, is not on the image's disk: it is read without that"
    );
    assert_eq!(
        missed("/srv/x.img /data ext4 loop"),
        "`/srv/x.img`, which /etc/fstab mounts at /data, is a file system in a file: what is in it is not read"
    );
    for line in [
        "/dev/vdb /mnt auto defaults,nofail,comment=cloudconfig 0 2",
        "/dev/vdb /data ext4 nobootwait",
        "/dev/vdb1 /mnt/x ext4",
        "/dev/sr0 /srv iso9660 ro",
        "LABEL=gone /boot/efi vfat",
    ] {
        assert_eq!(missed(line), "", "{line}");
    }
}

#[test]
fn kinds_that_lie_on_no_disk_are_left_out() {
    for kind in [
        "rpc_pipefs",
        "nfsd",
        "efs",
        "vboxsf",
        "fuse.mergerfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse",
        "cifs",
        "nfs4",
        "virtiofs",
        "9p",
        "ceph",
        "glusterfs",
        "overlay",
        "tmpfs",
        "swap",
        "binfmt_misc",
        "cgroup2",
        "vmhgfs",
        "davfs",
        "nfs,nfs4",
        "beegfs",
        "s3fs",
        "resctrl",
    ] {
        assert!(parse(&format!("UUID=x /data {kind} defaults 0 0")).is_empty(), "{kind}");
    }
    for kind in
        ["ext4", "xfs", "btrfs", "vfat", "auto", "fuseblk", "ntfs-3g", "f2fs", "ext4,xfs", "gfs2", "ocfs2"]
    {
        assert_eq!(parse(&format!("UUID=x /data {kind} defaults 0 0")).len(), 1, "{kind}");
    }
}

#[test]
fn units_may_ask_for_what_is_not_mounted_at_once() {
    for (options, later) in [
        ("noauto", true),
        ("noauto,nofail", true),
        ("noauto,x-systemd.automount", false),
        ("noauto,comment=systemd.automount", false),
        ("noauto,x-systemd.wanted-by=a.target", false),
        ("noauto,x-systemd.required-by=a.service", false),
        ("noauto,x-systemd.requires=a.service", true),
        ("x-systemd.device-timeout=3,_netdev", false),
    ] {
        assert_eq!(parse(&format!("LABEL=x /x ext4 {options}"))[0].later, later, "{options}");
    }
}

#[test]
fn volumes_are_matched_by_every_kind_of_name() {
    let names = Names {
        uuid: Some("AB12-0F"),
        label: Some("root"),
        part_uuid: Some("9f-1"),
        part_label: Some("p"),
        number: Some(2),
        ..Names::default()
    };
    for (spec, matches) in [
        (Spec::Uuid("ab12-0f".into()), true),
        (Spec::Uuid("ab12".into()), false),
        (Spec::Label("root".into()), true),
        (Spec::Label("ROOT".into()), false),
        (Spec::PartUuid("9F-1".into()), true),
        (Spec::PartLabel("p".into()), true),
        (Spec::PartLabel("P".into()), false),
        (Spec::Partition(2), true),
        (Spec::Partition(1), false),
        (Spec::Other("mapper/x".into()), false),
    ] {
        assert_eq!(spec.means(&names), matches, "{spec:?}");
    }
    assert!(!Spec::Label(String::new()).means(&Names::default()));
}

proptest! {
    #[test]
    fn any_text_is_survived(text in ".*\\\\?[0-9]{0,3}.*") {
        for entry in parse(&text) {
            prop_assert!(entry.point.is_empty() || entry.point.starts_with('/'));
        }
        unescape(&text);
    }
}
