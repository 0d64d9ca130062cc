//! Lays the small system onto a disk: partition table, neighbours, root file system.

use std::ffi::OsStr;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use gptman::{GPT, GPTPartitionEntry};

use super::oracle::guestfish_in;
use super::run;
use super::small::{Place, Root, Shape, Table, unpack};

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// What the root file system is called everywhere.
pub const ROOT_UUID: &str = "7b1d6a9e-3c52-4f0e-9a54-0c6f2d8e1b37";
const BOOT_UUID: &str = "0d0b8f1c-52a6-4a35-8a4e-6cf4b3a0f6de";
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const LVM: &str = "E6D6D379-F507-44C2-A23C-238F2A3DF928";
const SWAP: &str = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";
/// The first MiB of a physical volume of 384 MiB, as LVM wrote it: group `vg`, in it `root` with all of its extents,
/// the first of which begins right behind.
const PHYSICAL_VOLUME: &[u8] = include_bytes!("../fixtures/lvm-physical-volume.xz");
const PHYSICAL_VOLUME_MIB: u64 = 384;
const LOGICAL_VOLUME: (u64, u64) = (MIB, 380 * MIB);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    BiosBoot,
    Esp,
    Boot,
    Root,
    Swap,
    /// MBR: holds the partitions from 5 on.
    Extended,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    number: u32,
    what: What,
    start: u64,
    length: u64,
}

/// Writes a raw disk of this shape below `work`.
pub(super) fn lay(shape: &Shape, work: &Path) -> PathBuf {
    let disk = work.join("disk.raw");
    fs::File::create(&disk).unwrap().set_len(shape.sectors * SECTOR).unwrap();
    let parts = parts(shape);
    match shape.table {
        Table::None => {}
        Table::Gpt if shape.sector_size != SECTOR => gpt(&disk, shape, &parts),
        _ => table(&disk, shape, &parts),
    }
    let tree = work.join("tree");
    unpack(&tree, &fstab(shape, &parts), shape.python);
    for part in &parts {
        let file = work.join("part.raw");
        fs::File::create(&file).unwrap().set_len(part.length).unwrap();
        match part.what {
            What::Root => {
                if parts.iter().any(|part| part.what == What::Boot) {
                    fs::remove_dir_all(tree.join("boot")).unwrap();
                    fs::create_dir(tree.join("boot")).unwrap();
                }
                root(shape, &tree, &file);
            }
            What::Boot => {
                let boot = work.join("boot");
                fs::create_dir_all(boot.join("efi")).unwrap();
                fs::write(boot.join("marker"), "a file of /boot\n").unwrap();
                let options = ["-q", "-t", "ext4", "-U", BOOT_UUID, "-d"];
                tool(
                    "mke2fs",
                    options.map(OsStr::new).into_iter().chain([boot.as_os_str(), file.as_os_str()]),
                );
            }
            What::Esp => {
                tool("mkfs.vfat", [OsStr::new("-i"), OsStr::new("5EED0001"), file.as_os_str()]);
            }
            What::Swap => tool("mkswap", [OsStr::new("-q"), file.as_os_str()]),
            What::BiosBoot | What::Extended => continue,
        }
        copy_into(&file, &disk, part.start);
    }
    disk
}

/// The partitions, one behind the other from the first MiB on. The root gets what is left.
fn parts(shape: &Shape) -> Vec<Part> {
    use What::{BiosBoot, Boot, Esp, Extended, Root, Swap};
    let total = shape.sectors * SECTOR;
    if shape.table == Table::None {
        return vec![Part { number: 0, what: Root, start: 0, length: total - shape.unused }];
    }
    let gpt = shape.table == Table::Gpt;
    let order: &[(u32, What, u64)] = match (shape.place, gpt) {
        (Place::Last, true) => &[(1, Esp, 32), (2, Root, 0)],
        (Place::Last | Place::First, false) => &[(1, Root, 0)],
        (Place::First, true) => &[(14, BiosBoot, 4), (15, Esp, 36), (1, Root, 0)],
        (Place::BehindBoot, true) => &[(1, BiosBoot, 1), (2, Esp, 36), (3, Boot, 48), (4, Root, 0)],
        (Place::BehindBoot, false) => &[(1, Boot, 48), (2, Root, 0)],
        (Place::Followed, _) => &[(1, Root, 0), (2, Swap, 8)],
        (Place::Logical, _) => &[(1, Boot, 48), (2, Extended, 0), (5, Root, 0)],
    };
    let behind: u64 = order.iter().skip_while(|(_, what, _)| *what != Root).map(|(.., mib)| mib * MIB).sum();
    // The backup of a GPT takes less than a MiB.
    let end = (total - shape.unused - if gpt { MIB } else { 0 }) / MIB * MIB - behind;
    let mut start = MIB;
    let mut parts = Vec::new();
    for &(number, what, mib) in order {
        let length = if mib == 0 { end - start } else { mib * MIB };
        parts.push(Part { number, what, start, length });
        // In front of each logical partition lies a record.
        start += if what == Extended { MIB } else { length };
    }
    parts
}

