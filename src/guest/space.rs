//! Growing the root file system into a larger disk, and giving back what it does not use.

use guestfs::{BtrfsFilesystemResizeOptArgs, FstrimOptArgs, Handle, StatVFS, XfsGrowfsOptArgs};

use super::GuestError;
use super::session::Session;

/// Sectors at the end of a GPT disk that hold the backup table, for any sector size.
const GPT_TAIL: i64 = 34;
/// Partitions end at a multiple of this: sgdisk and parted each keep some room of their own before the backup table.
const ALIGNMENT: i64 = 2048;

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system.
    pub total: u64,
    /// What root may still write.
    pub free: u64,
}

impl Session {
    /// Enlarges the root partition and its file system to the end of the disk. The partition must be the last
    /// *on the disk*; its number does not matter. Everything is mounted writable afterwards; payloads are not.
    ///
    /// # Errors
    /// [`GuestError::Call`] when another partition follows, or a tool fails.
    pub fn grow_root(&mut self) -> Result<(), GuestError> {
        if self.layout.is_none() {
            self.mount_root(true)?;
        }
        self.unmount()?;
        let device = self.root_device()?.to_owned();
        let partition = device.clone();
        let follows = self.call("part_resize", Some(&device), move |g| enlarge(g, &partition))?;
        if follows {
            return Err(GuestError::Call {
                operation: "part_resize",
                path: Some(device),
                message: "another partition lies behind the root partition".to_owned(),
                errno: 0,
            });
        }
        self.mount_root(false)?;
        let about = device.clone();
        self.call("resize", Some(&about), move |g| match g.vfs_type(&device)?.as_str() {
            "xfs" => g.xfs_growfs("/", XfsGrowfsOptArgs::default()),
            "btrfs" => g.btrfs_filesystem_resize("/", BtrfsFilesystemResizeOptArgs::default()),
            _ => g.resize2fs(&device),
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

    /// Room on the root file system.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn space(&mut self) -> Result<Space, GuestError> {
        self.call("statvfs", Some("/"), |g| g.statvfs("/").map(|stat| room(&stat)))
    }
}

fn room(stat: &StatVFS) -> Space {
    let bytes = |blocks: i64| {
        u64::try_from(blocks).unwrap_or(0).saturating_mul(u64::try_from(stat.frsize).unwrap_or(0))
    };
    Space { total: bytes(stat.blocks), free: bytes(stat.bfree) }
}

/// Enlarges an unmounted partition. Says whether another one follows, and then does nothing. A device that is no
/// partition, such as a whole disk, needs nothing.
fn enlarge(g: &Handle, partition: &str) -> Result<bool, guestfs::Error> {
    if !g.list_partitions()?.iter().any(|other| other == partition) {
        return Ok(false);
    }
    let disk = g.part_to_dev(partition)?;
    let number = g.part_to_partnum(partition)?;
    let parts = g.part_list(&disk)?;
    let start = |part: &guestfs::Partition| part.part_start;
    let own = parts.iter().find(|part| part.part_num == number).map(start).unwrap_or_default();
    if parts.iter().any(|part| part.part_start > own) {
        return Ok(true);
    }
    let sector = i64::from(g.blockdev_getss(&disk)?).max(512);
    let sectors = g.blockdev_getsize64(&disk)? / sector;
    let end = if g.part_get_parttype(&disk)? == "gpt" {
        g.part_expand_gpt(&disk)?;
        (sectors - GPT_TAIL) / ALIGNMENT * ALIGNMENT - 1
    } else {
        sectors - 1
    };
    // Never smaller than it is: rounding must not cut a file system.
    let current = parts.iter().find(|part| part.part_num == number).map_or(0, |part| part.part_end);
    if u64::try_from(end).unwrap_or(0) > current / u64::try_from(sector).unwrap_or(512) {
        g.part_resize(&disk, number, end)?;
    }
    Ok(false)
}
