//! A way in for fuzzers: any bytes as a file system.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::FileKind;
use super::btrfs::Btrfs;
use super::ext4::Ext;
use super::fat::{Access, Fat};
use super::inodes::Inodes;
use super::xfs::Xfs;
use crate::block::{BlockRead, Memory, Pieces, Shared};

/// Inodes looked at, and bytes read of each.
const INODES: usize = 2000;
const LENGTH: u64 = 1 << 20;
/// Files of a FAT file system read as boot programs.
const FILES: usize = 20;

/// [`any_btrfs`], of a disk that is told by its pieces.
#[doc(hidden)]
pub fn any_btrfs_in_pieces(bytes: &[u8]) -> usize {
    Pieces::of(bytes).map_or(0, |pieces| btrfs(pieces.size(), &shared(pieces)))
}

/// [`any_xfs`], of a disk that is told by its pieces.
#[doc(hidden)]
pub fn any_xfs_in_pieces(bytes: &[u8]) -> usize {
    Pieces::of(bytes).map_or(0, |pieces| xfs(pieces.size(), &shared(pieces)))
}

/// Reads bytes as an ext file system, as far as that goes. Returns how many inodes it came to.
#[doc(hidden)]
pub fn any_ext(bytes: &[u8]) -> usize {
    Ext::open(&disk(bytes), 0, bytes.len() as u64).map_or(0, |ext| visit(Box::new(ext)))
}

/// Reads bytes as a Btrfs, as far as that goes, whatever their checksums. Returns how many inodes it came to.
#[cfg(test)]
fn any_btrfs(bytes: &[u8]) -> usize {
    btrfs(bytes.len() as u64, &disk(bytes))
}

fn btrfs(length: u64, disk: &Shared) -> usize {
    let Ok(mut btrfs) = Btrfs::open_checked(disk, 0, length, false) else { return 0 };
    for root in btrfs.roots() {
        let _ = btrfs.part(root);
    }
    let _ = btrfs.mounted(&["subvol=deep/subvolume".to_owned()]);
    visit(Box::new(btrfs))
}

/// Reads bytes as an XFS file system, as far as that goes. Returns how many inodes it came to. Checksums need not be right:
/// a fuzzer could never get past them.
#[cfg(test)]
fn any_xfs(bytes: &[u8]) -> usize {
    xfs(bytes.len() as u64, &disk(bytes))
}

fn xfs(length: u64, disk: &Shared) -> usize {
    Xfs::open_whatever_the_checksums(disk, 0, length).map_or(0, |xfs| visit(Box::new(xfs)))
}

/// Reads bytes as a FAT file system, as far as that goes. Returns how many files and directories it came to.
#[doc(hidden)]
pub fn any_fat(bytes: &[u8]) -> usize {
    let Ok(mut fat) = Fat::open(&disk(bytes), 0, bytes.len() as u64, Access::default()) else { return 0 };
    let _ = fat.space();
    let _ = fat.label();
    // What boot programs are looked for in.
    if let Ok(files) = fat.files() {
        files.iter().take(FILES).for_each(|file| drop(fat.read(file, LENGTH)));
    }
    visit(Box::new(fat))
}

fn disk(bytes: &[u8]) -> Shared {
    shared(Memory(bytes.to_vec()))
}

fn shared(disk: impl BlockRead + 'static) -> Shared {
    Arc::new(Mutex::new(Box::new(disk)))
}

