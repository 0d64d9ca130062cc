//! Which partitions and logical volumes an image's `/etc/fstab` means.

use super::fstab::{FstabEntry, Names, Spec};
use super::place::Place;
use super::{DiskError, Partition};
use crate::filesystem::is_native;
use crate::filesystem::{FileSystem, FileSystemKind};

/// A partition or logical volume, and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) place: Place,
    /// As the partition table has it. A logical volume counts as one from 0 to its end.
    pub(super) partition: Partition,
    pub(super) content: Option<FileSystem>,
    /// Nothing at all lies in it.
    pub(super) is_blank: bool,
}

impl Volume {
    fn names(&self) -> Names<'_> {
        let content = self.content.as_ref();
        let (number, logical) = match &self.place {
            Place::Partition(number) => (Some(*number), None),
            Place::Logical(volume) => (None, Some(volume)),
        };
        Names {
            uuid: content.and_then(|content| content.uuid.as_deref()),
            label: content.and_then(|content| content.label.as_deref()),
            part_uuid: self.partition.id.as_deref(),
            part_label: self.partition.label.as_deref(),
            number,
            logical: logical.map(|volume| (volume.group.as_str(), volume.name.as_str())),
            mapper_id: logical.map(|volume| volume.mapper_id.as_str()),
        }
    }

    pub(super) fn is(&self, spec: &Spec) -> bool {
        spec.means(&self.names())
    }

    pub(super) fn kind(&self) -> Option<FileSystemKind> {
        self.content.as_ref().map(|content| content.kind)
    }

    /// Whether file systems may lie in it that tib does not see.
    fn may_hide(&self) -> bool {
        match self.kind() {
            None => !self.is_blank && !self.partition.kind.is_boot_code(),
            Some(kind) => matches!(kind, FileSystemKind::Lvm | FileSystemKind::Luks | FileSystemKind::Raid),
        }
    }

    /// Why what is in it is not read, as the end of a sentence.
    fn unread(&self) -> String {
        match (&self.place, self.kind()) {
            (Place::Logical(volume), None) if let Err(reason) = &volume.map => {
                format!(" is on {volume}, which{reason}: that is not read natively")
            }
            (_, Some(kind)) => format!(" is {}, which tib does not read natively", kind.name()),
            (_, None) => " holds something that tib does not know".to_owned(),
        }
    }
}

