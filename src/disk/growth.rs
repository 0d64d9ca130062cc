//! Whether and how the root of an image can be made larger, decided before anything starts.

use super::partition::{self, Partition, SECTOR, Table};
use super::{BlockRead, DiskError};
use crate::filesystem::usage::{Room, room};
use crate::filesystem::{self, FileSystemKind};

/// Partitions end at a multiple of this. Whatever is smaller is not worth growing for.
const ALIGNMENT: u64 = 1 << 20;
/// Sectors that an MBR can count.
const MBR_SECTORS: u64 = 1 << 32;

/// Where the root file system of an image lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootPlace {
    /// In a partition; 0 for a disk without any.
    Partition(u32),
    /// On a logical volume.
    LogicalVolume,
}

/// The root file system of an image, as the one who mounted it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Where it lies.
    pub place: RootPlace,
    /// What it is, where the disk alone does not tell.
    pub kind: Option<FileSystemKind>,
    /// Room in it, where the disk alone does not tell.
    pub room: Option<Room>,
    /// What the appliance lacks to enlarge it, such as `XFS`.
    pub lacks: Option<&'static str>,
}

/// What is to be done to a disk so that the root fills it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The partition with the root or with the physical volume below it; 0 for a disk without any.
    pub partition: u32,
    /// The first byte behind the partition when it has grown; `None` if it is there already.
    pub end: Option<u64>,
    /// MBR: the partition that holds it, which has to grow first.
    pub extended: Option<u32>,
    /// The second copy of the table is to be moved to the end of the disk.
    pub gpt: bool,
    /// The partition is a physical volume, and the root a logical one.
    pub volume: bool,
    /// Bytes of a sector.
    pub sector: u64,
}

/// Why the root cannot be made larger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Something lies behind it.
    #[error("partition {number} ({what}) lies behind partition {root}, which holds the root file system")]
    Follows {
        /// The partition that would have to grow.
        root: u32,
        /// The one behind it.
        number: u32,
        /// What that one is for.
        what: String,
    },
    /// Not one physical volume.
    #[error(
        "the root file system is on a logical volume, and {0} partitions of the disk are physical volumes"
    )]
    Volumes(usize),
    /// An MBR counts no further.
    #[error("a master boot record counts no further than {limit}")]
    Mbr {
        /// Bytes.
        limit: crate::size::Size,
    },
    /// GPT and MBR list the same partitions.
    #[error("the disk has a hybrid partition table, whose master boot record would no longer be true")]
    Hybrid,
}

impl Obstacle {
    /// What somebody who needs the larger disk can do.
    pub fn remedy(&self) -> String {
        match self {
            Self::Follows { root, .. } => format!(
                "give a base whose root partition is the last on its disk: `virt-resize --expand /dev/sda{root} BASE \
                 LARGER` copies one into a larger disk"
            ),
            Self::Volumes(_) => {
                "give a base with one physical volume, the last partition on its disk".to_owned()
            }
            Self::Mbr { .. } => "give a smaller `--size`, or a base with a GPT".to_owned(),
            Self::Hybrid => "give a base without one (`gdisk` makes a plain GPT of it: x, n, w)".to_owned(),
        }
    }
}

/// The disk of a base, as far as it matters for growing.
#[derive(Debug, Clone)]
pub struct GrowthPlan {
    size: u64,
    table: Option<Table>,
    /// Numbers of partitions that are physical volumes.
    volumes: Vec<u32>,
    root: Root,
    /// What takes tools of its own to enlarge: the root file system, and what it lies on.
    needs: Vec<FileSystemKind>,
    /// Room in the root file system as it is.
    room: Room,
}

impl GrowthPlan {
    /// Looks at a disk whose root file system lies there.
    pub(super) fn of(disk: &mut dyn BlockRead, root: Root) -> Result<Self, DiskError> {
        let table = partition::read_table(disk)?.filter(|table| !table.partitions.is_empty());
        let mut volumes = Vec::new();
        let (mut found, mut kind) = (root.room, root.kind);
        for Partition { number, start, length, .. } in partition::list(disk)? {
            let Some(content) = filesystem::detect(disk, start, length)? else { continue };
            if content.kind == FileSystemKind::Lvm {
                volumes.push(number);
            }
            if root.place == RootPlace::Partition(number) {
                kind = Some(content.kind);
                found = room(disk, content.kind, start)?.or(found);
            }
        }
        let room = found.unwrap_or(Room { size: disk.size(), free: 0 });
        let volume = (root.place == RootPlace::LogicalVolume).then_some(FileSystemKind::Lvm);
        let needs = kind.into_iter().chain(volume).collect();
        Ok(Self { size: disk.size(), table, volumes, root, needs, room })
    }

