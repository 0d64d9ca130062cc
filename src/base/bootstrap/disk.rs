//! The disk around the root file system: partition table, boot sectors, EFI system partition.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gptman::{GPT, GPTPartitionEntry};

use crate::base::BaseError;
use crate::cache::CacheError;
use crate::cache::files;
use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::disk::SECTOR;

const MIB: u64 = 1 << 20;
/// Bytes of the whole disk. Images grow when they are built and again on their first boot.
pub(crate) const SIZE: u64 = 4096 * MIB;
/// Bytes of the root partition, which comes last so that it can grow.
pub(crate) const ROOT_SIZE: u64 = SIZE - ROOT_START - MIB;

// Each partition starts where the one before ends; the last MiB is left to the backup table.
const BIOS_START: u64 = MIB;
const ESP_START: u64 = 2 * MIB;
const ESP_SIZE: u64 = 64 * MIB;
const ROOT_START: u64 = ESP_START + ESP_SIZE;

// Partition types, as GPT writes them: the first three groups little-endian.
const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";
const ESP: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
/// "Linux root (x86-64)" of the Discoverable Partitions Specification.
const ROOT_X86_64: [u8; 16] =
    [0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09];

/// The ids in an image. They follow from what the image is made from, so that two hosts make equal ones.
#[derive(Debug)]
pub(crate) struct Identity {
    /// UUID of the root file system.
    pub(crate) root: String,
    esp: u32,
    disk: [u8; 16],
    partitions: [[u8; 16]; 3],
}

/// The boot loader's files that lie outside the root file system.
#[derive(Debug)]
pub(crate) struct BootFiles {
    /// `boot.img`: the first sector.
    pub(crate) boot: Vec<u8>,
    /// `core.img`: what the first sector loads.
    pub(crate) core: Vec<u8>,
    /// `core.efi`: what UEFI firmware loads.
    pub(crate) efi: Vec<u8>,
}

impl Identity {
    pub(crate) fn from_key(key: Digest) -> Self {
        let id = |name: &str| {
            let digest = Digest::of(format!("{key} {name}").as_bytes()).to_string();
            let mut bytes = u128::from_str_radix(&digest[..32], 16).unwrap_or_default().to_be_bytes();
            // Version 4, variant 1: an id without a meaning.
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            bytes
        };
        let [a, b, c, d, ..] = id("esp");
        Self {
            root: uuid(&id("root")),
            esp: u32::from_be_bytes([a, b, c, d]),
            disk: id("disk"),
            partitions: [id("partition 1"), id("partition 2"), id("partition 3")],
        }
    }