/// The volume that an entry mounts; `None` if the image does not have it.
///
/// # Errors
/// [`DiskError::Unsupported`] when it is, or may be, something that tib does not read by itself; [`DiskError::Locked`] when
/// that is encrypted.
pub(super) fn volume_of(entry: &FstabEntry, volumes: &[Volume]) -> Result<Option<usize>, DiskError> {
    let FstabEntry { spec, name, point, .. } = entry;
    if let Some(index) = volumes.iter().position(|volume| volume.is(spec)) {
        let volume = &volumes[index];
        return match volume.kind() {
            Some(kind) if is_native(kind) => Ok(Some(index)),
            Some(FileSystemKind::Luks) => Err(DiskError::Locked(format!(
                "/etc/fstab mounts {} at {point}, which is encrypted",
                volume.place
            ))),
            _ => Err(DiskError::Unsupported(format!("{point}{}", volume.unread()))),
        };
    }
    if !matches!(spec, Spec::Uuid(_) | Spec::Label(_) | Spec::Other(_)) {
        return Ok(None);
    }
    // What nothing is called may be within something.
    let hiding: Vec<&Volume> = volumes.iter().filter(|volume| volume.may_hide()).collect();
    let reason = format!("/etc/fstab mounts `{name}` at {point}, which may be in what");
    match hiding.iter().find(|volume| volume.kind() != Some(FileSystemKind::Luks)) {
        Some(_) => Err(DiskError::Unsupported(format!("{reason} tib does not read natively"))),
        None if hiding.is_empty() => Ok(None),
        None => Err(DiskError::Locked(format!("{reason} is encrypted ({})", hiding[0].place))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fstab;
    use super::super::partition::Kind;
    use super::*;

    fn volume(number: u32, content: Option<(FileSystemKind, &str, Option<&str>)>) -> Volume {
        let partition = Partition {
            number,
            start: 0,
            length: 1,
            kind: Kind::Mbr(0x83),
            label: Some(format!("part {number}")),
            id: Some(format!("p-{number}")),
        };
        let content = content.map(|(kind, uuid, label)| FileSystem {
            kind,
            uuid: Some(uuid.to_owned()),
            label: label.map(str::to_owned),
        });
        Volume { place: Place::Partition(number), partition, content, is_blank: false }
    }

    /// What is mounted where, or what is said.
    fn mounted(fstab: &str, volumes: &[Volume]) -> Result<Vec<(String, usize)>, String> {
        let mut found = Vec::new();
        for entry in fstab::to_mount(&fstab::parse(fstab)).unwrap() {
            if let Some(volume) = volume_of(&entry, volumes).map_err(|error| error.to_string())? {
                found.push((entry.point, volume));
            }
        }
        Ok(found)
    }

    /// Mount points and the volumes on them, or what is said.
    type Expected<'a> = Result<&'a [(&'a str, usize)], &'a str>;

    #[track_caller]
    fn check(volumes: &[Volume], cases: &[(&str, Expected<'_>)]) {
        for (fstab, expected) in cases {
            let expected = expected.map_err(str::to_owned).map(|mounts| {
                mounts.iter().map(|(point, index)| ((*point).to_owned(), *index)).collect::<Vec<_>>()
            });
            assert_eq!(mounted(fstab, volumes), expected, "{fstab}");
        }
    }

    fn volumes() -> Vec<Volume> {
        vec![
            volume(1, Some((FileSystemKind::Ext, "aa", Some("root")))),
            volume(2, Some((FileSystemKind::Ext, "bb", Some("my data")))),
            volume(3, Some((FileSystemKind::Squashfs, "cc", Some("squash")))),
            volume(15, Some((FileSystemKind::Vfat, "dd-ee", Some("ESP")))),
        ]
    }

    #[test]
    fn fstab_is_read_as_the_guest_would() {
        check(
            &volumes(),
            &[
                ("", Ok(&[])),
                ("# LABEL=x /var ext4\n\nUUID=aa / ext4 errors=remount-ro 0 1\n", Ok(&[])),
                ("UUID=BB /var/ ext4 defaults 0 2", Ok(&[("/var", 1)])),
                ("LABEL=my\\040data /a\\040b ext4", Ok(&[("/a b", 1)])),
                ("PARTUUID=P-2 /var/lib ext4\n/dev/vda1 /var ext4", Ok(&[("/var", 0), ("/var/lib", 1)])),
                ("UUID=DD-EE /boot/efi vfat umask=077 0 1", Ok(&[("/boot/efi", 3)])),
                ("LABEL=ESP /efi vfat noauto,x-systemd.automount", Ok(&[("/efi", 3)])),
                ("PARTLABEL=part\\0402 /x ext4", Ok(&[("/x", 1)])),
                ("tmpfs /usr tmpfs\nserver:/x /var nfs\nUUID=q none swap sw", Ok(&[])),
                ("LABEL=MY\\040DATA /a ext4 nofail\nPARTLABEL=PART\\0402 /b ext4 nofail", Ok(&[])),
                ("UUID=gone /var ext4 nofail\nUUID=gone /usr ext4 noauto\nUUID=gone /mnt/x auto", Ok(&[])),
                ("LABEL=squash /usr squashfs noauto", Ok(&[])),
                ("/dev/sr0 /media/cdrom0 udf,iso9660 user\n/dev/cdrom /srv iso9660 ro", Ok(&[])),
            ],
        );
    }

    #[test]
    fn what_is_there_and_not_read_natively_is_never_left_out() {
        let squash = |point: &str| format!("{point} is SquashFS, which tib does not read natively");
        let (boot, mnt, usr) = (squash("/boot"), squash("/mnt/x"), squash("/usr"));
        check(
            &volumes(),
            &[
                ("LABEL=squash /boot squashfs", Err(&boot)),
                ("LABEL=squash /mnt/x squashfs", Err(&mnt)),
                ("LABEL=squash /usr squashfs nofail", Err(&usr)),
                // What is not on the disk is not there to be left out.
                ("/dev/mapper/vg-var /var ext4\nUUID=gone /opt ext4\n/dev/sdb1 /boots ext4", Ok(&[])),
                ("/dev/disk/by-id/virtio-5a9e2c70 /var/lib/postgresql ext4 defaults 0 2", Ok(&[])),
            ],
        );
    }

    #[test]
    fn what_no_partition_is_called_may_be_within_one() {
        let mut volumes = volumes();
        volumes.push(volume(4, Some((FileSystemKind::Lvm, "ee", None))));
        let hidden = |name: &str| {
            format!("/etc/fstab mounts `{name}` at /mnt/x, which may be in what tib does not read natively")
        };
        let (logical, label) = (hidden("/dev/vg/data"), hidden("LABEL=data"));
        let by_id = hidden("/dev/disk/by-id/dm-name-vg-data");
        check(
            &volumes,
            &[
                ("/dev/vg/data /mnt/x ext4 nofail", Err(&logical)),
                ("LABEL=data /mnt/x ext4 nofail", Err(&label)),
                ("/dev/vdb /mnt/x ext4 nofail\n/dev/rbd0 /var ext4 _netdev\n/a.img /b ext4 loop", Ok(&[])),
                ("/dev/disk/by-path/virtio-pci-0000:00:07.0 /var ext4", Ok(&[])),
                ("/dev/disk/by-id/dm-name-vg-data /mnt/x ext4", Err(&by_id)),
                ("PARTUUID=data /mnt/x ext4 nofail", Ok(&[])),
            ],
        );
        volumes.pop();
        volumes.push(volume(4, Some((FileSystemKind::Luks, "ee", None))));
        let locked = "/etc/fstab mounts `/dev/mapper/crypt` at /srv, which may be in what is encrypted (partition 4), and tib \
                      cannot unlock it";
        let named = "/etc/fstab mounts partition 4 at /srv, which is encrypted, and tib cannot unlock it";
        check(
            &volumes,
            &[
                ("/dev/mapper/crypt /srv ext4 nofail", Err(locked)),
                ("/dev/vda4 /srv ext4", Err(named)),
                ("/dev/vdb /srv ext4", Ok(&[])),
            ],
        );
        volumes.pop();
        volumes.push(volume(4, None));
        check(
            &volumes,
            &[
                ("LABEL=data /mnt/x ext4 nofail", Err(&label)),
                ("PARTUUID=p-4 /srv auto nofail", Err("/srv holds something that tib does not know")),
            ],
        );
        // Nothing hides where there is nothing, nor in a boot loader's code.
        let elsewhere = &[("LABEL=data /mnt/x ext4", Ok(&[][..]))];
        volumes[4].is_blank = true;
        check(&volumes, elsewhere);
        volumes[4].is_blank = false;
        for kind in [
            Kind::Mbr(0x41),
            Kind::Gpt("9e1a2d38-c612-4316-aa26-8b49521e5a8b".to_owned()),
            Kind::Gpt("21686148-6449-6e6f-744e-656564454649".to_owned()),
        ] {
            volumes[4].partition.kind = kind;
            check(&volumes, elsewhere);
        }
    }
}
