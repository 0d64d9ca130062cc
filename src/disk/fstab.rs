//! `/etc/fstab`: what a system mounts when it boots, as far as it can lie on a disk of the image.

use super::DiskError;

/// Kinds that lie on no disk of the image.
const ELSEWHERE: &[&str] = &[
    "9p",
    "afs",
    "aufs",
    "autofs",
    "beegfs",
    "binfmt_misc",
    "bpf",
    "ceph",
    "cgroup",
    "cgroup2",
    "cifs",
    "coda",
    "configfs",
    "davfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "ecryptfs",
    "efivarfs",
    "fuse",
    "fusectl",
    "glusterfs",
    "gpfs",
    "hugetlbfs",
    "ignore",
    "lustre",
    "mqueue",
    "ncpfs",
    "nfs",
    "nfs4",
    "overlay",
    "overlayfs",
    "proc",
    "pstore",
    "ramfs",
    "securityfs",
    "selinuxfs",
    "smb3",
    "smbfs",
    "swap",
    "sysfs",
    "tmpfs",
    "tracefs",
    "usbfs",
    "virtiofs",
];
/// Drives for media that come and go.
const DRIVES: &[&str] = &["cdrom", "cdrw", "dvd", "dvdrw", "fd", "floppy", "scd", "sr"];
/// Names of the first disk, which the image is, in front of the number of a partition.
const FIRST_DISK: &[&str] = &["sda", "vda", "xvda", "hda", "nvme0n1p", "mmcblk0p"];
/// Names of disks in front of what tells them apart.
const DISKS: &[&str] = &["sd", "vd", "xvd", "hd", "nvme", "mmcblk"];

/// What a file system is named by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// `UUID=`, or `/dev/disk/by-uuid/`.
    Uuid(String),
    /// `LABEL=`, or `/dev/disk/by-label/`.
    Label(String),
    /// `PARTUUID=`, or `/dev/disk/by-partuuid/`.
    PartUuid(String),
    /// `PARTLABEL=`, or `/dev/disk/by-partlabel/`.
    PartLabel(String),
    /// A partition of the first disk, by number: `/dev/vda15`.
    Partition(u32),
    /// Something on another disk than the first.
    OtherDisk(String),
    /// A medium in a drive, or one that is made for each instance.
    Medium(String),
    /// A path that is mounted a second time.
    Bind {
        /// The path.
        source: String,
        /// With what is mounted below it.
        recursive: bool,
    },
    /// Anything else, such as a logical volume.
    Other(String),
}

/// What a partition can be named by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Names<'a> {
    /// `UUID` of its file system.
    pub uuid: Option<&'a str>,
    /// `LABEL` of its file system.
    pub label: Option<&'a str>,
    /// `PARTUUID`.
    pub part_uuid: Option<&'a str>,
    /// Its name in a GPT.
    pub part_label: Option<&'a str>,
    /// Its number.
    pub number: Option<u32>,
}

impl Spec {
    /// Whether a partition with these names is meant. The case of letters counts in labels, and not in identities.
    pub fn means(&self, names: &Names<'_>) -> bool {
        let is = |wanted: &String, found: Option<&str>| found == Some(wanted.as_str());
        let is_id = |wanted: &String, found: Option<&str>| {
            found.is_some_and(|found| found.eq_ignore_ascii_case(wanted))
        };
        match self {
            Self::Uuid(uuid) => is_id(uuid, names.uuid),
            Self::Label(label) => is(label, names.label),
            Self::PartUuid(uuid) => is_id(uuid, names.part_uuid),
            Self::PartLabel(label) => is(label, names.part_label),
            Self::Partition(number) => names.number == Some(*number),
            Self::OtherDisk(_) | Self::Medium(_) | Self::Bind { .. } | Self::Other(_) => false,
        }
    }
}

/// A line that a system mounts when it boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FstabEntry {
    /// What is mounted.
    pub spec: Spec,
    /// What the line calls it.
    pub name: String,
    /// Where, without a final slash; the root's is empty.
    pub point: String,
    /// Options, as they stand there.
    pub options: Vec<String>,
    /// The system boots without it.
    pub optional: bool,
    /// It is not mounted when the system boots, and only then if somebody asks for it.
    pub later: bool,
}

impl FstabEntry {
    /// An entry for a device of which more is not known.
    pub(crate) fn of_device(device: String, point: &str) -> Self {
        let (spec, point) = (Spec::Other(device.clone()), plain(point));
        Self { spec, name: device, point, options: Vec::new(), optional: false, later: false }
    }

    /// Whether what is mounted at `point` must be there before this can be mounted.
    fn needs(&self, point: &str) -> bool {
        if self.point != point && is_within(&self.point, point) {
            return true;
        }
        let Spec::Bind { source, recursive } = &self.spec else { return false };
        let source = plain(source);
        is_within(&source, point) || *recursive && is_within(point, &source) && !is_within(point, &self.point)
    }

    /// Options by one of these names, as `mount` takes them.
    pub fn options_named(&self, names: &[&str]) -> impl Iterator<Item = &str> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        self.options.iter().map(String::as_str).filter(move |option| {
            let name = option.split_once('=').map_or(*option, |(name, _)| name);
            names.iter().any(|known| known == name)
        })
    }
}

