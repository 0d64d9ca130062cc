//! `/etc/fstab`, as far as mounting an image at rest needs it.

/// What a file system is named by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spec {
    /// `UUID=`, or `/dev/disk/by-uuid/`.
    Uuid(String),
    /// `LABEL=`, or `/dev/disk/by-label/`.
    Label(String),
    /// `PARTUUID=`, or `/dev/disk/by-partuuid/`.
    PartUuid(String),
    /// `PARTLABEL=`, or `/dev/disk/by-partlabel/`.
    PartLabel(String),
    /// A partition of a disk, by number: `/dev/vda15`.
    Partition(u32),
    /// Anything else, such as a logical volume.
    Other(String),
}

/// A line of fstab that is to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) spec: Spec,
    pub(super) mount_point: String,
    /// Options that choose what is mounted (a btrfs subvolume); the others are for a running system.
    pub(super) options: String,
    /// The system boots without it.
    pub(super) optional: bool,
}

/// Reads the entries that mount disk file systems, shortest mount point first, the last of equal ones winning.
pub(super) fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let Some(entry) = parse_line(line) else { continue };
        entries.retain(|other| other.mount_point != entry.mount_point);
        entries.push(entry);
    }
    entries.sort_by_key(|entry| entry.mount_point.trim_end_matches('/').matches('/').count());
    entries
}

fn parse_line(line: &str) -> Option<Entry> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut fields = line.split_ascii_whitespace();
    let (spec, mount_point, kind) = (fields.next()?, unescape(fields.next()?), fields.next()?);
    let options = fields.next().unwrap_or("defaults");
    let on_disk = matches!(kind, "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "vfat" | "msdos" | "auto");
    let bind = options.split(',').any(|option| matches!(option, "bind" | "rbind" | "noauto"));
    if !on_disk || bind || !mount_point.starts_with('/') || mount_point.split('/').any(|part| part == "..") {
        return None;
    }
    let chosen: Vec<&str> =
        options.split(',').filter(|o| o.starts_with("subvol=") || o.starts_with("subvolid=")).collect();
    Some(Entry {
        spec: parse_spec(&unescape(spec)),
        mount_point,
        options: chosen.join(","),
        optional: options.split(',').any(|option| option == "nofail"),
    })
}

fn parse_spec(spec: &str) -> Spec {
    type Make = fn(String) -> Spec;
    let kinds: [(&str, &str, Make); 4] = [
        ("UUID=", "/dev/disk/by-uuid/", Spec::Uuid),
        ("LABEL=", "/dev/disk/by-label/", Spec::Label),
        ("PARTUUID=", "/dev/disk/by-partuuid/", Spec::PartUuid),
        ("PARTLABEL=", "/dev/disk/by-partlabel/", Spec::PartLabel),
    ];
    for (tag, directory, make) in kinds {
        if let Some(value) = spec.strip_prefix(tag).or_else(|| spec.strip_prefix(directory)) {
            return make(value.trim_matches(['"', '\'']).to_owned());
        }
    }
    partition_number(spec).map_or_else(|| Spec::Other(spec.to_owned()), Spec::Partition)
}

/// The number of a partition of a first disk: of `/dev/sda1`, `/dev/vda1`, `/dev/nvme0n1p1`.
fn partition_number(device: &str) -> Option<u32> {
    let name = device.strip_prefix("/dev/")?;
    ["sda", "vda", "xvda", "hda", "nvme0n1p", "mmcblk0p"]
        .iter()
        .find_map(|disk| name.strip_prefix(disk)?.parse().ok())
}

/// Resolves the octal escapes (`\040` for a blank) of fstab.
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.as_bytes();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        let code = (*first == b'\\').then(|| rest.get(..3)).flatten();
        let code = code.filter(|digits| digits.iter().all(|d| (b'0'..=b'7').contains(d)) && digits[0] < b'4');
        if let Some(digits) = code {
            out.push(digits.iter().fold(0, |value, digit| value * 8 + (digit - b'0')));
            bytes = &rest[3..];
        } else {
            out.push(*first);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
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
            ("/dev/sdb1", Spec::Other("/dev/sdb1".into())),
            ("/dev/mapper/vg-root", Spec::Other("/dev/mapper/vg-root".into())),
        ] {
            assert_eq!(parse_spec(text), spec, "{text}");
        }
    }

    #[test]
    fn only_disk_file_systems_are_mounted_and_parents_first() {
        let text = "# comment\n\
            UUID=e /boot/efi vfat umask=0077 0 1\n\
            LABEL=r / ext4 errors=remount-ro 0 1\n\
            LABEL=b /boot ext4 defaults,nofail 0 2\n\
            UUID=s none swap sw 0 0\n\
            tmpfs /tmp tmpfs defaults 0 0\n\
            server:/x /mnt nfs defaults 0 0\n\
            LABEL=x /evil/../etc ext4 defaults\n\
            /srv /home none bind\n\
            LABEL=n /later ext4 noauto\n\
            LABEL=h /with\\040blank btrfs subvol=home,compress=zstd:1\n\
            short\n";
        let entries = parse(text);
        let points: Vec<&str> = entries.iter().map(|entry| entry.mount_point.as_str()).collect();
        assert_eq!(points, ["/", "/boot", "/with blank", "/boot/efi"]);
        assert!(entries[1].optional && !entries[0].optional);
        assert_eq!(entries[2].options, "subvol=home");
        assert_eq!(entries[3].spec, Spec::Uuid("e".into()));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*\\\\?[0-9]{0,3}.*") {
            for entry in parse(&text) {
                prop_assert!(entry.mount_point.starts_with('/'));
            }
            unescape(&text);
        }
    }
}