/// Writes the table with sfdisk, which knows sectors of 512 bytes.
fn table(disk: &Path, shape: &Shape, parts: &[Part]) {
    let gpt = shape.table == Table::Gpt;
    let mut script = format!("label: {}\n", if gpt { "gpt" } else { "dos" });
    for part in parts {
        let kind = match (gpt, part.what, shape.root) {
            (true, what, root) => gpt_type(what, root),
            (false, What::Root, Root::Lvm) => "8e",
            (false, What::Swap, _) => "82",
            (false, What::Extended, _) => "5",
            (false, ..) => "83",
        };
        let (start, length) = (part.start / SECTOR, part.length / SECTOR);
        script.push_str(&format!("{}: start={start}, size={length}, type={kind}\n", part.number));
    }
    let file = disk.with_extension("table");
    fs::write(&file, script).unwrap();
    let mut command = Command::new("sfdisk");
    command.args(["-q", "--no-reread", "--no-tell-kernel"]).arg(disk).env("PATH", path());
    let status = command.stdin(Stdio::from(fs::File::open(file).unwrap().into_parts().0)).status().unwrap();
    assert!(status.success(), "{command:?}");
}

fn gpt_type(what: What, root: Root) -> &'static str {
    match what {
        What::BiosBoot => BIOS_BOOT,
        What::Esp => ESP,
        What::Swap => SWAP,
        What::Root if root == Root::Lvm => LVM,
        What::Boot | What::Root | What::Extended => LINUX,
    }
}

/// Writes a GPT for sectors of another size.
fn gpt(disk: &Path, shape: &Shape, parts: &[Part]) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(disk).unwrap();
    let mut table = GPT::new_from(&mut file, shape.sector_size, *b"disk of tests 16").unwrap();
    for part in parts {
        table[part.number] = GPTPartitionEntry {
            partition_type_guid: guid(gpt_type(part.what, shape.root)),
            unique_partition_guid: [u8::try_from(part.number).unwrap(); 16],
            starting_lba: part.start / shape.sector_size,
            ending_lba: (part.start + part.length) / shape.sector_size - 1,
            attribute_bits: 0,
            partition_name: "".into(),
        };
    }
    GPT::write_protective_mbr_into(&mut file, shape.sector_size).unwrap();
    table.write_into(&mut file).unwrap();
}

