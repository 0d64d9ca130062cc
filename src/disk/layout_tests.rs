use std::path::Path;

use super::*;
use crate::disk::testing::Lab;
use crate::disk::{Policy, VirtualDisk};

const SCRIPT: &str = "label: gpt\n\
    start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\n\
    start=4096, size=65536, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=ESP\n\
    start=69632, size=65536, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=\"root fs\"\n\
    start=135168, size=8192, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F\n\
    start=143360, size=8192, type=E6D6D379-F507-44C2-A23C-238F2A3DF928\n";

/// A disk of 96 MiB with a table that sfdisk wrote, and file systems that their own programs made.
fn disk(lab: &Lab, script: &str) -> Vec<u8> {
    fs_err::write(lab.path("script"), script).unwrap();
    fs_err::File::create(lab.path("disk.img")).unwrap().set_len(96 << 20).unwrap();
    lab.run("sh", &["-c", "sfdisk -q disk.img < script"]);
    fs_err::read(lab.path("disk.img")).unwrap()
}

fn put(disk: &mut [u8], sector: usize, bytes: &[u8]) {
    disk[sector * 512..sector * 512 + bytes.len()].copy_from_slice(bytes);
}

fn esp(lab: &Lab) -> Vec<u8> {
    fs_err::File::create(lab.path("esp.img")).unwrap().set_len(32 << 20).unwrap();
    lab.run("mkfs.vfat", &["-i", "1234abcd", "-n", "EFI", "esp.img"]);
    let mut program = vec![0; 0x80];
    program[0x3c] = 0x80;
    program.extend(b"PE\0\0\x64\x86 UEFI SHIM");
    fs_err::write(lab.path("program"), program).unwrap();
    lab.run("mmd", &["-i", "esp.img", "::/EFI", "::/EFI/BOOT"]);
    lab.run("mcopy", &["-i", "esp.img", "program", "::/EFI/BOOT/BOOTX64.EFI"]);
    fs_err::read(lab.path("esp.img")).unwrap()
}

fn described(image: &Path) -> Layout {
    VirtualDisk::open(image, &Policy::default()).unwrap().layout().unwrap()
}

fn bytes_of(lab: &Lab, bytes: &[u8]) -> Layout {
    fs_err::write(lab.path("disk.img"), bytes).unwrap();
    described(&lab.path("disk.img"))
}

