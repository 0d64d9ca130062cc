//! `/etc/fstab`: what a system mounts when it boots, as far as it can lie on a disk of the image.

mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::DiskError;

/// Names of the first disk, which the image is, in front of the number of a partition.
const FIRST_DISK: &[&str] =
    &["/dev/sda", "/dev/vda", "/dev/xvda", "/dev/hda", "/dev/nvme0n1p", "/dev/mmcblk0p"];
/// Below these, nothing of an image's own is expected: what the image does not have is left out there.
const NOT_ITS_OWN: &[&str] = &["/boot", "/mnt", "/media", "/tmp", "/proc", "/sys", "/dev", "/run"];

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
    /// Something that no disk of the image has: another disk, or one that a server offers.
    OtherDisk(String),
    /// A file of the image that holds a file system.
    File(String),
    /// A medium in a drive, or one that is made for each instance.
    Medium(String),
    /// A path that is mounted a second time.
    Bind {
        /// The path.
        source: String,
        /// With what is mounted below it.
        recursive: bool,
    },
    /// Anything else, such as a logical volume: the path below `/dev`.
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
    /// Its number; 0 for a disk without partitions.
    pub number: Option<u32>,
    /// A logical volume's group and name.
    pub logical: Option<(&'a str, &'a str)>,
    /// Its identity for the device mapper.
    pub mapper_id: Option<&'a str>,
}

impl Names<'_> {
    /// Whether a path below `/dev` is one that udev makes for this logical volume. In the mapper's names, dashes within
    /// those of group and volume are doubled.
    fn has_path(&self, path: &str) -> bool {
        let Some((group, volume)) = self.logical else { return false };
        let mapped = || format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"));
        if let Some(name) = path.strip_prefix("mapper/").or(path.strip_prefix("disk/by-id/dm-name-")) {
            return name == mapped();
        }
        if let Some(id) = path.strip_prefix("disk/by-id/dm-uuid-") {
            return self.mapper_id == Some(id);
        }
        path.split_once('/') == Some((group, volume))
    }
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
            Self::Other(path) => names.has_path(path),
            Self::OtherDisk(_) | Self::File(_) | Self::Medium(_) | Self::Bind { .. } => false,
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

    /// What is to be said when the image does not have what is to be mounted; `None` where that is as it should be.
    pub fn missed(&self) -> Option<String> {
        let is_expected = self.optional
            || matches!(self.spec, Spec::Medium(_))
            || NOT_ITS_OWN.iter().any(|top| is_within(&self.point, top));
        let why = match &self.spec {
            Spec::File(_) => "is a file system in a file: what is in it is not read",
            _ => "is not on the image's disk: it is read without that",
        };
        (!is_expected).then(|| format!("`{}`, which /etc/fstab mounts at {}, {why}", self.name, self.point))
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
    let lines: Vec<Line> = text.lines().filter_map(Line::parse).collect();
    let root = lines.iter().find(|line| plain(&line.point).is_empty());
    let own = root.map(|root| OwnDisk::of_root(&root.name)).unwrap_or_default();
    lines.into_iter().filter_map(|line| line.entry(&own)).collect()
}

/// Most entries of a file. Containers' hosts and chroots have hundreds.
const MAX_ENTRIES: usize = 5000;

/// What of these entries is mounted when the system boots, beside the root: what others lie in, or are shown from, comes
/// before them. Otherwise the order stays.
///
/// # Errors
/// [`DiskError::Damaged`] for too many, and for paths that are to be bound to each other.
pub fn to_mount(entries: &[FstabEntry]) -> Result<Vec<FstabEntry>, DiskError> {
    let is_mounted = |entry: &&FstabEntry| !entry.later && !entry.point.is_empty();
    let entries: Vec<&FstabEntry> = entries.iter().filter(is_mounted).collect();
    if entries.len() > MAX_ENTRIES {
        return Err(DiskError::Damaged(format!("/etc/fstab mounts more than {MAX_ENTRIES} file systems")));
    }
    let mut points: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        points.entry(&entry.point).or_default().push(index);
    }
    // How many each waits for, and who waits for it.
    let mut waits = vec![0usize; entries.len()];
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); entries.len()];
    for (index, entry) in entries.iter().enumerate() {
        let before: BTreeSet<usize> = needed(entry, &points).flatten().copied().collect();
        for other in before.into_iter().filter(|other| entries[*other] != *entry) {
            waits[index] += 1;
            followers[other].push(index);
        }
    }
    let mut ready: BTreeSet<usize> = (0..entries.len()).filter(|index| waits[*index] == 0).collect();
    let mut ordered = Vec::with_capacity(entries.len());
    while let Some(index) = ready.pop_first() {
        ordered.push(entries[index].clone());
        for follower in std::mem::take(&mut followers[index]) {
            waits[follower] -= 1;
            if waits[follower] == 0 {
                ready.insert(follower);
            }
        }
    }
    if ordered.len() < entries.len() {
        return Err(DiskError::Damaged("/etc/fstab mounts paths in a circle".to_owned()));
    }
    Ok(ordered)
}

/// What must be mounted before an entry, by mount points: all that its own lies in, and for a path that is shown a second time
/// what that lies in, or has mounted below it.
fn needed<'a>(
    entry: &FstabEntry,
    points: &'a BTreeMap<&str, Vec<usize>>,
) -> impl Iterator<Item = &'a Vec<usize>> {
    let above = ancestors(&entry.point).skip(1);
    let mut needed: Vec<&Vec<usize>> = above.filter_map(|point| points.get(point)).collect();
    if let Spec::Bind { source, recursive } = &entry.spec {
        let source = plain(source);
        needed.extend(ancestors(&source).filter_map(|point| points.get(point)));
        let below = format!("{source}/");
        let range = (Bound::Included(below.as_str()), Bound::Unbounded);
        let below = points.range::<str, _>(range).take_while(|(point, _)| point.starts_with(&below));
        let below = below.filter(|(point, _)| *recursive && !is_within(point, &entry.point));
        needed.extend(below.map(|(_, entries)| entries));
    }
    needed.into_iter()
}

