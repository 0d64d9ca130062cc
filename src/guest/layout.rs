//! Finding the root file system of the first drive, and what its fstab mounts.
//!
//! libguestfs' own inspection answers far more than tib asks and takes nine seconds under emulation. It is used
//! only where partitions and logical volumes do not tell: btrfs subvolumes.

use std::collections::HashMap;

use guestfs::{Handle, UmountOptArgs};

use super::GuestError;
use super::mounts::{Mount, What};
use super::session::Session;
use crate::disk::fstab::{self, FstabEntry, Names, Spec};

pub(super) const DISK: &str = "/dev/sda";
/// Options of FAT, which has no owners and modes of its own.
const FAT_OPTIONS: &[&str] = &["uid", "gid", "umask", "fmask", "dmask", "rodir", "showexec"];

/// What is known of a partition or a logical volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Volume {
    device: String,
    number: Option<u32>,
    /// As `blkid -p -o export` gives them: `TYPE`, `UUID`, `LABEL`, `PART_ENTRY_UUID`, …
    tags: HashMap<String, String>,
}

impl Volume {
    fn tag(&self, key: &str) -> &str {
        self.tags.get(key).map_or("", String::as_str)
    }

    fn holds_linux(&self) -> bool {
        matches!(self.tag("TYPE"), "ext2" | "ext3" | "ext4" | "xfs" | "btrfs")
    }

    fn is(&self, spec: &Spec) -> bool {
        let tag = |key: &str| self.tags.get(key).map(String::as_str);
        spec.means(&Names {
            uuid: tag("UUID"),
            label: tag("LABEL"),
            part_uuid: tag("PART_ENTRY_UUID"),
            part_label: tag("PART_ENTRY_NAME"),
            number: self.number,
            // Partitions lie in no directory.
            logical: self.device.strip_prefix("/dev/").and_then(|path| path.split_once('/')),
            mapper_id: None,
        })
    }

    /// The options of an entry that matter for an image at rest: which subvolume, whose files.
    fn options(&self, entry: &FstabEntry) -> String {
        let names = match self.tag("TYPE") {
            "btrfs" => &["subvol", "subvolid"],
            "vfat" => FAT_OPTIONS,
            _ => &[],
        };
        entry.options_named(names).collect::<Vec<_>>().join(",")
    }
}

impl Session {
    /// What is to be mounted, in order; the root first.
    ///
    /// # Errors
    /// [`GuestError::NoOperatingSystem`], also where there are several.
    pub(super) fn find_layout(&self) -> Result<Vec<Mount>, GuestError> {
        let volumes = self.call("list_partitions", None, volumes)?;
        let mut found = Vec::new();
        for volume in volumes.iter().filter(|volume| volume.holds_linux()) {
            // A file system that cannot be mounted may still not be the root; what is tells in the end.
            if let Ok(Some(text)) = self.look_at(&volume.device) {
                found.push((volume, text));
            }
        }
        match found.as_slice() {
            [] => self.inspect(&volumes),
            [(root, text)] => match self.resolve(&root.device, &entries(text)?, &volumes) {
                Some(layout) => Ok(layout),
                None => self.inspect(&volumes),
            },
            several => Err(undecided(several.iter().map(|(volume, _)| volume.device.as_str()))),
        }
    }

    /// The fstab of the root of an operating system on a device.
    fn look_at(&self, device: &str) -> Result<Option<String>, GuestError> {
        let name = device.to_owned();
        self.call("mount_ro", Some(device), move |g| look(g, &name))
    }

    /// Finds the devices of fstab's entries. `None` when one is named in a way that partitions do not answer.
    fn resolve(&self, root: &str, entries: &[FstabEntry], volumes: &[Volume]) -> Option<Vec<Mount>> {
        let device = |device: &str, options| What::Device { device: device.to_owned(), options };
        let mut mounts = vec![Mount { what: device(root, String::new()), at: "/".to_owned() }];
        for entry in entries {
            let found = volumes.iter().find(|volume| volume.is(&entry.spec));
            let what = match (&entry.spec, found) {
                (_, Some(volume)) => device(&volume.device, volume.options(entry)),
                (Spec::Bind { source, recursive }, None) => {
                    What::Path { path: source.clone(), recursive: *recursive }
                }
                (Spec::Other(_), None) if !entry.optional => return None,
                (_, None) => {
                    self.miss(entry);
                    continue;
                }
            };
            mounts.push(Mount { what, at: entry.point.clone() });
        }
        Some(mounts)
    }

    fn miss(&self, entry: &FstabEntry) {
        if let Some(missed) = entry.missed() {
            self.events.note(missed);
        }
    }