/// As a table has it: the first three groups little-endian.
fn guid(text: &str) -> [u8; 16] {
    let digits: String = text.split('-').collect();
    let bytes = u128::from_str_radix(&digits, 16).unwrap().to_be_bytes();
    [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(|index| bytes[index])
}

fn fstab(shape: &Shape, parts: &[Part]) -> String {
    let root = match shape.root {
        Root::Ext4 => format!("UUID={ROOT_UUID} / ext4 defaults 0 1\n"),
        Root::Xfs => format!("UUID={ROOT_UUID} / xfs defaults 0 0\n"),
        Root::Btrfs => format!("UUID={ROOT_UUID} / btrfs defaults 0 0\n"),
        Root::BtrfsSubvolumes => format!(
            "UUID={ROOT_UUID} / btrfs subvol=root,compress=zstd:1 0 0\nUUID={ROOT_UUID} /home btrfs subvol=home 0 0\n"
        ),
        Root::Lvm => "/dev/mapper/vg-root / ext4 defaults 0 1\n".to_owned(),
    };
    let rest = parts.iter().map(|part| match part.what {
        What::Boot => format!("UUID={BOOT_UUID} /boot ext4 defaults 0 2\n"),
        What::Esp => "UUID=5EED-0001 /boot/efi vfat umask=0077 0 1\n".to_owned(),
        _ => String::new(),
    });
    root + &rest.collect::<String>()
}

/// Writes the root file system, or the physical volume with it, into `file`.
fn root(shape: &Shape, tree: &Path, file: &Path) {
    let esp = tree.join("boot/efi");
    if shape.place != Place::BehindBoot {
        fs::create_dir_all(esp).unwrap();
    }
    match shape.root {
        Root::Ext4 => ext4(tree, file, shape),
        Root::Lvm => {
            let volume = file.with_extension("volume");
            fs::File::create(&volume).unwrap().set_len(LOGICAL_VOLUME.1).unwrap();
            ext4(tree, &volume, shape);
            let packed = file.with_extension("xz");
            fs::write(&packed, PHYSICAL_VOLUME).unwrap();
            run(
                "sh",
                &[&"-euc", &"xz -dc \"$1\" | dd of=\"$2\" conv=notrunc status=none", &"sh", &packed, &file],
            );
            assert!(
                fs::metadata(file).unwrap().len() >= PHYSICAL_VOLUME_MIB * MIB,
                "the volume does not fit"
            );
            copy_into(&volume, file, LOGICAL_VOLUME.0);
        }
        Root::Xfs => {
            let proto = file.with_extension("proto");
            fs::write(&proto, format!("/dev/null\n0 0\nd--755 0 0\n{}$\n", protofile(tree))).unwrap();
            let (uuid, size) = (format!("uuid={ROOT_UUID}"), format!("size={}", shape.sector_size));
            tool(
                "mkfs.xfs",
                ["-q", "-m", &uuid, "-s", &size, "-p"]
                    .map(OsStr::new)
                    .into_iter()
                    .chain([proto.as_os_str(), file.as_os_str()]),
            );
        }
        Root::Btrfs => {
            as_root("mkfs.btrfs -q -U \"$1\" --rootdir \"$2\" \"$3\"", &[&ROOT_UUID, &tree, &file]);
        }
        Root::BtrfsSubvolumes => subvolumes(tree, file),
    }
}

fn ext4(tree: &Path, file: &Path, shape: &Shape) {
    // A block may not be smaller than a sector.
    let size = shape.sector_size.max(1024).to_string();
    let size = if size == "1024" { "4096" } else { &size };
    as_root(
        "mke2fs -q -t ext4 -b \"$1\" -U \"$2\" -E lazy_itable_init=0,lazy_journal_init=1 -d \"$3\" \"$4\"",
        &[&size, &ROOT_UUID, &tree, &file],
    );
}

/// Runs a script to which the caller's files are root's.
fn as_root(script: &str, arguments: &[&dyn AsRef<OsStr>]) {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-euc", script, "sh"]).env("PATH", path());
    command.args(arguments.iter().map(|argument| (*argument).as_ref()));
    let outcome = super::outcome(&mut command);
    assert_eq!(outcome.code, Some(0), "{command:?}: {}", outcome.stderr);
}

/// What is in a directory, as `mkfs.xfs -p` wants it. Sticky bits get lost.
fn protofile(directory: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let mut text = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        assert!(!path.to_str().unwrap().contains(char::is_whitespace), "{path:?}");
        let kind = entry.file_type().unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        let bit = |bit: u32, letter: char| if mode & bit == 0 { '-' } else { letter };
        let mode = format!("{}{}{:03o} 0 0", bit(0o4000, 'u'), bit(0o2000, 'g'), mode & 0o777);
        text.push_str(&if kind.is_dir() {
            format!("{name} d{mode}\n{}$\n", protofile(&path))
        } else if kind.is_symlink() {
            format!("{name} l{mode} {}\n", fs::read_link(&path).unwrap().display())
        } else {
            format!("{name} -{mode} {}\n", path.display())
        });
    }
    text
}

/// Nothing but the kernel makes subvolumes.
fn subvolumes(tree: &Path, file: &Path) {
    let packed = file.with_extension("tar");
    run("tar", &[&"-cf", &packed, &"--owner=0", &"--group=0", &"-C", &tree, &"."]);
    let script = format!(
        "run\nmkfs btrfs /dev/sda\nset-uuid /dev/sda {ROOT_UUID}\nmount /dev/sda /\nbtrfs-subvolume-create /root\n\
         btrfs-subvolume-create /home\ntar-in {} /root\n",
        packed.display()
    );
    guestfish_in(file.parent().unwrap(), &[file.file_name().unwrap().to_str().unwrap()], &script);
}

/// Copies what is not zero.
fn copy_into(from: &Path, to: &Path, offset: u64) {
    let mut source = fs::File::open(from).unwrap();
    source.seek(SeekFrom::Start(0)).unwrap();
    let (input, output) = (format!("if={}", from.display()), format!("of={}", to.display()));
    let seek = format!("seek={}", offset / MIB);
    run("dd", &[&"bs=1M", &"conv=notrunc,sparse", &"status=none", &input, &output, &seek]);
}

fn tool<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) {
    let mut command = Command::new(program);
    let outcome = super::outcome(command.args(arguments).env("PATH", path()));
    assert_eq!(outcome.code, Some(0), "{program}: {}", outcome.stderr);
}

/// Where tools for file systems lie.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
