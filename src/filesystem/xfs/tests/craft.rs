//! Changes file systems by hand, and makes their checksums right again.

use super::*;
use crate::block::Memory;
use crate::block::bytes::be32;

/// A file system in memory.
#[derive(Clone)]
pub(super) struct Craft {
    pub(super) bytes: Vec<u8>,
    pub(super) superblock: Superblock,
}

impl Craft {
    /// `disk.img` of a lab.
    pub(super) fn load(lab: &Lab) -> Self {
        let bytes = std::fs::read(lab.path("disk.img")).unwrap();
        let superblock = Superblock::parse(bytes.first_chunk().unwrap(), bytes.len() as u64).unwrap();
        Self { bytes, superblock }
    }

    /// Writes it as `disk.img`.
    pub(super) fn store(&self, lab: &Lab) {
        write(&lab.path("disk.img"), &self.bytes);
    }

    pub(super) fn open(&self) -> Result<Xfs, DiskError> {
        let disk: Shared = Arc::new(Mutex::new(Box::new(Memory(self.bytes.clone()))));
        Xfs::open(&disk, 0, self.bytes.len() as u64)
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes the checksum right of a block, which has it at `field`.
    pub(super) fn seal(&mut self, at: usize, length: usize, field: usize) {
        if self.superblock.has_checksums {
            let block = &mut self.bytes[at..at + length];
            block[field..field + 4].fill(0);
            let sum = crc32c::crc32c(block);
            block[field..field + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }

    /// Where the forks of inodes begin.
    pub(super) fn core(&self) -> usize {
        if self.superblock.has_checksums { 176 } else { 100 }
    }

    /// Where an inode lies.
    pub(super) fn inode(&self, number: u64) -> usize {
        self.superblock.inode(number).unwrap() as usize
    }

    /// Changes bytes of an inode.
    pub(super) fn change_inode(&mut self, number: u64, field: usize, bytes: &[u8]) {
        let at = self.inode(number);
        self.put(at + field, bytes);
        self.seal(at, self.superblock.inode_size, 100);
    }

    /// Changes bytes of the superblock.
    pub(super) fn change_superblock(&mut self, field: usize, bytes: &[u8]) {
        self.put(field, bytes);
        let sector = superblock::sector(self.bytes.first_chunk().unwrap()).unwrap_or(512);
        self.seal(0, sector, 224);
    }

    /// The first extent in an inode's content: first block, and how many.
    pub(super) fn extent(&self, number: u64) -> (u64, u64) {
        let at = self.inode(number) + self.core();
        let fields = u128::from_be_bytes(*self.bytes[at..].first_chunk().unwrap());
        ((fields >> 21) as u64 & ((1 << 52) - 1), fields as u64 & ((1 << 21) - 1))
    }

    /// Where a block lies.
    pub(super) fn block(&self, number: u64) -> usize {
        (self.superblock.block(number, 1).unwrap() << self.superblock.block_log) as usize
    }

    /// All that has a right checksum: where it is, how long, and where in it the checksum.
    pub(super) fn sealed(&self) -> Vec<(usize, usize, usize)> {
        let (inode, block) = (self.superblock.inode_size, self.superblock.block_size as usize);
        let mut found = vec![(0, superblock::sector(self.bytes.first_chunk().unwrap()).unwrap(), 224)];
        for at in (block..self.bytes.len()).step_by(inode) {
            let is_block = at % block == 0;
            let (length, field) = match be32(&self.bytes[at..], 0) {
                magic if magic >> 16 == 0x494e => (inode, 100),
                0x424d_4133 if is_block => (block, 64),
                0x5844_4433 | 0x5844_4233 if is_block => (self.superblock.directory_block, 4),
                0x5841_524d | 0x5853_4c4d if is_block => (block, 12),
                _ if is_block && matches!(be32(&self.bytes[at..], 8) >> 16, 0x3ebe | 0x3bee) => (block, 12),
                _ => continue,
            };
            if self.bytes.get(at..at + length).is_some_and(|bytes| checksum::fits(bytes, field)) {
                found.push((at, length, field));
            }
        }
        found
    }

    /// A block of a tree of extents, for an inode, with what follows the header. `next` is the block to its right.
    pub(super) fn put_tree(&mut self, number: u64, block: u64, head: (u16, u16, u64), rest: &[u8]) {
        let (level, count, next) = head;
        let at = self.block(block);
        let has_checksums = self.superblock.has_checksums;
        let mut bytes = if has_checksums { b"BMA3".to_vec() } else { b"BMAP".to_vec() };
        bytes.extend(level.to_be_bytes());
        bytes.extend(count.to_be_bytes());
        bytes.extend([0xff; 8]);
        bytes.extend(next.to_be_bytes());
        if has_checksums {
            bytes.extend((at as u64 / 512).to_be_bytes());
            bytes.extend([0; 8]);
            bytes.extend(self.superblock.uuid);
            bytes.extend(number.to_be_bytes());
            bytes.extend([0; 8]);
        }
        bytes.extend(rest);
        bytes.resize(self.superblock.block_size as usize, 0);
        self.put(at, &bytes);
        self.seal(at, bytes.len(), 64);
    }

    /// Makes the content of an inode a tree of extents of two levels in blocks of another file, below the root in the inode.
    /// `extents` is in order.
    pub(super) fn make_tree(&mut self, number: u64, donor: u64, extents: &[u128]) {
        let blocks: Vec<u64> = (0..3).map(|index| self.extent(donor).0 + index).collect();
        let block_size = self.superblock.block_size as usize;
        let header = if self.superblock.has_checksums { 72 } else { 24 };
        let halves = extents.split_at(extents.len() / 2);
        let key = |half: &[u128]| ((half[0] >> 73) as u64).to_be_bytes();
        for (half, block, next) in [(halves.0, blocks[1], blocks[2]), (halves.1, blocks[2], u64::MAX)] {
            let list: Vec<u8> = half.iter().flat_map(|extent| extent.to_be_bytes()).collect();
            self.put_tree(number, block, (0, half.len() as u16, next), &list);
        }
        let rows = |room: usize, keys: &[[u8; 8]], pointers: &[u64]| {
            let mut rows = vec![0; room / 16 * 16];
            rows[..8 * keys.len()].copy_from_slice(&keys.concat());
            let pointers: Vec<u8> = pointers.iter().flat_map(|pointer| pointer.to_be_bytes()).collect();
            rows[room / 16 * 8..][..pointers.len()].copy_from_slice(&pointers);
            rows
        };
        let node = rows(block_size - header, &[key(halves.0), key(halves.1)], &blocks[1..]);
        self.put_tree(number, blocks[0], (1, 2, u64::MAX), &node);
        let core = self.core();
        let root = rows(self.superblock.inode_size - core - 4, &[key(halves.0)], &blocks[..1]);
        self.change_inode(number, core, &[&[0, 2, 0, 1], root.as_slice()].concat());
        self.change_inode(number, 5, &[3]);
        self.change_inode(number, 76, &(extents.len() as u32).to_be_bytes());
    }

    /// Makes the target of a link lie in a block of another file.
    pub(super) fn make_long_link(&mut self, number: u64, donor: u64, target: &[u8]) {
        let block = self.extent(donor).0;
        let at = self.block(block);
        let mut bytes = b"XSLM\0\0\0\0".to_vec();
        bytes.extend((target.len() as u32).to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.superblock.uuid);
        bytes.extend(number.to_be_bytes());
        bytes.extend((at as u64 / 512).to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(target);
        bytes.resize(self.superblock.block_size as usize, 0);
        self.put(at, &bytes);
        self.seal(at, bytes.len(), 12);
        let core = self.core();
        self.change_inode(number, core, &extent(0, block, 1, false).to_be_bytes());
        self.change_inode(number, 5, &[2]);
        self.change_inode(number, 56, &(target.len() as u64).to_be_bytes());
        self.change_inode(number, 76, &1u32.to_be_bytes());
    }
}

/// An extent as it is on the disk.
pub(super) fn extent(logical: u64, block: u64, length: u64, is_unwritten: bool) -> u128 {
    u128::from(is_unwritten) << 127 | u128::from(logical) << 73 | u128::from(block) << 21 | u128::from(length)
}
