//! How large a file system is and how much of it is free, by its superblock.

use super::ext4::Summary;
use super::{FileSystemKind, LVM_LABEL};
use crate::block::{BlockRead, DiskError};
use crate::size::Size;

/// Room in a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Its size.
    pub size: u64,
    /// What root may still write.
    pub free: u64,
}

/// The room in the file system of this kind at `start`, or that a physical volume takes (all of it counts as used).
/// `None` for kinds that tib does not know that well.
///
/// # Errors
/// What is wrong with the superblock.
pub(crate) fn room(
    disk: &mut dyn BlockRead,
    kind: FileSystemKind,
    start: u64,
) -> Result<Option<Room>, DiskError> {
    let mut read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        disk.read_exact_at(&mut bytes, start.saturating_add(at)).map(|()| bytes)
    };
    let le = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let be = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let (size, free) = match kind {
        FileSystemKind::Ext => {
            let ext = Summary::read(disk, start)?;
            (ext.blocks.saturating_mul(ext.block_size), ext.free_blocks.saturating_mul(ext.block_size))
        }
        // `xfs_dsb` in Linux' `fs/xfs/libxfs/xfs_format.h`: block size, blocks, free blocks.
        FileSystemKind::Xfs => {
            let block = read(0, 152)?;
            let size = be(&block[4..8]);
            (be(&block[8..16]).saturating_mul(size), be(&block[144..152]).saturating_mul(size))
        }
        // `btrfs_super_block` in Linux' `include/uapi/linux/btrfs_tree.h`: bytes, bytes used; bytes of this device.
        FileSystemKind::Btrfs => {
            let block = read(0x1_0000, 0xd9)?;
            let (total, used) = (le(&block[0x70..0x78]), le(&block[0x78..0x80]));
            (le(&block[0xd1..0xd9]), total.saturating_sub(used))
        }
        // LVM2's `label_header` in one of the first four sectors, which says where its `pv_header` is: the size follows its
        // UUID.
        FileSystemKind::Lvm => {
            let front = read(0, 2048)?;
            let label = front.chunks(512).find(|sector| sector.starts_with(LVM_LABEL));
            let header = label.and_then(|label| label.get(le(&label[20..24]) as usize..));
            match header.and_then(|header| header.get(32..40)) {
                Some(size) => (le(size), 0),
                None => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(Room { size, free }))
}

/// Sees to it that what lies in `length` bytes from `start` fits there. Nothing could mount what has lost its end, and an appliance would
/// not say why.
///
/// # Errors
/// [`DiskError::Damaged`] when it does not.
pub(crate) fn check_size(
    disk: &mut dyn BlockRead,
    kind: FileSystemKind,
    place: &dyn std::fmt::Display,
    start: u64,
    length: u64,
) -> Result<(), DiskError> {
    let size = room(disk, kind, start)?.map_or(0, |room| room.size);
    if size <= length {
        return Ok(());
    }
    let (name, length, size) = (kind.name(), Size(length), Size(size));
    let fault = format!("{place} has {length}, and its {name} needs {size}: the image has lost its end");
    Err(DiskError::Damaged(fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::testing::{Lab, write};
    use crate::disk::{Policy, open};
    use crate::filesystem;

    /// dumpe2fs is the judge.
    #[test]
    fn as_much_as_the_superblock_says() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("fs.img");
        fs_err::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let files = dir.path().join("files");
        fs_err::create_dir(&files).unwrap();
        fs_err::write(files.join("data"), vec![1; 5 << 20]).unwrap();
        let run = |program: &str, args: &[&std::ffi::OsStr]| {
            let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
            let output = std::process::Command::new(program).args(args).env("PATH", path).output().unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        run(
            "mke2fs",
            &["-q".as_ref(), "-t".as_ref(), "ext4".as_ref(), "-d".as_ref(), files.as_ref(), image.as_ref()],
        );
        let dump = run("dumpe2fs", &["-h".as_ref(), image.as_ref()]);
        let field = |name: &str| -> u64 {
            let line = dump.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        let expected = (field("Block count:") - field("Free blocks:")) * field("Block size:");
        assert!(expected > 5 << 20);
        let mut disk = open(&image, &Policy::default()).unwrap();
        let room = room(disk.as_mut(), FileSystemKind::Ext, 0).unwrap().unwrap();
        assert_eq!((room.size, room.size - room.free), (64 << 20, expected));
    }

    /// Judged by what the programs that made them say.
    #[test]
    fn xfs_and_btrfs_tell_their_size() {
        let lab = Lab::new();
        let room = |kind| {
            let mut disk = open(&lab.path("fs.img"), &Policy::default()).unwrap();
            room(disk.as_mut(), kind, 0).unwrap().unwrap()
        };
        lab.run("truncate", &["-s", "400M", "fs.img"]);
        lab.run("mkfs.xfs", &["-q", "fs.img"]);
        let text = lab.run("xfs_db", &["-r", "-c", "sb 0", "-c", "p blocksize dblocks fdblocks", "fs.img"]);
        let numbers: Vec<u64> =
            text.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        let found = room(FileSystemKind::Xfs);
        assert_eq!((found.size, found.free), (numbers[0] * numbers[1], numbers[0] * numbers[2]));

        lab.run("mkfs.btrfs", &["-q", "-f", "fs.img"]);
        let text = lab.run("btrfs", &["inspect-internal", "dump-super", "fs.img"]);
        let field = |name: &str| -> u64 {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit([' ', '\t']).next().unwrap().parse().unwrap()
        };
        let found = room(FileSystemKind::Btrfs);
        assert_eq!(found.size, field("dev_item.total_bytes"));
        assert_eq!(found.free, field("total_bytes") - field("bytes_used"));
    }

    /// LVM itself wrote it.
    #[test]
    fn a_physical_volume_tells_its_size() {
        let lab = Lab::new();
        write(&lab.path("pv.xz"), include_bytes!("../../tests/fixtures/lvm-physical-volume.xz"));
        lab.run("sh", &["-c", "xz -dc pv.xz >pv.img; truncate -s 384M pv.img"]);
        let mut disk = open(&lab.path("pv.img"), &Policy::default()).unwrap();
        assert_eq!(
            filesystem::detect(disk.as_mut(), 0, 384 << 20).unwrap().unwrap().kind,
            FileSystemKind::Lvm
        );
        assert_eq!(room(disk.as_mut(), FileSystemKind::Lvm, 0).unwrap().unwrap().size, 384 << 20);
    }
}
