//! What an image's `/etc/fstab` mounts, as far as it lies on the image.

use super::filesystem::{FileSystem, FileSystemKind};
use super::{DiskError, Partition};

/// A partition and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) partition: Partition,
    pub(super) content: Option<FileSystem>,
}

/// Below these, nothing of an image's own is expected: what cannot be read there is left out.
const OPTIONAL: &[&str] = &["/boot", "/mnt", "/media", "/tmp", "/proc", "/sys", "/dev", "/run"];
/// File systems that do not lie on a disk of the image.
const VIRTUAL: &[&str] = &[
    "swap",
    "tmpfs",
    "proc",
    "sysfs",
    "devpts",
    "devtmpfs",
    "nfs",
    "nfs4",
    "cifs",
    "cgroup",
    "cgroup2",
    "debugfs",
    "hugetlbfs",
    "mqueue",
    "9p",
    "virtiofs",
    "binfmt_misc",
    "efivarfs",
    "securityfs",
];

/// The ext volumes to mount besides the root, shortest mount point first: the point, and which volume.
///
/// # Errors
/// [`DiskError::Unsupported`] when something that belongs to the tree cannot be read.
pub(super) fn mounts(fstab: &str, volumes: &[Volume]) -> Result<Vec<(String, usize)>, DiskError> {
    let mut mounts = Vec::new();
    for line in fstab.lines() {
        let mut fields = line.split_whitespace();
        let (Some(what), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let options: Vec<&str> = fields.next().unwrap_or("").split(',').collect();
        let point = unescape(point);
        let point = point.trim_end_matches('/');
        let has = |option: &str| options.contains(&option);
        // The root, whose final slash is gone as well, has been found by what is in it.
        if what.starts_with('#') || !point.starts_with('/') || VIRTUAL.contains(&kind) || has("noauto") {
            continue;
        }
        let found = volumes.iter().position(|volume| is_named(volume, &unescape(what)));
        let content = found.and_then(|index| volumes[index].content.as_ref()).map(|content| content.kind);
        match (found, content) {
            (Some(index), Some(FileSystemKind::Ext)) => mounts.push((point.to_owned(), index)),
            _ if is_optional(point) || found.is_none() && has("nofail") => {}
            (_, Some(other)) => {
                let reason = format!("{point} is {}, which tib does not read natively", other.name());
                return Err(DiskError::Unsupported(reason));
            }
            _ => {
                let reason = format!("/etc/fstab mounts `{what}` at {point}, which is not in the image");
                return Err(DiskError::Unsupported(reason));
            }
        }
    }
    mounts.sort_by_key(|(point, _)| point.len());
    Ok(mounts)
}

fn is_optional(point: &str) -> bool {
    OPTIONAL
        .iter()
        .any(|top| point.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Whether an fstab's first field means this volume.
fn is_named(volume: &Volume, name: &str) -> bool {
    let content = volume.content.as_ref();
    let same =
        |value: Option<&String>, wanted: &str| value.is_some_and(|value| value.eq_ignore_ascii_case(wanted));
    let by = [
        ("UUID=", "/dev/disk/by-uuid/", content.and_then(|content| content.uuid.as_ref())),
        ("LABEL=", "/dev/disk/by-label/", content.and_then(|content| content.label.as_ref())),
        ("PARTUUID=", "/dev/disk/by-partuuid/", volume.partition.id.as_ref()),
        ("PARTLABEL=", "/dev/disk/by-partlabel/", volume.partition.label.as_ref()),
    ];
    for (tag, directory, value) in by {
        if let Some(wanted) = name.strip_prefix(tag).or_else(|| name.strip_prefix(directory)) {
            return same(value, wanted.trim_matches('"'));
        }
    }
    // `/dev/vda1`, `/dev/nvme0n1p1`: the image is the first disk.
    let first = ["/dev/sda", "/dev/vda", "/dev/xvda", "/dev/nvme0n1p", "/dev/mmcblk0p"];
    let number = first.iter().find_map(|disk| name.strip_prefix(disk)).and_then(|rest| rest.parse().ok());
    number == Some(volume.partition.number)
}

/// Undoes fstab's octal escapes for spaces and the like.
fn unescape(field: &str) -> String {
    let (mut text, mut rest) = (String::new(), field);
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii) {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::super::partition::Kind;
    use super::*;

    fn volume(number: u32, kind: FileSystemKind, uuid: &str, label: Option<&str>) -> Volume {
        let partition = Partition {
            number,
            start: 0,
            length: 1,
            kind: Kind::Mbr(0x83),
            label: None,
            id: Some(format!("p-{number}")),
        };
        let content = Some(FileSystem { kind, uuid: Some(uuid.to_owned()), label: label.map(str::to_owned) });
        Volume { partition, content }
    }

    /// Mount points and the volumes on them, or what is said.
    type Expected<'a> = Result<&'a [(&'a str, usize)], &'a str>;

    #[test]
    fn fstab_is_read_as_the_guest_would() {
        let volumes = [
            volume(1, FileSystemKind::Ext, "aa", Some("root")),
            volume(2, FileSystemKind::Ext, "bb", Some("my data")),
            volume(3, FileSystemKind::Xfs, "cc", Some("xfs")),
            volume(15, FileSystemKind::Vfat, "DD-EE", None),
        ];
        let cases: &[(&str, Expected<'_>)] = &[
            ("", Ok(&[])),
            ("# LABEL=x /var ext4\n\nUUID=aa / ext4 errors=remount-ro 0 1\n", Ok(&[])),
            ("UUID=BB /var/ ext4 defaults 0 2", Ok(&[("/var", 1)])),
            ("LABEL=my\\040data /a\\040b ext4", Ok(&[("/a b", 1)])),
            ("PARTUUID=p-2 /var/lib ext4\n/dev/vda1 /var ext4", Ok(&[("/var", 0), ("/var/lib", 1)])),
            ("UUID=dd-ee /boot/efi vfat umask=077 0 1", Ok(&[])),
            ("tmpfs /usr tmpfs\nserver:/x /var nfs\nUUID=q none swap sw", Ok(&[])),
            ("UUID=gone /var ext4 nofail\nUUID=gone /usr ext4 noauto\nUUID=gone /mnt/x auto", Ok(&[])),
            ("LABEL=xfs /boot xfs", Ok(&[])),
            ("LABEL=xfs /usr xfs nofail", Err("/usr is XFS, which tib does not read natively")),
            (
                "/dev/mapper/vg-var /var ext4",
                Err("/etc/fstab mounts `/dev/mapper/vg-var` at /var, which is not in the image"),
            ),
            (
                "/dev/sdb1 /boots ext4",
                Err("/etc/fstab mounts `/dev/sdb1` at /boots, which is not in the image"),
            ),
        ];
        for (fstab, expected) in cases {
            let found = mounts(fstab, &volumes).map_err(|error| error.to_string());
            let expected = expected
                .map(|mounts| {
                    mounts.iter().map(|(point, index)| ((*point).to_owned(), *index)).collect::<Vec<_>>()
                })
                .map_err(str::to_owned);
            assert_eq!(found, expected, "{fstab}");
        }
    }
}