    /// Bytes of the disk as it is.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a sector of the disk.
    pub fn sector(&self) -> u64 {
        self.table.as_ref().map_or(SECTOR, |table| table.sector)
    }

    /// Bytes in use in the root file system.
    pub fn used(&self) -> u64 {
        self.room.size.saturating_sub(self.room.free)
    }

    /// Kinds of storage that have to grow with the disk: the root file system, and what it lies on.
    pub fn needs(&self) -> &[FileSystemKind] {
        &self.needs
    }

    /// Says what the appliance lacks to enlarge these.
    pub fn with_lack(mut self, lacks: Option<&'static str>) -> Self {
        self.root.lacks = self.root.lacks.or(lacks);
        self
    }

    /// What the appliance lacks to enlarge the root file system.
    pub fn lacks(&self) -> Option<&'static str> {
        self.root.lacks
    }

    /// Bytes that the root file system has free when it has grown into a disk of `size` bytes, about. Where the appliance
    /// lacks the tools it does not grow.
    pub fn free(&self, size: u64) -> u64 {
        let gained = match self.grow(size) {
            Ok(Some(growth)) if self.root.lacks.is_none() => {
                let (start, length) = self.place().map_or((0, self.size), |own| (own.start, own.length));
                let end = growth.end.unwrap_or(if growth.partition == 0 { size } else { start + length });
                // A logical volume gains what its partition gains; a file system may also lag behind its partition.
                let before = if growth.volume { length } else { self.room.size };
                (end - start).saturating_sub(before)
            }
            _ => 0,
        };
        self.room.free + gained
    }

    /// The partition with the root or the physical volume.
    fn place(&self) -> Option<&Partition> {
        let number = match self.root.place {
            RootPlace::Partition(number) => number,
            RootPlace::LogicalVolume => *self.volumes.first()?,
        };
        self.table.as_ref()?.partitions.iter().find(|partition| partition.number == number)
    }

    /// What is to be done so that the root fills a disk of `size` bytes; `None` if it does already.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn grow(&self, size: u64) -> Result<Option<Growth>, Obstacle> {
        let volume = self.root.place == RootPlace::LogicalVolume;
        if volume && self.volumes.len() != 1 {
            return Err(Obstacle::Volumes(self.volumes.len()));
        }
        let whole =
            Growth { partition: 0, end: None, extended: None, gpt: false, volume, sector: self.sector() };
        let (Some(table), Some(own)) = (&self.table, self.place()) else {
            let grows = size > self.size || !volume && lags(self.room.size, self.size);
            return Ok(grows.then_some(whole));
        };
        let growth = Growth { partition: own.number, gpt: table.gpt, ..whole };
        let current = own.start + own.length;
        // sgdisk keeps 2048 sectors in front of the backup it moves, whatever the table needs.
        let tail = if table.gpt { table.tail.max(ALIGNMENT) } else { 0 };
        let end = size.saturating_sub(tail) / ALIGNMENT * ALIGNMENT;
        if end < current + ALIGNMENT {
            // Also a file system that nobody has enlarged with its partition gets what it is due, and the second copy
            // of a GPT belongs to the end of whatever disk there is.
            let moves = table.gpt && size > self.size;
            return Ok((moves || !volume && lags(self.room.size, own.length)).then_some(growth));
        }
        let behind = |partitions: &[Partition]| {
            partitions.iter().filter(|other| other.start > own.start).min_by_key(|p| p.start).cloned()
        };
        // An extended partition is in the way even if it is empty.
        if let Some(next) = behind(&table.partitions).or_else(|| behind(&table.extended)) {
            let (root, number) = (own.number, next.number);
            let what =
                next.kind.name().map_or_else(|| "of a kind tib does not know".to_owned(), str::to_owned);
            return Err(Obstacle::Follows { root, number, what });
        }
        if table.hybrid {
            return Err(Obstacle::Hybrid);
        }
        let limit = MBR_SECTORS * table.sector;
        if !table.gpt && end > limit {
            return Err(Obstacle::Mbr { limit: crate::size::Size(limit) });
        }
        let within = |outer: &&Partition| (outer.start..outer.start + outer.length).contains(&own.start);
        let extended = table.extended.iter().find(within).map(|outer| outer.number);
        Ok(Some(Growth { end: Some(end), extended, ..growth }))
    }
}

/// Whether a file system is noticeably smaller than where it lies.
fn lags(size: u64, place: u64) -> bool {
    size.saturating_add(ALIGNMENT) < place
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