/// A path and all that it lies in, but for the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rfind('/').map(|slash| &path[..slash]))
        .take_while(|path| !path.is_empty())
}

/// Whether a path is another, or below it.
fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The fields of a line.
struct Line {
    name: String,
    point: String,
    kind: String,
    options: Vec<String>,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let mut fields = line.split_ascii_whitespace();
        let (name, point, kind) = (unescape(fields.next()?), unescape(fields.next()?), fields.next()?);
        let options = fields.next().unwrap_or("defaults").split(',').map(unescape).collect();
        Some(Self { name, point, kind: unescape(kind), options })
    }

    /// What it mounts, if that can lie on the image's disk.
    fn entry(self, own: &OwnDisk) -> Option<FstabEntry> {
        let Self { name, point, kind, options } = self;
        let has = |wanted: &str| options.iter().any(|option| option == wanted);
        let begins = |wanted: &str| options.iter().any(|option| option.starts_with(wanted));
        let is_bind = has("bind") || has("rbind");
        // systemd ignores a path with `..` in it as well.
        let is_path = |path: &str| path.starts_with('/') && !path.split('/').any(|part| part == "..");
        if !is_path(&point) || !is_bind && kinds::is_elsewhere(&kind) || is_bind && !is_path(&name) {
            return None;
        }
        let spec = if is_bind {
            Spec::Bind { source: name.clone(), recursive: has("rbind") }
        } else {
            parse_spec(&name, &kind, own)
        };
        // Other units ask for it when the system boots.
        let asked = has("x-systemd.automount")
            || has("comment=systemd.automount")
            || begins("x-systemd.wanted-by=")
            || begins("x-systemd.required-by=");
        Some(FstabEntry {
            spec,
            name,
            point: plain(&point),
            optional: has("nofail") || has("nobootwait"),
            later: has("noauto") && !asked,
            options,
        })
    }
}

/// A path without empty and `.` parts, and without a final slash.
fn plain(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.map(|part| format!("/{part}")).collect()
}

/// The names of the image's disk, in front of the number of a partition.
#[derive(Debug, Default)]
struct OwnDisk(Option<String>);

impl OwnDisk {
    /// The disk that the root is said to be on is the image's, whatever it is called.
    fn of_root(name: &str) -> Self {
        if !kinds::names_a_disk(name) {
            return Self(None);
        }
        let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
        // `/dev/nvme0n1` ends in a digit, and is a whole disk.
        let is_whole = name.starts_with("/dev/disk/") && !disk.ends_with("-part")
            || kinds::ends_in_a_number(name) && !disk.ends_with('p');
        Self(Some(if is_whole { name } else { disk }.to_owned()))
    }

    /// The number of the partition that a name means; 0 for the whole disk.
    fn partition(&self, name: &str) -> Option<u32> {
        let number = |disk: &str| -> Option<u32> {
            let bare = disk.strip_suffix("-part").or(disk.strip_suffix('p')).unwrap_or(disk);
            if name == bare {
                return Some(0);
            }
            name.strip_prefix(disk)?.parse().ok().filter(|number| *number > 0)
        };
        match &self.0 {
            Some(own) => number(own),
            None => FIRST_DISK.iter().find_map(|disk| number(disk)),
        }
    }
}

fn parse_spec(name: &str, kind: &str, own: &OwnDisk) -> Spec {
    type Make = fn(String) -> Spec;
    let tags: [(&str, &str, Make); 4] = [
        ("UUID=", "/dev/disk/by-uuid/", Spec::Uuid),
        ("LABEL=", "/dev/disk/by-label/", Spec::Label),
        ("PARTUUID=", "/dev/disk/by-partuuid/", Spec::PartUuid),
        ("PARTLABEL=", "/dev/disk/by-partlabel/", Spec::PartLabel),
    ];
    // What such a file system is on is burnt, or made for the instance.
    if matches!(kind, "iso9660" | "udf" | "udf,iso9660" | "iso9660,udf") && !kinds::is_file(name) {
        return Spec::Medium(name.to_owned());
    }
    for (tag, directory, make) in tags {
        if let Some(value) = name.strip_prefix(tag) {
            return make(value.trim_matches(['"', '\'']).to_owned());
        }
        if let Some(value) = name.strip_prefix(directory) {
            return make(udev_unescape(value));
        }
    }
    let by_id =
        name.strip_prefix("ID=").map(|id| format!("/dev/disk/by-id/{}", id.trim_matches(['"', '\''])));
    let name = by_id.as_deref().unwrap_or(name);
    if let Some(number) = own.partition(name) {
        return Spec::Partition(number);
    }
    if kinds::is_drive(name) {
        return Spec::Medium(name.to_owned());
    }
    if kinds::is_file(name) {
        return Spec::File(name.to_owned());
    }
    match name.strip_prefix("/dev/") {
        Some(path) if !kinds::names_a_disk(name) => Spec::Other(path.to_owned()),
        // A pool of ZFS lies on disks, whose content tib does not know.
        None if kind == "zfs" => Spec::Other(name.to_owned()),
        _ => Spec::OtherDisk(name.to_owned()),
    }
}

/// Undoes the escapes (`\x20` for a blank) that udev writes labels with.
fn udev_unescape(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                out.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => out.extend([b"\\x", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
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
