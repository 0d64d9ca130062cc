//! Partitions and file systems on an empty disk, for making a base image.

use guestfs::MkfsOptArgs;

use super::GuestError;
use super::root::device_name;
use super::session::Session;

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKind {
    /// GRUB's core image, for booting with a BIOS.
    BiosBoot,
    /// The EFI system partition.
    Efi,
    /// A Linux file system.
    Linux,
}

impl PartitionKind {
    fn gpt_type(self) -> &'static str {
        match self {
            Self::BiosBoot => "21686148-6449-6E6F-744E-656564454649",
            Self::Efi => "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            Self::Linux => "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
        }
    }
}

/// A partition to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartition {
    /// What it is for.
    pub kind: PartitionKind,
    /// Its name in the partition table.
    pub name: String,
    /// Its size in MiB; `None`: up to the end of the disk, for the last one only.
    pub mib: Option<u32>,
}

/// A file system to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4.
    Ext4,
    /// FAT, for an EFI system partition.
    Vfat,
}

const SECTORS_PER_MIB: i64 = 2048;
/// Sectors at the end of a disk that hold the backup of a GPT.
const TAIL: i64 = 34;

impl Session {
    /// Writes a GPT to a drive and makes partitions, aligned to 1 MiB. Returns their devices, in order.
    ///
    /// # Errors
    /// [`GuestError::Call`], when they do not fit among others.
    pub fn partition(&mut self, drive: usize, parts: &[NewPartition]) -> Result<Vec<String>, GuestError> {
        let disk = device_name(drive);
        let (device, parts) = (disk.clone(), parts.to_vec());
        self.call("part_add", Some(&disk), move |g| {
            g.part_init(&device, "gpt")?;
            let end_of_disk = g.blockdev_getsz(&device)? - TAIL;
            let mut start = SECTORS_PER_MIB;
            let mut devices = Vec::new();
            for (number, part) in (1..).zip(&parts) {
                let end = part.mib.map_or(end_of_disk, |mib| start + i64::from(mib) * SECTORS_PER_MIB - 1);
                g.part_add(&device, "primary", start, end)?;
                g.part_set_gpt_type(&device, number, part.kind.gpt_type())?;
                g.part_set_name(&device, number, &part.name)?;
                devices.push(format!("{device}{number}"));
                start = end + 1;
            }
            Ok(devices)
        })
    }

    /// Makes a file system with a label; returns its UUID as fstab wants it.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn make_filesystem(
        &mut self,
        device: &str,
        kind: FileSystem,
        label: &str,
    ) -> Result<String, GuestError> {
        let (name, label) = (device.to_owned(), label.to_owned());
        self.call("mkfs", Some(device), move |g| {
            let kind = match kind {
                FileSystem::Ext4 => "ext4",
                FileSystem::Vfat => "vfat",
            };
            g.mkfs(kind, &name, MkfsOptArgs { label: Some(&label), ..MkfsOptArgs::default() })?;
            g.vfs_uuid(&name)
        })
    }
}