    fn inspect(&self, volumes: &[Volume]) -> Result<Vec<Mount>, GuestError> {
        let roots = self.call("inspect_os", None, |g| {
            g.inspect_os()?
                .into_iter()
                .filter(|root| !is_on_other_drive(&of_first_drive(root)))
                .map(|root| {
                    let (kind, points) = (g.inspect_get_type(&root)?, g.inspect_get_mountpoints(&root)?);
                    let points = points.into_iter().map(|(at, what)| (at, of_first_drive(&what)));
                    Ok((of_first_drive(&root), kind, points.collect::<HashMap<String, String>>()))
                })
                .collect::<Result<Vec<_>, guestfs::Error>>()
        })?;
        let mut linux = roots.into_iter().filter(|(_, kind, _)| kind == "linux");
        let Some((root, _, points)) = linux.next() else {
            return Err(GuestError::NoOperatingSystem { reason: describe(volumes) });
        };
        let others: Vec<String> = linux.map(|(root, ..)| root).collect();
        if !others.is_empty() {
            return Err(undecided(std::iter::once(&root).chain(&others).map(String::as_str)));
        }
        let text = self.look_at(&root)?.unwrap_or_default();
        // Inspection repeats what fstab says, whether it is there or not, and knows of no root that fstab does not name.
        let mut points: HashMap<String, String> = self.call("vfs_type", None, move |g| {
            let is_there = |what: &str| g.vfs_type(what).is_ok_and(|kind| !kind.is_empty());
            Ok(points.into_iter().filter(|(_, what)| is_there(what)).collect())
        })?;
        points.insert("/".to_owned(), root);
        for entry in entries(&text)? {
            if !points.contains_key(&entry.point) && !matches!(entry.spec, Spec::Bind { .. }) {
                self.miss(&entry);
            }
        }
        layout_of(points, &text)
    }
}

/// What inspection says is mounted, with the paths that fstab shows a second time, of which it says nothing.
fn layout_of(points: HashMap<String, String>, fstab: &str) -> Result<Vec<Mount>, GuestError> {
    let mut mounts = Vec::new();
    let mut entries = fstab::parse(fstab);
    entries.retain(|entry| matches!(entry.spec, Spec::Bind { .. }));
    for (at, device) in points {
        if at == "/" {
            mounts.push(Mount { what: What::Device { device, options: String::new() }, at });
        } else {
            entries.push(FstabEntry::of_device(device, &at));
        }
    }
    // Where neither needs the other: the shorter path first, as it was always.
    entries.sort_by_key(|entry| (entry.point.len(), entry.point.clone()));
    for entry in to_mount(&entries)? {
        let what = match entry.spec {
            Spec::Bind { source, recursive } => What::Path { path: source, recursive },
            _ => What::Device { device: entry.name, options: String::new() },
        };
        mounts.push(Mount { what, at: entry.point });
    }
    Ok(mounts)
}

fn entries(text: &str) -> Result<Vec<FstabEntry>, GuestError> {
    to_mount(&fstab::parse(text))
}

fn to_mount(entries: &[FstabEntry]) -> Result<Vec<FstabEntry>, GuestError> {
    fstab::to_mount(entries).map_err(|error| GuestError::NoOperatingSystem { reason: error.to_string() })
}

fn undecided<'a>(devices: impl Iterator<Item = &'a str>) -> GuestError {
    let devices = devices.collect::<Vec<_>>().join(" and ");
    let reason = format!("it holds more than one, on {devices}, and tib cannot know which is meant");
    GuestError::NoOperatingSystem { reason }
}

fn describe(volumes: &[Volume]) -> String {
    let kinds: Vec<String> = volumes
        .iter()
        .map(|volume| match volume.tag("TYPE") {
            "" => format!("{}: no known file system", volume.device),
            kind => format!("{}: {kind}", volume.device),
        })
        .collect();
    match kinds.as_slice() {
        [] => "the disk is empty".to_owned(),
        _ => format!("no file system with an os-release file ({})", kinds.join(", ")),
    }
}

/// The name by which something that inspection found can be mounted. The kernel may find the drives in any order, and
/// libguestfs (1.48) gives devices the names of the order in which they were added, but for those of subvolumes. No other
/// drive of a session holds Btrfs.
fn of_first_drive(mountable: &str) -> String {
    match mountable.strip_prefix("btrfsvol:/dev/sd") {
        Some(rest) => format!("btrfsvol:{DISK}{}", rest.trim_start_matches(|c: char| c.is_ascii_lowercase())),
        None => mountable.to_owned(),
    }
}

/// Whether something that inspection found lies on another drive than the first. Logical volumes do not tell.
fn is_on_other_drive(mountable: &str) -> bool {
    let device = mountable.strip_prefix("btrfsvol:").unwrap_or(mountable);
    let behind = device.strip_prefix(DISK);
    let first = behind.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()));
    device.starts_with("/dev/sd") && !first
}