    /// The id of the EFI system partition, as `/etc/fstab` writes it.
    pub(crate) fn esp_text(&self) -> String {
        format!("{:04X}-{:04X}", self.esp >> 16, self.esp & 0xffff)
    }
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Makes the disk `path` with the file system `root` in its last partition.
pub(crate) fn assemble(
    path: &Path,
    root: &Path,
    boot: &BootFiles,
    identity: &Identity,
    cancel: &Cancel,
) -> Result<(), BaseError> {
    let (mbr, core) = boot_sectors(boot)?;
    let failed = || CacheError::io("write", path);
    let mut disk = File::options().read(true).write(true).create_new(true).open(path).map_err(failed())?;
    disk.set_len(SIZE).map_err(failed())?;
    partition(&mut disk, identity).map_err(|error| failed()(std::io::Error::other(error)))?;
    // Only the code: the partition table behind it has just been written.
    disk.write_all_at(&mbr, 0).map_err(failed())?;
    disk.write_all_at(&core, BIOS_START).map_err(failed())?;

    let esp_path = path.with_extension("esp");
    let esp = efi_partition(&esp_path, boot, identity).map_err(CacheError::io("write", &esp_path))?;
    files::copy_data(&esp, &esp_path, (&disk, path), ESP_START, cancel)?;
    fs_err::remove_file(&esp_path).map_err(CacheError::io("remove", &esp_path))?;

    let source = File::open(root).map_err(CacheError::io("open", root))?;
    Ok(files::copy_data(&source, root, (&disk, path), ROOT_START, cancel)?)
}

fn partition(disk: &mut File, identity: &Identity) -> gptman::Result<()> {
    let mut table = GPT::new_from(disk, SECTOR, identity.disk)?;
    let layout = [
        ("bios", BIOS_BOOT, BIOS_START, ESP_START),
        ("esp", ESP, ESP_START, ROOT_START),
        ("root", ROOT_X86_64, ROOT_START, ROOT_START + ROOT_SIZE),
    ];
    for ((number, (name, kind, start, end)), id) in (1..).zip(layout).zip(identity.partitions) {
        table[number] = GPTPartitionEntry {
            partition_type_guid: kind,
            unique_partition_guid: id,
            starting_lba: start / SECTOR,
            ending_lba: end / SECTOR - 1,
            attribute_bits: 0,
            partition_name: name.into(),
        };
    }
    GPT::write_protective_mbr_into(disk, SECTOR)?;
    table.write_into(disk)?;
    Ok(())
}

/// What `grub-install` does to the two images before it writes them: tells each where the next is.
///
/// The offsets are GRUB's (`include/grub/i386/pc/boot.h`), unchanged since 1.9x.
fn boot_sectors(boot: &BootFiles) -> Result<(Vec<u8>, Vec<u8>), BaseError> {
    const CODE_END: usize = 0x1b8;
    const BPB: std::ops::Range<usize> = 0x03..0x5a;
    const KERNEL_SECTOR: usize = 0x5c;
    const DRIVE_CHECK: usize = 0x66;
    const BLOCK_LIST: usize = 512 - 12;
    const SECOND_SECTOR_SEGMENT: u16 = 0x820;

    let incomplete = |what: &str| BaseError::Incomplete(format!("GRUB's {what}"));
    if boot.boot.len() != 512 || boot.boot[510..] != [0x55, 0xaa] {
        return Err(incomplete("boot.img is not a boot sector"));
    }
    let mut mbr = boot.boot[..CODE_END].to_vec();
    mbr[BPB].fill(0);
    let first = BIOS_START / SECTOR;
    mbr[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&first.to_le_bytes());
    // No-operations for a jump: do not trust a BIOS that says to have booted from a floppy.
    mbr[DRIVE_CHECK..DRIVE_CHECK + 2].fill(0x90);

    let mut core = boot.core.clone();
    let sectors = core.len().div_ceil(512);
    let room = usize::try_from((ESP_START - BIOS_START) / SECTOR).unwrap_or(0);
    if sectors < 2 || sectors > room {
        return Err(incomplete("core.img has an impossible size"));
    }
    core.resize(sectors * 512, 0);
    // One run of sectors behind the first; the empty run before it ends the list, which is read backwards.
    core[BLOCK_LIST - 12..BLOCK_LIST].fill(0);
    core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(first + 1).to_le_bytes());
    let rest = u16::try_from(sectors - 1).map_err(|_| incomplete("core.img is too large"))?;
    core[BLOCK_LIST + 8..BLOCK_LIST + 10].copy_from_slice(&rest.to_le_bytes());
    core[BLOCK_LIST + 10..512].copy_from_slice(&SECOND_SECTOR_SEGMENT.to_le_bytes());
    Ok((mbr, core))
}

