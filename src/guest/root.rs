//! Finding the root file system of the first drive and mounting what belongs to it.
//!
//! libguestfs' own inspection answers far more than tib asks and takes nine seconds under emulation. It is used
//! only where partitions and logical volumes do not tell: btrfs subvolumes.

use std::collections::HashMap;

use guestfs::{Handle, UmountOptArgs};

use super::GuestError;
use super::fstab::{self, Entry, Spec};
use super::session::Session;

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    pub(super) at: String,
    pub(super) options: String,
}

/// What is known of a partition or a logical volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Volume {
    device: String,
    number: Option<u32>,
    size: i64,
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
        match spec {
            Spec::Uuid(uuid) => self.tag("UUID").eq_ignore_ascii_case(uuid),
            Spec::Label(label) => self.tag("LABEL") == label,
            Spec::PartUuid(uuid) => self.tag("PART_ENTRY_UUID").eq_ignore_ascii_case(uuid),
            Spec::PartLabel(label) => self.tag("PART_ENTRY_NAME") == label,
            Spec::Partition(number) => self.number == Some(*number),
            Spec::Other(path) => *path == self.device || mapped_name(&self.device).as_ref() == Some(path),
        }
    }
}

/// The other name of a logical volume: `/dev/mapper/group-volume`, dashes within the names doubled.
fn mapped_name(device: &str) -> Option<String> {
    let (group, volume) = device.strip_prefix("/dev/")?.split_once('/')?;
    Some(format!("/dev/mapper/{}-{}", group.replace('-', "--"), volume.replace('-', "--")))
}

const DISK: &str = "/dev/sda";

impl Session {
    /// Finds the root file system on the first drive and mounts it and what its fstab names. After
    /// [`unmount`](Self::unmount) it mounts the same again without searching.
    ///
    /// # Errors
    /// [`GuestError::NoOperatingSystem`], or a failed mount.
    pub fn mount_root(&mut self, read_only: bool) -> Result<(), GuestError> {
        let layout = match &self.layout {
            Some(layout) => layout.clone(),
            None => self.find_layout()?,
        };
        for mount in &layout {
            self.mount_one(mount, read_only)?;
        }
        self.layout = Some(layout);
        Ok(())
    }

    /// Mounts a device of the appliance (`/dev/sda2`).
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn mount(&mut self, device: &str, at: &str, read_only: bool) -> Result<(), GuestError> {
        let mount = Mount { device: device.to_owned(), at: at.to_owned(), options: String::new() };
        self.mount_one(&mount, read_only)
    }

    /// Unmounts what is mounted at a path or is on a device.
    ///
    /// # Errors
    /// [`GuestError::Call`], `EBUSY` if something still uses it.
    pub fn umount(&mut self, at: &str) -> Result<(), GuestError> {
        let path = at.to_owned();
        self.call("umount", Some(at), move |g| g.umount(&path, UmountOptArgs::default()))
    }

    /// Unmounts everything and writes it out. Afterwards the file of a drive may be copied while the session
    /// goes on.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn unmount(&mut self) -> Result<(), GuestError> {
        for at in std::mem::take(&mut self.payloads).into_iter().rev() {
            self.umount_payload(&at)?;
        }
        self.call("umount_all", None, |g| g.umount_all().and_then(|()| g.sync()))
    }

    /// Mounts a whole drive, read-only, in the guest's tree. Its directory is made, and removed again when it is
    /// unmounted.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn mount_payload(&mut self, drive: usize, at: &str) -> Result<(), GuestError> {
        let device = device_name(drive);
        let path = at.to_owned();
        let made = self.call("mkdir_p", Some(at), move |g| {
            if g.exists(&path)? { Ok(false) } else { g.mkdir_p(&path).map(|()| true) }
        })?;
        self.mount(&device, at, true)?;
        if made {
            self.payloads.push(at.to_owned());
        }
        Ok(())
    }

    /// Unmounts what [`mount_payload`](Self::mount_payload) mounted and removes its directory.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn umount_payload(&mut self, at: &str) -> Result<(), GuestError> {
        self.umount(at)?;
        self.payloads.retain(|other| other != at);
        let path = at.to_owned();
        self.call("rmdir", Some(at), move |g| g.rmdir(&path))
    }

    /// The device of the mounted root file system.
    ///
    /// # Errors
    /// [`GuestError::NoOperatingSystem`] before it has been found.
    pub fn root_device(&self) -> Result<&str, GuestError> {
        let root = self.layout.iter().flatten().find(|mount| mount.at == "/");
        root.map(|mount| mount.device.as_str()).ok_or_else(|| GuestError::NoOperatingSystem {
            reason: "nothing has been mounted yet".to_owned(),
        })
    }

    fn mount_one(&self, mount: &Mount, read_only: bool) -> Result<(), GuestError> {
        let mount = mount.clone();
        let at = mount.at.clone();
        self.call("mount", Some(&at), move |g| {
            let options = match (read_only, mount.options.as_str()) {
                (false, options) => options.to_owned(),
                (true, "") => "ro".to_owned(),
                (true, options) => format!("ro,{options}"),
            };
            g.mount_options(&options, &mount.device, &mount.at)
        })
    }

    fn find_layout(&self) -> Result<Vec<Mount>, GuestError> {
        let volumes = self.call("list_partitions", None, volumes)?;
        let mut candidates: Vec<&Volume> = volumes.iter().filter(|volume| volume.holds_linux()).collect();
        candidates.sort_by_key(|volume| std::cmp::Reverse(volume.size));
        for volume in candidates {
            let device = volume.device.clone();
            // A file system that cannot be mounted may still not be the root; what is tells in the end.
            let Ok(Some(text)) = self.call("mount_ro", Some(&device.clone()), move |g| look(g, &device))
            else {
                continue;
            };
            let root = Mount { device: volume.device.clone(), at: "/".to_owned(), options: String::new() };
            if let Some(layout) = self.resolve(root, &fstab::parse(&text), &volumes)? {
                return Ok(layout);
            }
            break;
        }
        self.inspect(&volumes)
    }

    /// Finds the devices of fstab's entries. `None` when one is named in a way that partitions do not answer.
    fn resolve(
        &self,
        root: Mount,
        entries: &[Entry],
        volumes: &[Volume],
    ) -> Result<Option<Vec<Mount>>, GuestError> {
        let mut mounts = vec![root];
        for entry in entries.iter().filter(|entry| entry.mount_point != "/") {
            if let Some(volume) = volumes.iter().find(|volume| volume.is(&entry.spec)) {
                mounts.push(Mount {
                    device: volume.device.clone(),
                    at: entry.mount_point.clone(),
                    options: entry.options.clone(),
                });
            } else if matches!(entry.spec, Spec::Other(_)) && !entry.optional {
                return Ok(None);
            } else if !entry.optional {
                self.events.warning(format!(
                    "the image's fstab mounts {} from a file system that the image does not have",
                    entry.mount_point
                ));
            }
        }
        Ok(Some(mounts))
    }

    fn inspect(&self, volumes: &[Volume]) -> Result<Vec<Mount>, GuestError> {
        let roots = self.call("inspect_os", None, |g| {
            g.inspect_os()?
                .into_iter()
                .filter(|root| !is_on_other_drive(root))
                .map(|root| Ok((g.inspect_get_type(&root)?, g.inspect_get_mountpoints(&root)?)))
                .collect::<Result<Vec<_>, guestfs::Error>>()
        })?;
        let mut linux = roots.into_iter().filter(|(kind, _)| kind == "linux").map(|(_, points)| points);
        let (points, more) = (linux.next(), linux.next());
        if more.is_some() {
            let reason = "it holds more than one, and tib cannot know which is meant".to_owned();
            return Err(GuestError::NoOperatingSystem { reason });
        }
        let Some(points) = points else {
            return Err(GuestError::NoOperatingSystem { reason: describe(volumes) });
        };
        let mut mounts: Vec<Mount> =
            points.into_iter().map(|(at, device)| Mount { device, at, options: String::new() }).collect();
        mounts.sort_by_key(|mount| (mount.at.len(), mount.at.clone()));
        Ok(mounts)
    }
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
            number: device.strip_prefix(DISK).and_then(|rest| rest.parse().ok()),
            size: g.blockdev_getsize64(&device)?,
            // Fails for a partition in which blkid recognises nothing.
            tags: g.blkid(&device).unwrap_or_default(),
            device,
        })
    });
    volumes.collect()
}