/// The partitions of the first drive, or the drive itself when it has none; and all logical volumes, which no other
/// drive brings.
fn volumes(g: &Handle) -> Result<Vec<Volume>, guestfs::Error> {
    let on_first = |name: &String| {
        name.strip_prefix(DISK)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut devices: Vec<String> = g.list_partitions()?.into_iter().filter(on_first).collect();
    if devices.is_empty() {
        devices.push(DISK.to_owned());
    }
    devices.extend(g.lvs()?);
    let volumes = devices.into_iter().map(|device| {
        Ok(Volume {
            number: device.strip_prefix(DISK).map(|rest| rest.parse().unwrap_or(0)),
            // Fails for a partition in which blkid recognises nothing.
            tags: g.blkid(&device).unwrap_or_default(),
            device,
        })
    });
    volumes.collect()
}

/// The fstab of an operating system's root on `device`, `None` if there is no operating system: it has `/etc`, and an
/// `os-release`, which may be a link to where another file system is to be mounted.
fn look(g: &Handle, device: &str) -> Result<Option<String>, guestfs::Error> {
    let follow = || guestfs::IsFileOptArgs { followsymlinks: Some(true) };
    g.mount_ro(device, "/")?;
    let found = || {
        if !g.is_dir("/etc", guestfs::IsDirOptArgs { followsymlinks: Some(true) })? {
            return Ok(None);
        }
        let release = ["/etc/os-release", "/usr/lib/os-release"];
        if !g.is_symlink(release[0])? && !g.exists(release[0])? && !g.exists(release[1])? {
            return Ok(None);
        }
        if !g.is_file("/etc/fstab", follow())? {
            return Ok(Some(String::new()));
        }
        // A comment in whatever encoding must not hide the entries.
        g.read_file("/etc/fstab").map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned()))
    };
    let found = found();
    g.umount("/", UmountOptArgs::default())?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_drive_is_looked_at() {
        for (mountable, other) in [
            ("/dev/sda1", false),
            ("/dev/sda", false),
            ("btrfsvol:/dev/sda5/root", false),
            ("/dev/vg/root", false),
            ("/dev/sdb", true),
            ("/dev/sdaa1", true),
        ] {
            assert_eq!(is_on_other_drive(mountable), other, "{mountable}");
        }
    }

    /// As libguestfs names them where the kernel has found the appliance's own drive first.
    #[test]
    fn subvolumes_are_on_the_first_drive_whatever_the_kernel_found_first() {
        for (found, name) in [
            ("btrfsvol:/dev/sdb4/root", "btrfsvol:/dev/sda4/root"),
            ("btrfsvol:/dev/sda4/root", "btrfsvol:/dev/sda4/root"),
            ("btrfsvol:/dev/sdb/@/.snapshots/1", "btrfsvol:/dev/sda/@/.snapshots/1"),
            ("btrfsvol:/dev/vg/data/home", "btrfsvol:/dev/vg/data/home"),
            ("/dev/sdb1", "/dev/sdb1"),
        ] {
            assert_eq!(of_first_drive(found), name);
            assert_eq!(is_on_other_drive(&of_first_drive(found)), name == "/dev/sdb1", "{found}");
        }
    }

    #[test]
    fn options_that_choose_what_is_seen_are_kept() {
        let text = "LABEL=x /x auto subvol=home,compress=zstd:1,umask=077,uid=5";
        let entries = fstab::parse(text);
        for (kind, expected) in [("btrfs", "subvol=home"), ("vfat", "umask=077,uid=5"), ("ext4", "")] {
            let tags = HashMap::from([("TYPE".to_owned(), kind.to_owned())]);
            assert_eq!(Volume { tags, ..Volume::default() }.options(&entries[0]), expected);
        }
    }

    #[test]
    fn what_inspection_finds_is_mounted_with_what_is_shown_twice() {
        let points = [("/", "/dev/vg/root"), ("/data", "/dev/vg/data"), ("/srv/deep", "/dev/vg/deep")];
        let points = points.map(|(at, device)| (at.to_owned(), device.to_owned())).into();
        let mounts = layout_of(points, "/data/www /srv none bind\n/dev/vg/data /data ext4\n").unwrap();
        let shown: Vec<&str> = mounts.iter().map(|mount| mount.at.as_str()).collect();
        assert_eq!(shown, ["/", "/data", "/srv", "/srv/deep"]);
        assert_eq!(mounts[2].what, What::Path { path: "/data/www".into(), recursive: false });
        assert_eq!(mounts[1].what, What::Device { device: "/dev/vg/data".into(), options: String::new() });
    }

    #[test]
    fn logical_volumes_have_two_names() {
        let volume = Volume { device: "/dev/fedora-vg/ro-ot".into(), ..Volume::default() };
        for (name, matches) in [
            ("/dev/fedora-vg/ro-ot", true),
            ("/dev/mapper/fedora--vg-ro--ot", true),
            ("/dev/mapper/fedora-vg-ro-ot", false),
            ("/dev/fedora-vg/root", false),
        ] {
            let entry = &fstab::parse(&format!("{name} /x ext4"))[0];
            assert_eq!(volume.is(&entry.spec), matches, "{name}");
        }
    }

    #[test]
    fn an_image_without_a_system_is_described() {
        let tags = HashMap::from([("TYPE".to_owned(), "ntfs".to_owned())]);
        let volume = Volume { device: "/dev/sda1".into(), tags, ..Volume::default() };
        let text = describe(&[volume, Volume { device: "/dev/sda2".into(), ..Volume::default() }]);
        assert_eq!(
            text,
            "no file system with an os-release file (/dev/sda1: ntfs, /dev/sda2: no known file system)"
        );
        assert_eq!(describe(&[]), "the disk is empty");
    }
}
