use super::*;
use crate::disk::PartitionLayout;
use crate::disk::VolumeContent;
use crate::os::testing::{self, MemTree};
use crate::report::Outcome;

/// A disk with a root, an ESP, and a third partition of this kind.
fn layout(third: Option<&str>) -> Layout {
    let mut layout = testing::layout(None, &[]);
    let template = layout.partitions.remove(0);
    let volume = |number: u32, kind: Option<&str>, uuid: &str, label: &str| PartitionLayout {
        number,
        id: Some(format!("p-{number}")),
        label: Some(format!("part {number}")),
        content: kind.map(|kind| VolumeContent {
            kind: kind.to_owned(),
            uuid: Some(uuid.to_owned()),
            label: Some(label.to_owned()),
            ..VolumeContent::default()
        }),
        ..template.clone()
    };
    layout.partitions =
        vec![volume(1, Some("ext4"), "aa-bb", "root"), volume(15, Some("vfat"), "CC-DD", "UEFI")];
    layout.partitions.extend((third != Some("")).then(|| volume(3, third, "ee", "three")));
    layout
}

fn found(fstab: &str, layout: &Layout, command_line: &str) -> Vec<String> {
    let mut tree = MemTree::new().file("/etc/fstab", fstab);
    let results = check(&mut tree, layout, Some(command_line));
    let failed = results.into_iter().filter_map(|result| match result.outcome {
        Outcome::Passed => None,
        Outcome::Failed { found } => Some(format!("{}: {found}", result.title)),
        Outcome::NotChecked { reason } => Some(reason),
    });
    failed.collect()
}

#[test]
fn what_the_image_does_not_have_cannot_be_mounted() {
    for (line, is_missing) in [
        ("UUID=aa-bb / ext4 defaults 0 1", false),
        ("UUID=AA-BB / ext4 defaults 0 1", false),
        ("LABEL=UEFI /boot/efi vfat umask=0077 0 1", false),
        ("PARTUUID=p-15 /boot/efi vfat", false),
        ("PARTLABEL=part\\0401 / ext4", false),
        ("UUID=gone / ext4 errors=remount-ro 0 1", true),
        ("UUID=gone /boot/efi vfat umask=0077 0 1", true),
        ("LABEL=gone /boot ext4", true),
        ("PARTUUID=gone /data ext4", true),
        ("PARTLABEL=gone /data ext4", true),
        ("/dev/disk/by-uuid/gone /data ext4", true),
        ("UUID=gone /data ext4 defaults,nofail", false),
        ("UUID=gone /data ext4 noauto", false),
        ("UUID=gone /data ext4 noauto,x-systemd.automount", false),
        ("UUID=gone /data ext4 x-systemd.automount", false),
        ("UUID=gone /data ext4 _netdev", false),
        ("UUID=gone none swap sw", false),
        ("UUID=gone /data nfs4 defaults", false),
        ("LABEL=config-2 /mnt/config iso9660 ro", false),
        ("LABEL=CONFIG-2 /mnt/config vfat ro", false),
        // Disks that an instance gets.
        ("/dev/vdb /data ext4", false),
        ("/dev/vg/data /data ext4", false),
        ("tmpfs /tmp tmpfs\n# UUID=gone /data ext4", false),
        ("/srv /data none bind", false),
    ] {
        let told = found(line, &layout(Some("")), "");
        assert_eq!(told.len(), usize::from(is_missing), "{line}: {told:?}");
        assert!(told.iter().all(|told| told.ends_with(", which the image does not have")), "{told:?}");
    }
}

#[test]
fn what_may_be_within_something_unknown_is_not_missing() {
    for (third, is_missing) in
        [(Some("xfs"), true), (Some("swap"), true), (Some("luks"), false), (None, false)]
    {
        let layout = layout(third);
        assert_eq!(found("UUID=gone /data ext4", &layout, "").len(), usize::from(is_missing), "{third:?}");
        assert_eq!(found("PARTUUID=gone /data ext4", &layout, "").len(), 1, "the table tells");
    }
    let mut bare = layout(Some(""));
    bare.partitions.clear();
    assert_eq!(found("UUID=gone /data ext4\nPARTUUID=gone /x ext4", &bare, ""), [""; 0]);
}

#[test]
fn a_root_that_stays_read_only_fails() {
    let wrong = "its root can be written to: /etc/fstab mounts / with `ro`";
    for (fstab, command_line, expected) in [
        ("UUID=aa-bb / ext4 ro 0 1", "ro", Some(wrong)),
        ("UUID=aa-bb / ext4 rw,ro 0 1", "rw", Some(wrong)),
        ("UUID=aa-bb / ext4 ro,rw 0 1", "ro", None),
        ("UUID=aa-bb / ext4 errors=remount-ro 0 1", "ro", None),
        ("UUID=aa-bb / btrfs ro 0 1\nUUID=aa-bb /var btrfs subvol=var", "ro", None),
        ("UUID=aa-bb / ext4 ro\ntmpfs /var tmpfs", "ro", None),
        ("UUID=aa-bb / ext4 ro 0 1", "ro overlayroot=tmpfs", None),
        ("UUID=aa-bb /boot ext4 ro 0 1", "ro", None),
    ] {
        assert_eq!(
            found(fstab, &layout(Some("")), command_line).first().map(String::as_str),
            expected,
            "{fstab}"
        );
    }
}
