//! How a disk is laid out: partition table, partitions, what each holds, and what firmware finds to boot.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::efi::{self, EfiProgram};
use super::partition::{self, Kind, Partition, SECTOR};
use super::place::Place;
use super::{BlockRead, DiskError, ImageInfo, lvm};
use crate::block::{Shared, lock};
use crate::filesystem::ext4::{ExtState, Summary};
use crate::filesystem::fat::{Access, Fat};
use crate::filesystem::{self, FileSystem, FileSystemKind, usage, xfs};

/// How a disk is laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Layout {
    /// The image file.
    pub image: ImageInfo,
    /// Kind of partition table.
    pub table: TableKind,
    /// What a BIOS starts, if there is anything.
    pub boot_sector: Option<BootSector>,
    /// The partitions, by number. A disk without table that holds a file system is one partition of number 0.
    pub partitions: Vec<PartitionLayout>,
    /// Logical volumes of LVM, by group and name.
    pub logical_volumes: Vec<LogicalVolumeLayout>,
}

/// Kind of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// GUID partition table.
    Gpt,
    /// Master boot record.
    Mbr,
    /// None.
    None,
}

/// The program in the first sector of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct BootSector {
    /// Whose it is, if tib knows it.
    pub loader: Option<String>,
    /// GRUB: what it loads.
    pub core: Option<CoreImage>,
}

/// The part of GRUB that its boot sector loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CoreImage {
    /// Byte of the disk it begins at.
    pub start: u64,
    /// The partition it lies in; absent when it lies in front of the first.
    pub partition: Option<u32>,
    /// There is something at that place.
    pub present: bool,
}

/// A partition and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PartitionLayout {
    /// The number Linux gives it.
    pub number: u32,
    /// Byte it starts at.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// Type: a GUID, or a byte like `0x83`.
    pub type_code: Option<String>,
    /// What the type is called.
    pub type_name: Option<String>,
    /// GPT: its name.
    pub label: Option<String>,
    /// `PARTUUID`.
    pub id: Option<String>,
    /// MBR: marked as active.
    pub active: bool,
    /// What it holds, if tib knows it.
    pub content: Option<VolumeContent>,
    /// Why what it holds could not be looked at.
    pub problem: Option<String>,
}

/// A logical volume of LVM and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct LogicalVolumeLayout {
    /// Name of its volume group.
    pub group: String,
    /// Its own name.
    pub name: String,
    /// Its identity.
    pub id: String,
    /// Bytes it has.
    pub length: u64,
    /// How it is laid out, in LVM's words: `linear`, `striped`, `thin`, `raid1`, …
    pub kind: String,
    /// The partitions it lies in, where tib knows them.
    pub partitions: Vec<u32>,
    /// What it holds, if tib knows it.
    pub content: Option<VolumeContent>,
    /// Why what it holds could not be looked at.
    pub problem: Option<String>,
}

/// What a partition or logical volume holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct VolumeContent {
    /// Kind, in blkid's words where it has one: `ext4`, `vfat`, `xfs`, `swap`, `lvm`, …
    pub kind: String,
    /// `UUID`.
    pub uuid: Option<String>,
    /// `LABEL`.
    pub label: Option<String>,
    /// Bytes of a block or cluster.
    pub block_size: Option<u64>,
    /// Bytes it has.
    pub size: Option<u64>,
    /// Bytes in use.
    pub used: Option<u64>,
    /// Bytes free.
    pub free: Option<u64>,
    /// Inodes it has.
    pub inodes: Option<u64>,
    /// Inodes in use.
    pub inodes_used: Option<u64>,
    /// Where it was mounted last.
    pub last_mounted: Option<String>,
    /// How it was left.
    pub state: Option<ExtState>,
    /// Programs for UEFI firmware.
    pub efi_programs: Vec<EfiProgram>,
}

