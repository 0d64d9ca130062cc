use proptest::prelude::*;

use super::super::testing::{Lab, write};
use super::super::{Policy, open};
use super::*;
use crate::block::Memory;

fn table_by_sfdisk(lab: &Lab, script: &str, size: u64) -> Vec<u8> {
    write(&lab.path("disk.raw"), &[]);
    std::fs::OpenOptions::new().write(true).open(lab.path("disk.raw")).unwrap().set_len(size).unwrap();
    write(&lab.path("script"), script.as_bytes());
    lab.run("sh", &["-c", "sfdisk -q disk.raw < script"]);
    std::fs::read(lab.path("disk.raw")).unwrap()
}

const GPT: &str = "label: gpt\n\
    size=1M, type=21686148-6449-6E6F-744E-656564454649, name=bios\n\
    size=4M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=11111111-2222-3333-4444-555555555555\n\
    type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"the root\"\n";
const MBR: &str = "label: dos\nlabel-id: 0x1234abcd\ndisk.raw1 : size=2M, type=83, bootable\n\
    disk.raw2 : size=10M, type=5\ndisk.raw5 : size=1M, type=82\ndisk.raw6 : size=1M, type=83\n";

/// What sfdisk itself says: number, start and length in bytes.
fn by_sfdisk(lab: &Lab) -> Vec<(u32, u64, u64)> {
    let json: serde_json::Value = serde_json::from_str(&lab.run("sfdisk", &["--json", "disk.raw"])).unwrap();
    let number = |value: &serde_json::Value, key: &str| value[key].as_u64().unwrap() * SECTOR;
    json["partitiontable"]["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let node = entry["node"].as_str().unwrap();
            let index = node.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            (index, number(entry, "start"), number(entry, "size"))
        })
        .collect()
}

#[test]
fn tables_are_what_sfdisk_says() {
    let lab = Lab::new();
    for script in [GPT, MBR] {
        let bytes = table_by_sfdisk(&lab, script, 32 << 20);
        let partitions = list(&mut Memory(bytes)).unwrap();
        let mut expected = by_sfdisk(&lab);
        expected.retain(|(number, ..)| script == GPT || *number != 2);
        let found: Vec<_> = partitions.iter().map(|p| (p.number, p.start, p.length)).collect();
        assert_eq!(found, expected, "{script}");
    }
}

#[test]
fn names_and_identities_are_read() {
    let lab = Lab::new();
    let gpt = list(&mut Memory(table_by_sfdisk(&lab, GPT, 32 << 20))).unwrap();
    assert_eq!(gpt[1].id.as_deref(), Some("11111111-2222-3333-4444-555555555555"));
    assert_eq!(gpt[2].label.as_deref(), Some("the root"));
    assert_eq!(gpt[2].kind, Kind::Gpt("0fc63daf-8483-4772-8e79-3d69d8477de4".to_owned()));
    let mbr = list(&mut Memory(table_by_sfdisk(&lab, MBR, 32 << 20))).unwrap();
    assert_eq!(mbr[0].id.as_deref(), Some("1234abcd-01"));
    assert_eq!((mbr[1].number, &mbr[1].kind), (5, &Kind::Mbr(0x82)));
}

#[test]
fn the_second_copy_of_a_gpt_is_used() {
    let lab = Lab::new();
    let mut bytes = table_by_sfdisk(&lab, GPT, 32 << 20);
    let good = list(&mut Memory(bytes.clone())).unwrap();
    bytes[512 + 40] ^= 1;
    assert_eq!(list(&mut Memory(bytes.clone())).unwrap(), good);
    let last = bytes.len() - 512;
    bytes[last] ^= 1;
    let error = list(&mut Memory(bytes)).unwrap_err();
    assert_eq!(error.to_string(), "damaged image: the checksum of the GPT header is wrong");
}

#[test]
fn a_file_system_on_the_whole_disk_is_one_partition() {
    let lab = Lab::new();
    lab.run(
        "mke2fs",
        &["-q", "-t", "ext4", "-L", "all", "-U", "01234567-89ab-cdef-0123-456789abcdef", "disk.raw", "8M"],
    );
    let mut disk = open(&lab.path("disk.raw"), &Policy::default()).unwrap();
    let partitions = list(disk.as_mut()).unwrap();
    assert_eq!((partitions.len(), partitions[0].number, partitions[0].length), (1, 0, 8 << 20));
    let found = filesystem::detect(disk.as_mut(), 0, 8 << 20).unwrap().unwrap();
    assert_eq!(found.kind, filesystem::FileSystemKind::Ext);
    assert_eq!(found.uuid.as_deref(), Some("01234567-89ab-cdef-0123-456789abcdef"));
    assert_eq!(found.label.as_deref(), Some("all"));
}

