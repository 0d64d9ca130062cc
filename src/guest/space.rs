//! Growing the root file system into a larger disk, and giving back what it does not use.
//!
//! Whether and how it grows has been decided over the partition table ([`GrowthPlan`](crate::disk::GrowthPlan)): here
//! it is done.

use guestfs::{BtrfsFilesystemResizeOptArgs, FstrimOptArgs, Handle, StatVFS, XfsGrowfsOptArgs};

use super::GuestError;
use super::layout::DISK;
use super::session::Session;
use super::storage::{STORAGE, Storage};
use crate::disk::{Growth, Room, Root, RootPlace};

impl Session {
    /// Enlarges what holds the root file system, and the file system itself. It is mounted writable afterwards; payloads
    /// are not.
    ///
    /// # Errors
    /// [`GuestError::Call`] when a tool fails, or the root is not where it was when the growth was planned.
    pub fn grow_root(&mut self, growth: &Growth) -> Result<(), GuestError> {
        self.find_root()?;
        self.unmount()?;
        let device = self.root_device()?.to_owned();
        let place = place_of(&device);
        let expected = match growth.volume {
            true => RootPlace::LogicalVolume,
            false => RootPlace::Partition(growth.partition),
        };
        if place != expected {
            return Err(GuestError::Call {
                operation: "grow",
                path: Some(device),
                message: "the root file system is not where the partition table was looked at".to_owned(),
                errno: 0,
            });
        }
        let (plan, root) = (growth.clone(), device.clone());
        self.call("part_resize", Some(&device), move |g| enlarge(g, &plan, &root))?;
        self.mount_root(false)?;
        let root = device.clone();
        self.call("resize", Some(&device), move |g| match g.vfs_type(&root)?.as_str() {
            "xfs" => g.xfs_growfs("/", XfsGrowfsOptArgs::default()),
            "btrfs" => g.btrfs_filesystem_resize("/", BtrfsFilesystemResizeOptArgs::default()),
            _ => g.resize2fs(&root),
        })
    }

    /// Tells the drives which blocks of the mounted file systems are free, so that their files shrink.
    ///
    /// # Errors
    /// [`GuestError::Call`] when `/` cannot be trimmed; other file systems, such as vfat, may not know how.
    pub fn trim(&mut self) -> Result<(), GuestError> {
        self.call("fstrim", Some("/"), |g| {
            let points = g.mountpoints()?;
            let mut points: Vec<String> = points.into_values().collect();
            points.sort_unstable();
            for point in points {
                match g.fstrim(&point, FstrimOptArgs::default()) {
                    Err(error) if point == "/" => return Err(error),
                    _ => {}
                }
            }
            g.sync()
        })
    }

    /// Room on the mounted root file system.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    fn space(&mut self) -> Result<Room, GuestError> {
        self.call("statvfs", Some("/"), |g| g.statvfs("/").map(|stat| room(&stat)))
    }

    /// The mounted root file system: where it is, and whether this appliance could enlarge it.
    ///
    /// # Errors
    /// [`GuestError::NoOperatingSystem`] before it has been found, or [`GuestError::Call`].
    pub fn root(&mut self) -> Result<Root, GuestError> {
        let device = self.root_device()?.to_owned();
        let place = place_of(&device);
        let about = device.clone();
        let lacks = self.call("feature_available", Some(&device), move |g| {
            let kind = g.vfs_type(&about)?;
            let needed = STORAGE.iter().filter(|Storage { feature, .. }| {
                *feature == kind || *feature == "lvm2" && place == RootPlace::LogicalVolume
            });
            for storage in needed {
                if !g.feature_available(&[storage.feature])? {
                    return Ok(Some(storage.name()));
                }
            }
            Ok(None)
        })?;
        Ok(Root { place, kind: None, room: Some(self.space()?), lacks })
    }

    /// What this appliance has no tools for, of all that a root file system may lie on.
    pub(super) fn lacks(&self) -> Result<Vec<&'static str>, GuestError> {
        self.call("feature_available", None, |g| {
            let mut lacks = Vec::new();
            for storage in &STORAGE {
                if !g.feature_available(&[storage.feature])? {
                    lacks.push(storage.name());
                }
            }
            Ok(lacks)
        })
    }
}

/// Where a mountable of the appliance lies.
fn place_of(mountable: &str) -> RootPlace {
    let device = mountable.strip_prefix("btrfsvol:").unwrap_or(mountable);
    let number = device.strip_prefix(DISK).map(|rest| rest.split('/').next().unwrap_or_default());
    match number {
        Some("") => RootPlace::Partition(0),
        Some(number) => number.parse().map_or(RootPlace::LogicalVolume, RootPlace::Partition),
        None => RootPlace::LogicalVolume,
    }
}

fn room(stat: &StatVFS) -> Room {
    let bytes = |blocks: i64| {
        u64::try_from(blocks).unwrap_or(0).saturating_mul(u64::try_from(stat.frsize).unwrap_or(0))
    };
    Room { size: bytes(stat.blocks), free: bytes(stat.bfree) }
}

/// Enlarges what an unmounted file system lies on.
fn enlarge(g: &Handle, growth: &Growth, root: &str) -> Result<(), guestfs::Error> {
    if growth.volume {
        // A partition in use is not resized.
        g.vg_activate_all(false)?;
    }
    if growth.gpt {
        g.part_expand_gpt(DISK)?;
    }
    if let Some(end) = growth.end {
        let last = i64::try_from(end / growth.sector).unwrap_or(i64::MAX) - 1;
        for number in growth.extended.into_iter().chain([growth.partition]) {
            g.part_resize(DISK, i32::try_from(number).unwrap_or(i32::MAX), last)?;
        }
    }
    if growth.volume {
        let number = if growth.partition == 0 { String::new() } else { growth.partition.to_string() };
        g.pvresize(&format!("{DISK}{number}"))?;
        g.vg_activate_all(true)?;
        // Less than an extent is nothing, and LVM calls that an error.
        // `/dev/GROUP/VOLUME`, also for what is called `/dev/mapper/GROUP-VOLUME`.
        let name = g.lvm_canonical_lv_name(root)?;
        let group = name.trim_start_matches("/dev/").split('/').next().unwrap_or_default();
        if g.vgs_full()?.iter().any(|vg| vg.vg_name == group && vg.vg_free > 0) {
            g.lvresize_free(root, 100)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_root_lies() {
        for (mountable, place) in [
            ("/dev/sda", RootPlace::Partition(0)),
            ("/dev/sda14", RootPlace::Partition(14)),
            ("btrfsvol:/dev/sda5/root", RootPlace::Partition(5)),
            ("btrfsvol:/dev/sda/root", RootPlace::Partition(0)),
            ("/dev/vg/root", RootPlace::LogicalVolume),
            ("/dev/mapper/vg-root", RootPlace::LogicalVolume),
        ] {
            assert_eq!(place_of(mountable), place, "{mountable}");
        }
    }
}