fn visit(mut system: Box<dyn Inodes>) -> usize {
    let mut left = system.roots();
    let mut met = HashSet::new();
    while let Some(inode) = left.pop() {
        if met.len() > INODES || !met.insert(inode) {
            continue;
        }
        let Ok(stat) = system.stat(inode) else { continue };
        // What is wrong with one is no reason to leave the others.
        let _ = system.xattrs(inode);
        match stat.kind {
            FileKind::Directory => {
                let Ok(directory) = system.directory(inode) else { continue };
                left.extend(directory.names().filter_map(|name| directory.get(name)));
            }
            FileKind::Symlink => drop(system.read_link(inode)),
            FileKind::File => drop(system.read_to(inode, stat.size / 2, LENGTH, &mut std::io::sink())),
            _ => {}
        }
    }
    met.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::testing::Lab;

    #[test]
    fn a_real_one_is_read_and_noise_is_not() {
        let lab = Lab::new();
        std::fs::create_dir(lab.path("root")).unwrap();
        std::fs::write(lab.path("root/file"), [1; 5000]).unwrap();
        lab.run("mke2fs", &["-q", "-F", "-d", "root", "disk", "1M"]);
        let good = std::fs::read(lab.path("disk")).unwrap();
        assert_eq!(any_ext(&good), 3, "the root, lost+found, the file");
        assert_eq!(any_ext(&good[..500]), 0);
        let mut seed = 5u64;
        for round in 0..3000 {
            let mut bad = good.clone();
            for _ in 0..=round % 7 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Superblock, descriptors, inodes and the first directory lie at the front.
                let at = 1024 + (seed >> 33) as usize % 60_000;
                bad[at] = (seed >> 17) as u8;
            }
            any_ext(&bad);
        }
    }

    #[test]
    fn btrfs_is_read_and_noise_is_not() {
        let lab = Lab::new();
        std::fs::create_dir_all(lab.path("root/directory")).unwrap();
        std::fs::write(lab.path("root/directory/file"), [1; 5000]).unwrap();
        std::fs::File::create(lab.path("disk")).unwrap().set_len(18 << 20).unwrap();
        let options = ["-q", "-f", "--mixed", "-m", "single", "-d", "single", "-n", "4096"];
        lab.run("mkfs.btrfs", &[&options[..], &["--rootdir", "root", "disk"]].concat());
        let good = std::fs::read(lab.path("disk")).unwrap();
        assert_eq!(any_btrfs(&good), 3, "the root, a directory, a file");
        assert_eq!(any_btrfs_in_pieces(&Pieces::told(&good)), 3);
        assert_eq!(any_btrfs(&good[..70_000]), 0);
        // The superblock, and the blocks of trees, which bear the number that is in it.
        let fsid = &good[0x1_0020..0x1_0030];
        let is_block = |at: &usize| &good[at + 0x20..at + 0x30] == fsid;
        let blocks: Vec<usize> = (0..good.len()).step_by(4096).filter(is_block).collect();
        assert!(blocks.len() > 6, "{}", blocks.len());
        let (mut seed, mut bad) = (5u64, good.clone());
        for round in 0..1000 {
            let mut changed = Vec::new();
            for _ in 0..=round % 7 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = blocks[(seed >> 33) as usize % blocks.len()] + (seed >> 45) as usize % 4096;
                bad[at] = (seed >> 17) as u8;
                changed.push(at);
            }
            any_btrfs(&bad);
            changed.into_iter().for_each(|at| bad[at] = good[at]);
        }
    }

    #[test]
    fn xfs_is_read_and_noise_is_not() {
        let lab = Lab::new();
        let script = "printf '/dev/null\\n0 0\\nd--755 0 0\\nsome d--755 0 0\\nfile ---644 0 0 /proc/version\\n$\\n$\\n' \
                      >proto; truncate -s 20M disk; TEST_DIR=x TEST_DEV=x QA_CHECK_FS=x mkfs.xfs -q -p proto disk";
        lab.run("sh", &["-euc", script]);
        let good = std::fs::read(lab.path("disk")).unwrap();
        assert_eq!(any_xfs(&good), 3, "the root, a directory, a file");
        assert_eq!(any_xfs_in_pieces(&Pieces::told(&good)), 3);
        assert_eq!(any_xfs(&good[..500]), 0);
        let mut seed = 5u64;
        for round in 0..300 {
            let mut bad = good.clone();
            for _ in 0..=round % 7 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Half of them in the superblock, half where the first inodes are.
                let reach = if round % 2 == 0 { 304 } else { 140_000 };
                bad[(seed >> 33) as usize % reach] = (seed >> 17) as u8;
            }
            any_xfs(&bad);
        }
    }

    #[test]
    fn fat_is_read_and_noise_is_not() {
        let lab = Lab::new();
        for (bits, size) in [("12", 1 << 20), ("16", 9 << 20), ("32", 34 << 20)] {
            std::fs::File::create(lab.path("disk")).unwrap().set_len(size).unwrap();
            lab.run("mkfs.fat", &["-F", bits, "-s", "1", "-n", "LABEL", "disk"]);
            std::fs::write(lab.path("file"), [1; 5000]).unwrap();
            lab.run("mmd", &["-i", "disk", "::/directory", "::/directory/deeper"]);
            lab.run("mcopy", &["-i", "disk", "file", "::/directory/deeper/A long name.text"]);
            lab.run("mcopy", &["-i", "disk", "file", "::/FILE"]);
            let good = std::fs::read(lab.path("disk")).unwrap();
            assert_eq!(any_fat(&good), 5, "FAT{bits}: the root, two directories, two files");
            assert_eq!(any_fat(&good[..500]), 0);
            let mut seed = 5u64;
            for round in 0..(600 << 20) / size {
                let mut bad = good.clone();
                for _ in 0..=round % 7 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Half of them in the boot sector, half in the tables and directories behind.
                    let reach = if round % 2 == 0 { 64 } else { 60_000 };
                    let at = (seed >> 33) as usize % reach;
                    bad[at] = (seed >> 17) as u8;
                }
                any_fat(&bad);
            }
        }
    }
}
