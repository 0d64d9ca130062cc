//! Whether the root file system of an image fills its disk, by the tools that make disks and file systems.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::{outcome, run};

const MIB: u64 = 1 << 20;

/// Fails unless the root of a qcow2 image reaches to its end and everything on it is sound. Returns the bytes of the disk.
#[track_caller]
pub fn disk(image: &Path, work: &Path) -> u64 {
    run("qemu-img", &[&"check", &"-q", &image]);
    let raw = work.join("judged.raw");
    run("qemu-img", &[&"convert", &"-O", &"raw", &image, &raw]);
    self::raw(&raw, work)
}

/// The same for a raw disk.
#[track_caller]
pub fn raw(disk: &Path, work: &Path) -> u64 {
    let size = fs::metadata(disk).unwrap().len();
    let table = outcome(&mut tool("sfdisk", &["--json", disk.to_str().unwrap()]));
    let (start, length) = if table.code == Some(0) { last_partition(disk, &table.stdout) } else { (0, size) };
    assert!(size - (start + length) < 2 * MIB, "{} bytes are left of {size}", size - (start + length));
    let part = work.join("judged.part");
    let _ = fs::remove_file(&part);
    fs::File::create(&part).unwrap().set_len(length).unwrap();
    let (from, to) = (format!("if={}", disk.display()), format!("of={}", part.display()));
    let skip = format!("skip={start}");
    run("dd", &[&"bs=1M", &"conv=sparse,notrunc", &"iflag=skip_bytes", &"status=none", &skip, &from, &to]);
    let (place, size_of_root) = file_system(&part);
    assert!(place - size_of_root < 4 * MIB, "the root has {size_of_root} bytes of {place}");
    size
}

/// Start and length, in bytes, of what lies last on the disk; the innermost if one lies in another.
#[track_caller]
fn last_partition(disk: &Path, json: &str) -> (u64, u64) {
    let table: serde_json::Value = serde_json::from_str(json).unwrap();
    let table = &table["partitiontable"];
    if table["label"] == "gpt" {
        let verified = checked("sgdisk", &["-v", disk.to_str().unwrap()]);
        assert!(verified.contains("No problems found"), "{verified}");
    }
    let partitions = table["partitions"].as_array().unwrap().iter();
    let bytes = |entry: &serde_json::Value, key: &str| entry[key].as_u64().unwrap() * 512;
    partitions.map(|entry| (bytes(entry, "start"), bytes(entry, "size"))).max().unwrap()
}

/// The room that a file system has and what it takes of it, after a look at its health.
#[track_caller]
fn file_system(part: &Path) -> (u64, u64) {
    let path = part.to_str().unwrap();
    let length = fs::metadata(part).unwrap().len();
    let kind = checked("blkid", &["-p", "-o", "value", "-s", "TYPE", path]);
    match kind.trim() {
        "ext4" => {
            checked("e2fsck", &["-fn", path]);
            checked("resize2fs", &["-P", path]);
            let dump = checked("dumpe2fs", &["-h", path]);
            (length, number(&dump, "Block count:") * number(&dump, "Block size:"))
        }
        "xfs" => {
            checked("xfs_repair", &["-n", path]);
            let info = checked("xfs_info", &[path]);
            let data = info.lines().find(|line| line.starts_with("data")).unwrap();
            let after = |key: &str| {
                let rest = data.split_once(key).unwrap().1;
                rest.split([' ', ',']).next().unwrap().parse::<u64>().unwrap()
            };
            (length, after("bsize=") * after("blocks="))
        }
        "btrfs" => {
            checked("btrfs", &["check", "--readonly", path]);
            let dump = checked("btrfs", &["inspect-internal", "dump-super", path]);
            (length, number(&dump, "dev_item.total_bytes"))
        }
        "LVM2_member" => logical_volume(part),
        other => panic!("what is {other}?"),
    }
}

/// The first logical volume of a group whose only volume it is, by the text that LVM wrote.
#[track_caller]
fn logical_volume(part: &Path) -> (u64, u64) {
    let metadata = checked("pvck", &["--dump", "metadata", part.to_str().unwrap()]);
    let field = |name: &str| -> u64 {
        let line = metadata.lines().find(|line| line.trim().starts_with(&format!("{name} ="))).unwrap();
        line.split(['=', '#']).nth(1).unwrap().trim().parse().unwrap()
    };
    let extent = field("extent_size") * 512;
    assert_eq!(field("extent_count"), field("pe_count"), "the volume has all of its group: {metadata}");
    let length = field("extent_count") * extent;
    let taken = fs::metadata(part).unwrap().len() - field("pe_start") * 512;
    assert!(taken - length < extent, "{length} of {taken}");
    // Its extents lie one behind the other, so that it can be looked at.
    assert_eq!(metadata.matches("stripe_count = 1").count(), metadata.matches("extent_count =").count());
    let volume = part.with_extension("volume");
    let (from, to) = (format!("if={}", part.display()), format!("of={}", volume.display()));
    let skip = format!("skip={}", field("pe_start") * 512);
    run("dd", &[&"bs=1M", &"conv=sparse", &"iflag=skip_bytes", &"status=none", &skip, &from, &to]);
    fs::OpenOptions::new().write(true).open(&volume).unwrap().set_len(length).unwrap();
    file_system(&volume)
}

#[track_caller]
fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit([' ', '\t']).next().unwrap().parse().unwrap()
}

fn tool(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

#[track_caller]
fn checked(program: &str, arguments: &[&str]) -> String {
    let found = outcome(&mut tool(program, arguments));
    assert_eq!(found.code, Some(0), "{program} {arguments:?}:\n{}\n{}", found.stdout, found.stderr);
    found.stdout
}
