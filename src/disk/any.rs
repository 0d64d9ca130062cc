//! A way in for fuzzers: any bytes as a file system.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::btrfs::Btrfs;
use super::ext4::Ext;
use super::fat::{Access, Fat};
use super::inodes::{Inodes, Shared, lock};
use super::partition::{Kind, Partition};
use super::raw::check_range;
use super::xfs::Xfs;
use super::{BlockRead, DiskError, Extent, FileKind, lvm};

/// Inodes looked at, and bytes read of each.
const INODES: usize = 2000;
const LENGTH: u64 = 1 << 20;
/// Files of a FAT file system read as boot programs.
const FILES: usize = 20;

struct Bytes(Vec<u8>);

impl BlockRead for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len() as u64)?;
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        Ok(Extent { length: self.size() - offset, zero: false })
    }
}

/// A disk that is told by its pieces: how many sectors it has, then the number of a sector and its 512 bytes, again and again
/// (numbers have four bytes, little-endian). All else is zeros. Fuzzers change and combine small inputs alone, and the smallest
/// Btrfs and XFS have 16 MiB.
struct Pieces {
    sectors: HashMap<u32, [u8; SECTOR]>,
    size: u64,
}

const SECTOR: usize = 512;
const MOST_SECTORS: u32 = 1 << 20;

impl Pieces {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (count, mut rest) = bytes.split_first_chunk()?;
        let count = u32::from_le_bytes(*count) % MOST_SECTORS;
        let mut sectors = HashMap::new();
        while let Some((number, after)) = rest.split_first_chunk() {
            let Some((content, after)) = after.split_first_chunk() else { break };
            sectors.insert(u32::from_le_bytes(*number) % count.max(1), *content);
            rest = after;
        }
        Some(Self { sectors, size: u64::from(count) * SECTOR as u64 })
    }
}

impl BlockRead for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size, offset, buffer.len() as u64)?;
        let mut at = offset as usize;
        let mut left = buffer;
        while !left.is_empty() {
            let from = at % SECTOR;
            let length = left.len().min(SECTOR - from);
            let (part, after) = left.split_at_mut(length);
            match self.sectors.get(&((at / SECTOR) as u32)) {
                Some(sector) => part.copy_from_slice(&sector[from..from + length]),
                None => part.fill(0),
            }
            (at, left) = (at + length, after);
        }
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        Ok(Extent { length: self.size - offset, zero: false })
    }
}

/// [`any_btrfs`], of a disk that is told by its pieces.
#[doc(hidden)]
pub fn any_btrfs_in_pieces(bytes: &[u8]) -> usize {
    Pieces::of(bytes).map_or(0, |pieces| btrfs(pieces.size, &shared(pieces)))
}

/// [`any_xfs`], of a disk that is told by its pieces.
#[doc(hidden)]
pub fn any_xfs_in_pieces(bytes: &[u8]) -> usize {
    Pieces::of(bytes).map_or(0, |pieces| xfs(pieces.size, &shared(pieces)))
}

/// Reads bytes as an ext file system, as far as that goes. Returns how many inodes it came to.
#[doc(hidden)]
pub fn any_ext(bytes: &[u8]) -> usize {
    Ext::open(&disk(bytes), 0, bytes.len() as u64).map_or(0, |ext| visit(Box::new(ext)))
}

/// Reads bytes as a Btrfs, as far as that goes, whatever their checksums. Returns how many inodes it came to.
#[doc(hidden)]
pub fn any_btrfs(bytes: &[u8]) -> usize {
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
#[doc(hidden)]
pub fn any_xfs(bytes: &[u8]) -> usize {
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

/// Reads bytes as a physical volume of LVM, and as the metadata of one. Returns how many logical volumes it came to.
#[doc(hidden)]
pub fn any_lvm(bytes: &[u8]) -> usize {
    let (disk, length) = (disk(bytes), bytes.len() as u64);
    let whole = Partition { number: 0, start: 0, length, kind: Kind::Disk, label: None, id: None };
    let volumes = lvm::find(&disk, &[&whole]).unwrap_or_default();
    for map in volumes.iter().filter_map(|volume| volume.map.as_ref().ok()) {
        let view = lvm::view(&disk, map);
        let mut view = lock(&view);
        let mut piece = [0; 512];
        for at in [0, view.size() / 2, view.size() - 512] {
            // What is on the disk is read, whatever the metadata says.
            view.read_exact_at(&mut piece, at).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    volumes.len() + lvm::any_metadata(bytes)
}

fn disk(bytes: &[u8]) -> Shared {
    shared(Bytes(bytes.to_vec()))
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
    use super::super::testing::Lab;
    use super::*;

    /// As `scripts/fuzz.sh` makes its seeds.
    fn in_pieces(disk: &[u8]) -> Vec<u8> {
        let mut pieces = ((disk.len() / SECTOR) as u32).to_le_bytes().to_vec();
        for (number, sector) in disk.chunks_exact(SECTOR).enumerate() {
            if sector.iter().any(|byte| *byte != 0) {
                pieces.extend((number as u32).to_le_bytes());
                pieces.extend(sector);
            }
        }
        pieces
    }

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
    fn lvm_is_read_and_noise_is_not() {
        let lab = Lab::new();
        let packed = include_bytes!("../../tests/fixtures/lvm-physical-volume.xz");
        std::fs::write(lab.path("pv.xz"), packed).unwrap();
        lab.run("sh", &["-c", "xz -dc pv.xz >pv; truncate -s 384M pv"]);
        let good = std::fs::read(lab.path("pv")).unwrap();
        assert_eq!(any_lvm(&good), 1);
        assert_eq!(any_lvm(&good[..500]), 0);
        let front = &good[..12_288];
        let at = front.windows(8).rposition(|window| window == b"seqno = ").unwrap();
        let start = front[..at].iter().rposition(|byte| *byte == b'{').unwrap() - 3;
        let text = &front[start..];
        assert_eq!(any_lvm(text), 1, "{}", String::from_utf8_lossy(text));
        let mut seed = 5u64;
        for round in 0..20_000 {
            // The label and its area with sums that do not fit any more, or the text alone, which has none.
            let mut bad = if round % 4 == 0 { front.to_vec() } else { text[..2000.min(text.len())].to_vec() };
            for _ in 0..=round % 3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % bad.len();
                bad[at] = b"0123456789{}[]\"=,#a "[(seed >> 17) as usize % 20];
            }
            any_lvm(&bad);
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
        assert_eq!(any_btrfs_in_pieces(&in_pieces(&good)), 3);
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
        assert_eq!(any_xfs_in_pieces(&in_pieces(&good)), 3);
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