/// The entries that can lie on a disk of the image, in the order of the file. Lines that a system ignores are left out.
pub fn parse(text: &str) -> Vec<FstabEntry> {
    text.lines().filter_map(parse_line).collect()
}

/// Most entries of a file; real ones have a dozen.
const MAX_ENTRIES: usize = 200;

/// What of these entries is mounted when the system boots, beside the root: what others lie in, or are shown from, comes
/// before them. Otherwise the order stays.
///
/// # Errors
/// [`DiskError::Damaged`] for too many, and for paths that are to be bound to each other.
pub fn to_mount(entries: &[FstabEntry]) -> Result<Vec<FstabEntry>, DiskError> {
    let is_mounted = |entry: &&FstabEntry| !entry.later && !entry.point.is_empty();
    let mut left: Vec<FstabEntry> = entries.iter().filter(is_mounted).cloned().collect();
    if left.len() > MAX_ENTRIES {
        return Err(DiskError::Damaged(format!("/etc/fstab mounts more than {MAX_ENTRIES} file systems")));
    }
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |entry: &FstabEntry| left.iter().any(|other| other != entry && entry.needs(&other.point));
        let Some(ready) = left.iter().position(|entry| !waits(entry)) else {
            return Err(DiskError::Damaged("/etc/fstab mounts paths in a circle".to_owned()));
        };
        ordered.push(left.remove(ready));
    }
    Ok(ordered)
}

/// Whether a path is another, or below it.
pub(super) fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn parse_line(line: &str) -> Option<FstabEntry> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut fields = line.split_ascii_whitespace();
    let (name, point, kind) = (unescape(fields.next()?), unescape(fields.next()?), fields.next()?);
    let options: Vec<String> = fields.next().unwrap_or("defaults").split(',').map(str::to_owned).collect();
    let has = |wanted: &str| options.iter().any(|option| option == wanted);
    let is_bind = has("bind") || has("rbind");
    // systemd ignores a path with `..` in it as well.
    let is_path = |path: &str| path.starts_with('/') && !path.split('/').any(|part| part == "..");
    if !is_path(&point) || !is_bind && is_elsewhere(kind) || is_bind && !is_path(&name) {
        return None;
    }
    let spec = if is_bind {
        Spec::Bind { source: name.clone(), recursive: has("rbind") }
    } else {
        parse_spec(&name, kind)
    };
    Some(FstabEntry {
        spec,
        name,
        point: plain(&point),
        optional: has("nofail"),
        later: has("noauto") && !has("x-systemd.automount"),
        options,
    })
}

fn is_elsewhere(kind: &str) -> bool {
    ELSEWHERE.contains(&kind) || kind.starts_with("fuse.") || kind.starts_with("nfs.")
}

/// A path without empty and `.` parts, and without a final slash.
fn plain(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.map(|part| format!("/{part}")).collect()
}

fn parse_spec(name: &str, kind: &str) -> Spec {
    type Make = fn(String) -> Spec;
    let kinds: [(&str, &str, Make); 4] = [
        ("UUID=", "/dev/disk/by-uuid/", Spec::Uuid),
        ("LABEL=", "/dev/disk/by-label/", Spec::Label),
        ("PARTUUID=", "/dev/disk/by-partuuid/", Spec::PartUuid),
        ("PARTLABEL=", "/dev/disk/by-partlabel/", Spec::PartLabel),
    ];
    // What such a file system is on is burnt, or made for the instance.
    if matches!(kind, "iso9660" | "udf") {
        return Spec::Medium(name.to_owned());
    }
    for (tag, directory, make) in kinds {
        if let Some(value) = name.strip_prefix(tag).or_else(|| name.strip_prefix(directory)) {
            return make(value.trim_matches(['"', '\'']).to_owned());
        }
    }
    let Some(device) = name.strip_prefix("/dev/") else { return Spec::Other(name.to_owned()) };
    let number = FIRST_DISK.iter().find_map(|disk| device.strip_prefix(disk)?.parse().ok());
    if let Some(number) = number {
        return Spec::Partition(number);
    }
    let is_first = FIRST_DISK.iter().any(|disk| device.starts_with(disk.trim_end_matches('p')));
    let rest = |prefix: &&str| device.strip_prefix(prefix);
    let is_drive = DRIVES.iter().filter_map(rest).any(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let is_disk =
        DISKS.iter().filter_map(rest).any(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if is_drive {
        return Spec::Medium(name.to_owned());
    }
    if is_disk && !is_first {
        return Spec::OtherDisk(name.to_owned());
    }
    Spec::Other(name.to_owned())
}

/// Undoes the octal escapes (`\040` for a blank) of fstab.
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.as_bytes();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        let code = (*first == b'\\').then(|| rest.split_first_chunk::<3>()).flatten();
        match code {
            Some((digits @ [b'0'..=b'3', ..], behind))
                if digits.iter().all(|d| (b'0'..=b'7').contains(d)) =>
            {
                out.push(digits.iter().fold(0, |value, digit| value * 8 + (digit - b'0')));
                bytes = behind;
            }
            _ => out.push(*first),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
#[path = "fstab_tests.rs"]
mod tests;