#[test]
fn a_disk_that_boots_both_ways() {
    let lab = Lab::new();
    let mut bytes = disk(&lab, SCRIPT);
    lab.run("mke2fs", &["-q", "-t", "ext4", "-L", "root", "-M", "/", "root.img", "32M"]);
    put(&mut bytes, 4096, &esp(&lab));
    put(&mut bytes, 69632, &fs_err::read(lab.path("root.img")).unwrap());
    fs_err::File::create(lab.path("swap.img")).unwrap().set_len(4 << 20).unwrap();
    lab.run("mkswap", &["-q", "-L", "swap", "swap.img"]);
    put(&mut bytes, 135_168, &fs_err::read(lab.path("swap.img")).unwrap());
    put(&mut bytes, 143_360 + 1, b"LABELONE");
    bytes[..3].copy_from_slice(&[0xeb, 0x63, 0x90]);
    bytes[0x180..0x185].copy_from_slice(b"GRUB ");
    bytes[0x5c..0x64].copy_from_slice(&2048u64.to_le_bytes());
    put(&mut bytes, 2048, &[0x52, 0xe8]);

    let found = bytes_of(&lab, &bytes);
    assert_eq!(found.table, TableKind::Gpt);
    let core = CoreImage { start: 1 << 20, partition: Some(1), present: true };
    assert_eq!(found.boot_sector, Some(BootSector { loader: Some("GRUB".to_owned()), core: Some(core) }));
    let rows: Vec<String> = found
        .partitions
        .iter()
        .map(|p| {
            let content = p.content.clone().unwrap_or_default();
            format!(
                "{} {} {} {:?} {} {} {:?}",
                p.number,
                p.start / 512,
                p.type_name.clone().unwrap(),
                p.label,
                content.kind,
                content.label.unwrap_or_default(),
                p.problem
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            "1 2048 BIOS boot None   None",
            "2 4096 EFI System Some(\"ESP\") vfat EFI None",
            "3 69632 Linux root (x86-64) Some(\"root fs\") ext4 root None",
            "4 135168 Linux swap None swap swap None",
            "5 143360 Linux LVM None lvm  Some(\"damaged image: the label of LVM's physical volume in partition 5 is not whole\")",
        ]
    );
    let esp = found.partitions[1].content.as_ref().unwrap();
    assert_eq!(esp.uuid.as_deref(), Some("1234-ABCD"));
    let [program] = esp.efi_programs.as_slice() else { panic!("{:?}", esp.efi_programs) };
    assert!(program.is_removable() && program.loader.as_deref() == Some("shim"));
    let root = found.partitions[2].content.as_ref().unwrap();
    assert_eq!((root.size, root.state), (Some(32 << 20), Some(ExtState::Clean)));
    assert_eq!(root.used.unwrap() + root.free.unwrap(), 32 << 20);
    assert_eq!(root.last_mounted.as_deref(), Some("/"));

    // The same, as qcow2: nothing but the image differs.
    lab.run("qemu-img", &["convert", "-O", "qcow2", "disk.img", "disk.qcow2"]);
    let qcow2 = described(&lab.path("disk.qcow2"));
    assert_eq!(qcow2.image.format, crate::disk::Format::Qcow2);
    assert_eq!(Layout { image: found.image.clone(), ..qcow2 }, found);
}

#[test]
fn a_master_boot_record() {
    let lab = Lab::new();
    let script = "label: dos\nstart=2048, size=8192, type=83, bootable\nstart=10240, size=65536, type=ef\n";
    let mut bytes = disk(&lab, script);
    put(&mut bytes, 10_240, &esp(&lab));
    let found = bytes_of(&lab, &bytes);
    assert_eq!((found.table, found.boot_sector), (TableKind::Mbr, None));
    let [first, second] = found.partitions.as_slice() else { panic!() };
    assert!(first.active && !second.active && first.content.is_none());
    assert_eq!(second.content.as_ref().unwrap().efi_programs.len(), 1);
    assert_eq!(second.type_code.as_deref(), Some("0xef"));
}

#[test]
fn damage_in_a_partition_is_told_with_it() {
    let lab = Lab::new();
    let mut bytes = disk(&lab, SCRIPT);
    let mut damaged = esp(&lab);
    damaged[13] = 3; // Sectors in a cluster: no power of two.
    put(&mut bytes, 4096, &damaged);
    put(&mut bytes, 69632 + 2, &[0; 512]);
    bytes[69632 * 512 + 0x438] = 0x53;
    bytes[69632 * 512 + 0x439] = 0xef;
    bytes[69632 * 512 + 0x418] = 9; // Blocks of half a megabyte.
    let found = bytes_of(&lab, &bytes);
    let problems: Vec<_> = found.partitions.iter().filter_map(|p| p.problem.as_deref()).collect();
    let [fat, ext] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(fat.contains("boot sector makes no sense"), "{fat}");
    assert!(ext.contains("superblock makes no sense"), "{ext}");
}

#[test]
fn disks_without_a_table() {
    let lab = Lab::new();
    lab.run("mke2fs", &["-q", "-t", "ext2", "fs.img", "8M"]);
    let found = described(&lab.path("fs.img"));
    assert_eq!(found.table, TableKind::None);
    assert_eq!(found.partitions[0].content.as_ref().unwrap().kind, "ext2");
    lab.run("qemu-img", &["create", "-q", "-f", "qcow2", "empty.qcow2", "8M"]);
    let found = described(&lab.path("empty.qcow2"));
    assert_eq!((found.table, found.partitions), (TableKind::None, Vec::new()));
}