/// Says how the disk of an image is laid out. What is wrong inside a partition is told with it.
pub(super) fn read(image: ImageInfo, disk: &Shared) -> Result<Layout, DiskError> {
    let (table, sector, boot_sector, partitions) = read_table(&mut **lock(disk))?;
    let (logical_volumes, lvm_problem) = match logical_volumes(disk, &partitions) {
        Ok(volumes) => (volumes, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let partitions = partitions
        .into_iter()
        .map(|partition| {
            let (content, mut problem) = match content(disk, &Place::Partition(partition.number), &partition)
            {
                Ok(content) => (content, None),
                Err(error) => (None, Some(error.to_string())),
            };
            if content.as_ref().is_some_and(|content| content.kind == word(FileSystemKind::Lvm)) {
                problem.clone_from(&lvm_problem);
            }
            let active = (1..=4).contains(&partition.number)
                && sector[446 + (partition.number as usize - 1) * 16] == 0x80;
            PartitionLayout {
                number: partition.number,
                start: partition.start,
                length: partition.length,
                type_code: partition.kind.code(),
                type_name: partition.kind.name().map(str::to_owned),
                label: partition.label,
                id: partition.id,
                active: table == TableKind::Mbr && active,
                content,
                problem,
            }
        })
        .collect();
    Ok(Layout { image, table, boot_sector, partitions, logical_volumes })
}

fn logical_volumes(disk: &Shared, partitions: &[Partition]) -> Result<Vec<LogicalVolumeLayout>, DiskError> {
    let mut physical = Vec::new();
    for partition in partitions {
        let found = filesystem::detect(&mut **lock(disk), partition.start, partition.length)?;
        if found.is_some_and(|found| found.kind == FileSystemKind::Lvm) {
            physical.push(partition);
        }
    }
    let volumes = lvm::find(disk, &physical)?.into_iter().map(|volume| {
        let place = Place::Logical(Arc::new(volume.clone()));
        let view = place.disk(disk);
        let content = view.map_or(Ok(None), |view| content(&view, &place, &volume.as_partition()));
        let (content, problem) = match content {
            Ok(content) => (content, None),
            Err(error) => (None, Some(error.to_string())),
        };
        LogicalVolumeLayout {
            group: volume.group,
            name: volume.name,
            id: volume.id,
            length: volume.size,
            kind: volume.kind,
            partitions: volume.partitions,
            content,
            problem,
        }
    });
    Ok(volumes.collect())
}

/// The first sector of a disk.
type FirstSector = [u8; SECTOR as usize];

fn read_table(
    disk: &mut dyn BlockRead,
) -> Result<(TableKind, FirstSector, Option<BootSector>, Vec<Partition>), DiskError> {
    let size = disk.size();
    let mut sector = [0; SECTOR as usize];
    if size >= SECTOR {
        disk.read_exact_at(&mut sector, 0)?;
    }
    let (table, partitions) = match partition::table(disk)? {
        Some(partitions) if is_protective(&sector) => (TableKind::Gpt, partitions),
        Some(partitions) => (TableKind::Mbr, partitions),
        None => (TableKind::None, whole(disk)?),
    };
    let boot_sector = boot_sector(disk, table, &sector, &partitions)?;
    Ok((table, sector, boot_sector, partitions))
}

/// Whether a master boot record only says that there is a GPT.
fn is_protective(sector: &FirstSector) -> bool {
    (0..4).any(|entry| sector[446 + entry * 16 + 4] == 0xee)
}

/// The whole disk as a partition, if it holds something.
fn whole(disk: &mut dyn BlockRead) -> Result<Vec<Partition>, DiskError> {
    let size = disk.size();
    let found = filesystem::detect(disk, 0, size)?;
    let whole = Partition { number: 0, start: 0, length: size, kind: Kind::Disk, label: None, id: None };
    Ok(found.map(|_| whole).into_iter().collect())
}

fn boot_sector(
    disk: &mut dyn BlockRead,
    table: TableKind,
    sector: &FirstSector,
    partitions: &[Partition],
) -> Result<Option<BootSector>, DiskError> {
    // Without a table the sector belongs to a file system. No jump at the start: no program.
    if table == TableKind::None || sector[..2] == [0, 0] || sector[510..] != [0x55, 0xaa] {
        return Ok(None);
    }
    if !efi::contains(&sector[..440], b"GRUB ") {
        let is_syslinux = efi::contains(&sector[..440], b"Missing operating system");
        return Ok(Some(BootSector { loader: is_syslinux.then(|| "SYSLINUX".to_owned()), core: None }));
    }
    // `GRUB_BOOT_MACHINE_KERNEL_SECTOR` in GRUB's `include/grub/i386/pc/boot.h`.
    let first = sector[0x5c..0x64].try_into().map(u64::from_le_bytes).unwrap_or_default();
    let start = first.saturating_mul(SECTOR);
    let mut content = [0; SECTOR as usize];
    let present = start > 0 && start.checked_add(SECTOR).is_some_and(|end| end <= disk.size()) && {
        disk.read_exact_at(&mut content, start)?;
        content != [0; SECTOR as usize]
    };
    let within = partitions.iter().find(|partition| {
        (partition.start..partition.start.saturating_add(partition.length)).contains(&start)
    });
    let core = CoreImage { start, partition: within.map(|partition| partition.number), present };
    Ok(Some(BootSector { loader: Some("GRUB".to_owned()), core: Some(core) }))
}

fn content(disk: &Shared, place: &Place, partition: &Partition) -> Result<Option<VolumeContent>, DiskError> {
    let (start, length) = (partition.start, partition.length);
    let found = filesystem::detect(&mut **lock(disk), start, length)?;
    let Some(FileSystem { kind, uuid, label }) = found else { return Ok(None) };
    usage::check_size(&mut **lock(disk), kind, place, start, length)?;
    let mut content = VolumeContent { kind: word(kind).to_owned(), uuid, label, ..VolumeContent::default() };
    match kind {
        FileSystemKind::Ext => {
            let block = Summary::read(&mut **lock(disk), start)?;
            let bytes = |blocks: u64| Some(blocks * block.block_size);
            block.version.name().clone_into(&mut content.kind);
            content.block_size = Some(block.block_size);
            content.size = bytes(block.blocks);
            content.used = bytes(block.blocks - block.free_blocks);
            content.free = bytes(block.free_blocks);
            content.inodes = Some(block.inodes);
            content.inodes_used = Some(block.inodes - block.free_inodes);
            content.last_mounted = block.last_mounted;
            content.state = Some(block.state);
        }
        FileSystemKind::Xfs => match xfs::Summary::read(disk, start, length) {
            Ok(xfs) => {
                let bytes = |blocks: u64| Some(blocks * xfs.block_size);
                content.block_size = Some(xfs.block_size);
                (content.size, content.free) = (bytes(xfs.blocks), bytes(xfs.free_blocks));
                content.used = bytes(xfs.blocks - xfs.free_blocks);
                (content.inodes, content.inodes_used) =
                    (Some(xfs.inodes), Some(xfs.inodes - xfs.free_inodes));
                content.state = Some(if xfs.is_clean { ExtState::Clean } else { ExtState::NeedsRecovery });
            }
            // Of one with features that tib does not know, the names are right.
            Err(DiskError::Unsupported(_)) => {}
            Err(error) => return Err(error),
        },
        FileSystemKind::Vfat => {
            // As blkid writes it.
            content.uuid = content.uuid.map(|id| id.to_uppercase());
            let mut fat = Fat::open(disk, start, length, Access::default())?;
            let (size, free) = fat.space()?;
            content.block_size = Some(fat.cluster_size());
            (content.size, content.free, content.used) = (Some(size), Some(free), Some(size - free));
            content.label = fat.label()?;
            if partition.kind.is_efi() {
                content.efi_programs = efi::programs(&mut fat)?;
            }
        }
        _ => {}
    }
    Ok(Some(content))
}

fn word(kind: FileSystemKind) -> &'static str {
    match kind {
        FileSystemKind::Ext => "ext",
        FileSystemKind::Xfs => "xfs",
        FileSystemKind::Btrfs => "btrfs",
        FileSystemKind::Vfat => "vfat",
        FileSystemKind::Swap => "swap",
        FileSystemKind::Lvm => "lvm",
        FileSystemKind::Luks => "luks",
        FileSystemKind::Raid => "raid",
        FileSystemKind::Squashfs => "squashfs",
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
