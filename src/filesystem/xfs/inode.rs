//! One inode (`xfs_dinode` in Linux' `fs/xfs/libxfs/xfs_format.h`), and its two forks: content and attributes.

use super::checksum;
use super::marks::damaged;
use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::{be16, be32, be64};
use crate::filesystem::{FileKind, Stat, Timestamp};

const MAGIC: &[u8] = b"IN";
/// Bytes before the forks, in versions 1 and 2, and in version 3.
const CORE: usize = 100;
const CORE_V3: usize = 176;
const CHECKSUM: usize = 100;
/// Flags: the content is on the real-time device.
const REAL_TIME: u16 = 0x1;
/// Flags of version 3: times of 64 bits, counts of extents of 64 and 32 bits.
const BIG_TIME: u64 = 0x8;
const LARGE_COUNTS: u64 = 0x10;
/// The earliest time that counts of nanoseconds begin at.
const BIG_TIME_START: i64 = i32::MIN as i64;
const NANOSECONDS: u64 = 1_000_000_000;

/// What a fork is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A device's number.
    Device,
    /// The content itself.
    Local,
    /// A list of extents.
    Extents,
    /// The root of a tree of extents.
    Tree,
}

/// One of the two things an inode holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fork<'a> {
    pub(super) form: Form,
    /// What the inode itself has of it.
    pub(super) bytes: &'a [u8],
    /// Extents of it, all together.
    pub(super) extents: u64,
}

/// An inode, as it is on the disk.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) number: u64,
    pub(super) kind: FileKind,
    pub(super) size: u64,
    /// Bytes of a block.
    block_size: u64,
    /// Where the forks begin; the end of the first.
    content: usize,
    attributes: Option<usize>,
    form: Form,
    attribute_form: Form,
    raw: Vec<u8>,
}

impl Inode {
    /// Takes the bytes of an inode apart.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] for a wrong checksum, or when nothing is there.
    pub(super) fn parse(superblock: &Superblock, number: u64, raw: Vec<u8>) -> Result<Self, DiskError> {
        let fault = |what| damaged(number, what);
        let versions = if superblock.has_checksums { 3..=3 } else { 1..=2 };
        if !raw.starts_with(MAGIC) || !versions.contains(&raw[4]) {
            return Err(fault("does not exist"));
        }
        if superblock.has_checksums {
            if superblock.compares_checksums && !checksum::fits(&raw, CHECKSUM) {
                return Err(fault("has a wrong checksum"));
            }
            if be64(&raw, 152) != number || raw[160..176] != superblock.uuid {
                return Err(fault("belongs somewhere else"));
            }
        }
        let kind = kind(be16(&raw, 2)).ok_or_else(|| fault("is not in use, or is of no known kind"))?;
        let form = form(raw[5]).ok_or_else(|| fault("has content of no known form"))?;
        let size = be64(&raw, 56);
        if size > i64::MAX.unsigned_abs() {
            return Err(fault("claims an impossible size"));
        }
        let content = if superblock.has_checksums { CORE_V3 } else { CORE };
        let attributes = match usize::from(raw[82]) {
            0 => None,
            words => Some(content + 8 * words),
        };
        if attributes.is_some_and(|at| at >= raw.len()) {
            return Err(fault("has attributes outside itself"));
        }
        let attribute_form = match attributes.and(form_of_attributes(raw[83])) {
            Some(form) => form,
            None if attributes.is_none() => Form::Extents,
            None => return Err(fault("has attributes of no known form")),
        };
        let block_size = superblock.block_size;
        Ok(Self { number, kind, size, block_size, content, attributes, form, attribute_form, raw })
    }

    /// Flags that only version 3 has.
    fn flags(&self) -> u64 {
        if self.content == CORE_V3 { be64(&self.raw, 120) } else { 0 }
    }

    /// The content.
    pub(super) fn content(&self) -> Fork<'_> {
        let end = self.attributes.unwrap_or(self.raw.len());
        let bytes = self.raw.get(self.content..end).unwrap_or_default();
        let extents =
            if self.has_large_counts() { be64(&self.raw, 24) } else { u64::from(be32(&self.raw, 76)) };
        Fork { form: self.form, bytes, extents }
    }

    /// The extended attributes, if there may be any.
    pub(super) fn attributes(&self) -> Option<Fork<'_>> {
        let bytes = self.raw.get(self.attributes?..)?;
        let extents = if self.has_large_counts() {
            u64::from(be32(&self.raw, 76))
        } else {
            u64::from(be16(&self.raw, 80))
        };
        let fork = Fork { form: self.attribute_form, bytes, extents };
        (fork.form != Form::Extents || extents > 0).then_some(fork)
    }

    fn has_large_counts(&self) -> bool {
        self.flags() & LARGE_COUNTS != 0
    }

    /// Whether its content is on a device of its own, which an image does not have.
    pub(super) fn is_real_time(&self) -> bool {
        self.kind == FileKind::File && be16(&self.raw, 90) & REAL_TIME != 0
    }

    /// The number of a device, as IRIX wrote it: 14 bits and 18.
    fn special(&self) -> (u32, u32) {
        if !matches!(self.kind, FileKind::Block | FileKind::Character) {
            return (0, 0);
        }
        let number = be32(self.content().bytes, 0);
        ((number >> 18) & 0x3fff, number & 0x3_ffff)
    }

    fn time(&self, at: usize) -> Timestamp {
        if self.flags() & BIG_TIME != 0 {
            let all = be64(&self.raw, at);
            let seconds = BIG_TIME_START + (all / NANOSECONDS).cast_signed();
            return Timestamp { seconds, nanoseconds: (all % NANOSECONDS) as u32 };
        }
        let nanoseconds = be32(&self.raw, at + 4).min(999_999_999);
        Timestamp { seconds: be32(&self.raw, at).cast_signed().into(), nanoseconds }
    }

    pub(super) fn stat(&self) -> Stat {
        // The first version has a shorter count of links, elsewhere.
        let links = if self.raw[4] == 1 { be16(&self.raw, 6).into() } else { be32(&self.raw, 16) };
        Stat {
            kind: self.kind,
            mode: u32::from(be16(&self.raw, 2)) & 0o7777,
            uid: be32(&self.raw, 8),
            gid: be32(&self.raw, 12),
            size: self.size,
            allocated: be64(&self.raw, 64).saturating_mul(self.block_size),
            links,
            inode: self.number,
            device: 0,
            special: self.special(),
            accessed: self.time(32),
            modified: self.time(40),
            changed: self.time(48),
        }
    }
}

fn kind(mode: u16) -> Option<FileKind> {
    Some(match mode >> 12 {
        0x1 => FileKind::Fifo,
        0x2 => FileKind::Character,
        0x4 => FileKind::Directory,
        0x6 => FileKind::Block,
        0x8 => FileKind::File,
        0xa => FileKind::Symlink,
        0xc => FileKind::Socket,
        _ => return None,
    })
}

fn form(number: u8) -> Option<Form> {
    Some(match number {
        0 => Form::Device,
        1 => Form::Local,
        2 => Form::Extents,
        3 => Form::Tree,
        _ => return None,
    })
}

fn form_of_attributes(number: u8) -> Option<Form> {
    form(number).filter(|form| *form != Form::Device)
}
