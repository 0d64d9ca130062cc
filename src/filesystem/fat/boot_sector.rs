//! The first sector of a FAT file system (Microsoft's specification of FAT, section 3; Linux, `fs/fat/inode.c`).

use super::damaged;
use crate::block::DiskError;
use crate::block::bytes::{le16, le32};

/// Bytes read of it.
pub(super) const LENGTH: usize = 512;
/// Bytes of an entry of a directory.
pub(super) const ENTRY: u64 = 32;

/// How wide the entries of the allocation table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

/// Where the parts of a file system lie, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) kind: Kind,
    pub(super) cluster_size: u64,
    /// Number of clusters. The first is number 2.
    pub(super) clusters: u64,
    /// Where the allocation table begins: the first, as in Linux.
    pub(super) table: u64,
    /// Where cluster 2 begins.
    pub(super) data: u64,
    pub(super) root: RootDirectory,
}

/// Where the root directory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RootDirectory {
    /// FAT12 and FAT16: a stretch of its own.
    Stretch { start: u64, length: u64 },
    /// FAT32: a chain like any other.
    Chain(u32),
}

impl Geometry {
    /// Takes a boot sector apart. `length` is that of the partition.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] for one that makes no sense.
    pub(super) fn parse(boot: &[u8; LENGTH], length: u64) -> Result<Self, DiskError> {
        let either = |narrow: u64, wide: u64| if narrow == 0 { wide } else { narrow };
        let (sector, per_cluster) = (u64::from(le16(boot, 11)), u64::from(boot[13]));
        let (reserved, tables) = (u64::from(le16(boot, 14)), u64::from(boot[16]));
        let root_entries = u64::from(le16(boot, 17));
        let sectors = either(le16(boot, 19).into(), le32(boot, 32).into());
        let narrow_table = u64::from(le16(boot, 22));
        let table_sectors = either(narrow_table, le32(boot, 36).into());
        let is_sane = matches!(sector, 512 | 1024 | 2048 | 4096) && per_cluster.is_power_of_two();
        if !is_sane || reserved == 0 || tables == 0 || table_sectors == 0 {
            return damaged("its boot sector makes no sense");
        }
        let root_start = reserved + tables * table_sectors;
        let root_sectors = (root_entries * ENTRY).div_ceil(sector);
        let data = root_start + root_sectors;
        if data >= sectors || sectors * sector > length {
            return damaged("it is larger than its partition");
        }
        let clusters = (sectors - data) / per_cluster;
        // As Linux and firmware have it. By the specification the number of clusters alone decides, but there are
        // FAT32 file systems with few.
        let kind = match clusters {
            _ if narrow_table == 0 => Kind::Fat32,
            ..4085 => Kind::Fat12,
            _ => Kind::Fat16,
        };
        let table_length = table_sectors * sector;
        // What the table has no room for is not used. The two first entries stand for no cluster.
        let clusters = clusters.min((table_length * 8 / kind.bits()).saturating_sub(2));
        if clusters == 0 || clusters > kind.most_clusters() {
            return damaged(format!("it cannot have {clusters} clusters"));
        }
        let root = match kind {
            Kind::Fat32 => RootDirectory::Chain(le32(boot, 44)),
            _ => RootDirectory::Stretch { start: root_start * sector, length: root_entries * ENTRY },
        };
        Ok(Self {
            kind,
            cluster_size: per_cluster * sector,
            clusters,
            table: reserved * sector,
            data: data * sector,
            root,
        })
    }

    /// Where a cluster begins, if there is such a cluster.
    pub(super) fn place(&self, cluster: u32) -> Option<u64> {
        let index = u64::from(cluster).checked_sub(2)?;
        (index < self.clusters).then(|| self.data + index * self.cluster_size)
    }
}

impl Kind {
    /// Bits of an entry of the allocation table.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    fn most_clusters(self) -> u64 {
        match self {
            Self::Fat12 => 0xff4,
            Self::Fat16 => 0xfff4,
            Self::Fat32 => 0x0fff_fff6,
        }
    }
}
