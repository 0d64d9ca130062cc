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
        ("/dev/sdb1", Spec::OtherDisk("/dev/sdb1".into())),
        ("/dev/nvme1n1", Spec::OtherDisk("/dev/nvme1n1".into())),
        ("/dev/sr0", Spec::Medium("/dev/sr0".into())),
        ("/dev/cdrom", Spec::Medium("/dev/cdrom".into())),
        ("/dev/srv", Spec::Other("/dev/srv".into())),
        ("/dev/sda", Spec::Other("/dev/sda".into())),
        ("/dev/mapper/vg-root", Spec::Other("/dev/mapper/vg-root".into())),
        ("/dev/vdisk/home", Spec::Other("/dev/vdisk/home".into())),
    ] {
        assert_eq!(parse_spec(text, "ext4"), spec, "{text}");
    }
    assert_eq!(parse_spec("LABEL=config-2", "iso9660"), Spec::Medium("LABEL=config-2".into()));
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
    assert!(points(&"LABEL=a /a ext4\n".repeat(201)).contains("more than 200"));
}

#[test]
fn volumes_are_matched_by_every_kind_of_name() {
    let names = Names {
        uuid: Some("AB12-0F"),
        label: Some("root"),
        part_uuid: Some("9f-1"),
        part_label: Some("p"),
        number: Some(2),
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
        (Spec::Other("/dev/mapper/x".into()), false),
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