/// Makes a file with the EFI system partition: GRUB where firmware looks without being told.
fn efi_partition(path: &Path, boot: &BootFiles, identity: &Identity) -> std::io::Result<File> {
    let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
    file.set_len(ESP_SIZE)?;
    let options = fatfs::FormatVolumeOptions::new()
        .fat_type(fatfs::FatType::Fat32)
        .bytes_per_cluster(512)
        .volume_id(identity.esp)
        .volume_label(*b"ESP        ");
    fatfs::format_volume(&mut file, options)?;
    {
        let volume = fatfs::FileSystem::new(&file, fatfs::FsOptions::new())?;
        let directory = volume.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
        let mut loader = directory.create_file("BOOTX64.EFI")?;
        loader.write_all(&boot.efi)?;
        loader.flush()?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn boot_files() -> BootFiles {
        let mut boot = vec![0xcc; 512];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut core = vec![0xdd; 1500];
        core[476..512].fill(0xee);
        BootFiles { boot, core, efi: b"MZ efi loader".to_vec() }
    }

    #[test]
    fn ids_follow_from_the_key_and_look_like_ids() {
        let identity = Identity::from_key(Digest::of(b"key"));
        assert_eq!(identity.root, Identity::from_key(Digest::of(b"key")).root);
        assert_ne!(identity.root, Identity::from_key(Digest::of(b"other")).root);
        let parts: Vec<usize> = identity.root.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(identity.root.as_bytes()[14], b'4');
        assert_eq!(identity.esp_text().len(), 9);
    }

    #[test]
    fn boot_sectors_point_to_what_follows_them() {
        let (mbr, core) = boot_sectors(&boot_files()).unwrap();
        assert_eq!(mbr.len(), 440, "code only: disk id and table stay");
        assert_eq!(mbr[0x5c..0x64], 2048u64.to_le_bytes());
        assert_eq!(mbr[0x66..0x68], [0x90, 0x90]);
        assert_eq!(core.len(), 1536, "whole sectors");
        assert_eq!(core[500..508], 2049u64.to_le_bytes());
        assert_eq!(core[508..512], [2, 0, 0x20, 0x08]);
        assert_eq!(core[488..500], [0; 12]);
    }

    #[test]
    fn images_that_cannot_boot_are_refused() {
        let damage: [fn(&mut BootFiles); 4] = [
            |files| files.boot[511] = 0,
            |files| files.boot.truncate(511),
            |files| files.core.truncate(512),
            |files| files.core.resize((1 << 20) + 1, 0),
        ];
        for (number, damage) in damage.iter().enumerate() {
            let mut files = boot_files();
            damage(&mut files);
            assert!(boot_sectors(&files).is_err(), "{number}");
        }
    }

    #[test]
    fn a_disk_has_its_table_twice_and_every_partition_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (path, root) = (dir.path().join("disk.raw"), dir.path().join("root.ext4"));
        fs_err::write(&root, b"the root file system").unwrap();
        let identity = Identity::from_key(Digest::of(b"key"));
        assemble(&path, &root, &boot_files(), &identity, &Cancel::new()).unwrap();
        let mut disk = File::open(&path).unwrap();
        assert_eq!(disk.metadata().unwrap().len(), SIZE);

        let table = GPT::read_from(&mut disk, SECTOR).unwrap();
        let used: Vec<_> = table.iter().filter(|(_, entry)| entry.is_used()).collect();
        let places: Vec<_> = used.iter().map(|(_, entry)| entry.starting_lba * SECTOR).collect();
        assert_eq!(places, [BIOS_START, ESP_START, ROOT_START]);
        assert_eq!(used[2].1.size().unwrap() * SECTOR, ROOT_SIZE);
        let mut signature = [0; 8];
        disk.read_exact_at(&mut signature, SIZE - SECTOR).unwrap();
        assert_eq!(&signature, b"EFI PART");
        let mut content = [0; 20];
        disk.read_exact_at(&mut content, ROOT_START).unwrap();
        assert_eq!(&content, b"the root file system");

        let mut esp = vec![0; usize::try_from(ESP_SIZE).unwrap()];
        disk.read_exact_at(&mut esp, ESP_START).unwrap();
        let volume = fatfs::FileSystem::new(std::io::Cursor::new(esp), fatfs::FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), fatfs::FatType::Fat32);
        assert_eq!(volume.volume_id(), identity.esp);
        let mut loader = Vec::new();
        volume.root_dir().open_file("EFI/BOOT/BOOTX64.EFI").unwrap().read_to_end(&mut loader).unwrap();
        assert_eq!(loader, b"MZ efi loader");
        assert!(!dir.path().join("disk.esp").exists());
    }
}