/// The fstab of an operating system's root on `device`, `None` if there is no operating system.
fn look(g: &Handle, device: &str) -> Result<Option<String>, guestfs::Error> {
    g.mount_ro(device, "/")?;
    let found = || {
        if !g.exists("/etc/os-release")? && !g.exists("/usr/lib/os-release")? {
            return Ok(None);
        }
        if !g.is_file("/etc/fstab", guestfs::IsFileOptArgs { followsymlinks: Some(true) })? {
            return Ok(Some(String::new()));
        }
        // A comment in whatever encoding must not hide the entries.
        g.read_file("/etc/fstab").map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned()))
    };
    let found = found();
    g.umount("/", UmountOptArgs::default())?;
    found
}

/// The name the appliance gives to a drive, counted from 0.
pub(super) fn device_name(drive: usize) -> String {
    let mut letters = String::new();
    let mut number = drive + 1;
    while number > 0 {
        number -= 1;
        letters.insert(0, char::from(b'a' + u8::try_from(number % 26).unwrap_or_default()));
        number /= 26;
    }
    format!("/dev/sd{letters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_are_named_as_linux_does() {
        for (drive, name) in [(0, "/dev/sda"), (25, "/dev/sdz"), (26, "/dev/sdaa"), (51, "/dev/sdaz")] {
            assert_eq!(device_name(drive), name);
        }
    }

    #[test]
    fn only_the_first_drive_is_looked_at() {
        for (mountable, other) in [
            ("/dev/sda1", false),
            ("/dev/sda", false),
            ("btrfsvol:/dev/sda5/root", false),
            ("/dev/vg/root", false),
            ("/dev/sdb", true),
            ("/dev/sdaa1", true),
            ("btrfsvol:/dev/sdb5/root", true),
        ] {
            assert_eq!(is_on_other_drive(mountable), other, "{mountable}");
        }
    }

    #[test]
    fn volumes_are_matched_by_every_kind_of_name() {
        let tags =
            [("UUID", "AB12-0F"), ("LABEL", "root"), ("PART_ENTRY_UUID", "9f-1"), ("PART_ENTRY_NAME", "p")];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let volume = Volume { device: "/dev/sda2".into(), number: Some(2), size: 1, tags };
        for (spec, matches) in [
            (Spec::Uuid("ab12-0f".into()), true),
            (Spec::Uuid("ab12".into()), false),
            (Spec::Label("root".into()), true),
            (Spec::Label("ROOT".into()), false),
            (Spec::PartUuid("9F-1".into()), true),
            (Spec::PartLabel("p".into()), true),
            (Spec::Partition(2), true),
            (Spec::Partition(1), false),
            (Spec::Other("/dev/mapper/x".into()), false),
            (Spec::Other("/dev/sda2".into()), true),
        ] {
            assert_eq!(volume.is(&spec), matches, "{spec:?}");
        }
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
            assert_eq!(volume.is(&Spec::Other(name.into())), matches, "{name}");
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