/// fdisk writes it and tells where the partitions are; a file system in one of them makes clear in which sectors.
#[test]
fn a_master_boot_record_may_count_large_sectors() {
    let lab = Lab::new();
    lab.run("sh", &["-c", "truncate -s 96M disk.raw; printf 'o\\nn\\np\\n1\\n256\\n+16M\\nn\\ne\\n2\\n\\n\\nn\\n\\n\\nw\\n' | \
        fdisk -b 4096 disk.raw"]);
    let listed = lab.run("fdisk", &["-b", "4096", "-l", "-o", "device,start,sectors", "disk.raw"]);
    let expected: Vec<(u32, u64, u64)> = listed
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("disk.raw")?.split_ascii_whitespace();
            let mut next = || words.next()?.parse::<u64>().ok();
            Some((u32::try_from(next()?).ok()?, next()? * 4096, next()? * 4096))
        })
        .filter(|(number, ..)| *number != 2)
        .collect();
    assert_eq!(expected.len(), 2, "{listed}");
    // Without anything in them, nobody can tell.
    let mut disk = open(&lab.path("disk.raw"), &Policy::default()).unwrap();
    assert_eq!(read_table(disk.as_mut()).unwrap().unwrap().sector, 512);
    for (_, start, _) in &expected {
        let offset = format!("offset={start}");
        lab.run("mke2fs", &["-q", "-F", "-t", "ext4", "-E", &offset, "disk.raw", "16M"]);
    }
    let mut disk = open(&lab.path("disk.raw"), &Policy::default()).unwrap();
    let table = read_table(disk.as_mut()).unwrap().unwrap();
    assert_eq!(table.sector, 4096);
    let found: Vec<_> = table.partitions.iter().map(|p| (p.number, p.start, p.length)).collect();
    assert_eq!(found, expected);
}

/// Linux lets such a partition end with the disk, and a partition that begins behind it does not exist there.
#[test]
fn a_partition_ends_with_its_disk() {
    let lab = Lab::new();
    let script = "label: dos\nsize=8M, type=83\nsize=20M, type=83\n";
    let bytes = table_by_sfdisk(&lab, script, 32 << 20);
    let whole = list(&mut Memory(bytes.clone())).unwrap();
    let cut = list(&mut Memory(bytes[..24 << 20].to_vec())).unwrap();
    assert_eq!(cut[0], whole[0]);
    assert_eq!((cut[1].start, cut[1].start + cut[1].length), (whole[1].start, 24 << 20));
    let error = list(&mut Memory(bytes[..8 << 20].to_vec())).unwrap_err();
    assert_eq!(error.to_string(), "damaged image: partition 2 begins behind the end of the disk");
    let bytes = table_by_sfdisk(&lab, MBR, 32 << 20);
    let logical = list(&mut Memory(bytes.clone())).unwrap()[2].clone();
    let size = (logical.start + logical.length - 4096) as usize;
    let cut = list(&mut Memory(bytes[..size].to_vec())).unwrap();
    assert_eq!((cut[2].number, cut[2].length), (6, logical.length - 4096));
}

#[test]
fn a_boot_sector_of_a_file_system_is_no_table() {
    let lab = Lab::new();
    for bits in ["12", "16", "32"] {
        std::fs::File::create(lab.path("fat")).unwrap().set_len(64 << 20).unwrap();
        lab.run("mkfs.fat", &["-F", bits, "fat"]);
        let mut bytes = std::fs::read(lab.path("fat")).unwrap();
        // What its program has there may look like an entry.
        bytes[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        bytes[462..510].fill(0);
        assert!(table(&mut Memory(bytes)).unwrap().is_none(), "FAT{bits}");
    }
}

#[test]
fn logical_partitions_that_run_in_a_circle_are_damage() {
    let lab = Lab::new();
    let mut bytes = table_by_sfdisk(&lab, MBR, 32 << 20);
    let partitions = list(&mut Memory(bytes.clone())).unwrap();
    let second_record = partitions[2].start as usize - (1 << 20);
    bytes[second_record + 446 + 16 + 4] = 5;
    bytes[second_record + 446 + 16 + 8] = 0;
    bytes[second_record + 446 + 16 + 12] = 1;
    let error = list(&mut Memory(bytes)).unwrap_err();
    assert_eq!(error.to_string(), "damaged image: the chain of logical partitions runs backwards");
}

proptest! {
    /// Whatever the tables say, partitions lie on the disk.
    #[test]
    fn hostile_tables_never_panic(
        gpt: bool,
        changes in prop::collection::vec((0usize..2048, any::<u8>()), 1..20),
        sum: bool,
    ) {
        let mut bytes = vec![0; 1 << 20];
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[446 + 4] = if gpt { 0xee } else { 0x05 };
        bytes[446 + 8] = 1;
        bytes[446 + 13] = 1;
        bytes[512..520].copy_from_slice(b"EFI PART");
        bytes[512 + 12] = 92;
        bytes[512 + 72] = 2;
        bytes[512 + 80] = 4;
        bytes[512 + 84] = 128;
        bytes[1022..1024].copy_from_slice(&[0x55, 0xaa]);
        for (at, value) in changes {
            bytes[at] = value;
        }
        if sum && gpt {
            let entries = crc(&bytes[1024..1024 + 512]);
            bytes[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
            bytes[512 + 16..512 + 20].fill(0);
            let header = crc(&bytes[512..512 + 92]);
            bytes[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
        }
        let size = bytes.len() as u64;
        if let Ok(partitions) = list(&mut Memory(bytes)) {
            for partition in partitions {
                prop_assert!(partition.start + partition.length <= size);
            }
        }
    }
}
