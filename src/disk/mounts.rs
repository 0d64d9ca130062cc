//! Which partitions an image's `/etc/fstab` means.

use super::filesystem::{FileSystem, FileSystemKind};
use super::fstab::{FstabEntry, Names, Spec, is_within};
use super::open_fs::is_native;
use super::{DiskError, Partition};

/// A partition and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) partition: Partition,
    pub(super) content: Option<FileSystem>,
}

/// Below these, nothing of an image's own is expected: what the image does not have is left out there.
const NOT_ITS_OWN: &[&str] = &["/boot", "/mnt", "/media", "/tmp", "/proc", "/sys", "/dev", "/run"];

impl Volume {
    fn names(&self) -> Names<'_> {
        let content = self.content.as_ref();
        Names {
            uuid: content.and_then(|content| content.uuid.as_deref()),
            label: content.and_then(|content| content.label.as_deref()),
            part_uuid: self.partition.id.as_deref(),
            part_label: self.partition.label.as_deref(),
            number: Some(self.partition.number),
        }
    }

    pub(super) fn is(&self, spec: &Spec) -> bool {
        spec.means(&self.names())
    }

    /// Whether file systems may lie in it that tib does not see.
    fn may_hide(&self) -> bool {
        match &self.content {
            None => !self.partition.kind.is_bios_boot(),
            Some(content) => {
                matches!(content.kind, FileSystemKind::Lvm | FileSystemKind::Luks | FileSystemKind::Raid)
            }
        }
    }
}

/// The volume that an entry mounts; `None` if the system does without it.
///
/// # Errors
/// [`DiskError::Unsupported`] when it is, or may be, something that tib does not read by itself.
pub(super) fn volume_of(entry: &FstabEntry, volumes: &[Volume]) -> Result<Option<usize>, DiskError> {
    let FstabEntry { spec, name, point, .. } = entry;
    let found = volumes.iter().position(|volume| volume.is(spec));
    let content = found.and_then(|index| volumes.get(index)).map(|volume| &volume.content);
    let reason = match content {
        Some(Some(content)) if is_native(content.kind) => {
            return Ok(found);
        }
        Some(Some(content)) => {
            format!("{point} is {}, which tib does not read natively", content.kind.name())
        }
        Some(None) => format!("{point} holds something that tib does not know"),
        None if matches!(spec, Spec::Medium(_)) => return Ok(None),
        None if may_be_hidden(spec, volumes) => {
            format!("/etc/fstab mounts `{name}` at {point}, which may be in what tib does not read natively")
        }
        None if entry.optional || NOT_ITS_OWN.iter().any(|top| is_within(point, top)) => return Ok(None),
        None => format!("/etc/fstab mounts `{name}` at {point}, which is not in the image"),
    };
    Err(DiskError::Unsupported(reason))
}

/// Whether what no partition is called may be within one of them.
fn may_be_hidden(spec: &Spec, volumes: &[Volume]) -> bool {
    matches!(spec, Spec::Uuid(_) | Spec::Label(_) | Spec::Other(_)) && volumes.iter().any(Volume::may_hide)
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
        Volume { partition, content }
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
                (
                    "/dev/mapper/vg-var /var ext4",
                    Err("/etc/fstab mounts `/dev/mapper/vg-var` at /var, which is not in the image"),
                ),
                (
                    "/dev/sdb1 /boots ext4",
                    Err("/etc/fstab mounts `/dev/sdb1` at /boots, which is not in the image"),
                ),
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
        check(
            &volumes,
            &[
                ("/dev/vg/data /mnt/x ext4 nofail", Err(&logical)),
                ("LABEL=data /mnt/x ext4 nofail", Err(&label)),
                ("/dev/vdb /mnt/x ext4 nofail", Ok(&[])),
                ("PARTUUID=data /mnt/x ext4 nofail", Ok(&[])),
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
    }
}
