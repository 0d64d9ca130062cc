//! One inode (`btrfs_inode_item`).

use super::superblock::SECTOR;
use super::{Place, damaged};
use crate::block::DiskError;
use crate::block::bytes::{le32, le64};
use crate::filesystem::{FileKind, Stat, Timestamp};

pub(super) const LENGTH: usize = 160;
const WITHOUT_CHECKSUMS: u64 = 1;

/// An inode, as it is on the disk.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) place: Place,
    pub(super) size: u64,
    /// Its data has checksums.
    pub(super) is_checked: bool,
    pub(super) kind: FileKind,
    stat: Stat,
}

impl Inode {
    /// Takes the bytes of an inode apart.
    pub(super) fn parse(place: Place, raw: &[u8]) -> Result<Self, DiskError> {
        let mode = le32(raw, 52);
        let kind = match mode >> 12 {
            0x1 => FileKind::Fifo,
            0x2 => FileKind::Character,
            0x4 => FileKind::Directory,
            0x6 => FileKind::Block,
            0x8 => FileKind::File,
            0xa => FileKind::Symlink,
            0xc => FileKind::Socket,
            _ => return Err(damaged(place, "is of no known kind")),
        };
        let size = le64(raw, 16);
        if raw.len() < LENGTH || size > i64::MAX.unsigned_abs() {
            return Err(damaged(place, "claims an impossible size"));
        }
        // As Linux keeps the number of a device in memory.
        let device = le64(raw, 56);
        let special = match kind {
            FileKind::Block | FileKind::Character => {
                ((device >> 20) as u32 & 0xfff, device as u32 & 0xf_ffff)
            }
            _ => (0, 0),
        };
        let time = |at| Timestamp {
            seconds: le64(raw, at).cast_signed(),
            nanoseconds: le32(raw, at + 8).min(999_999_999),
        };
        let stat = Stat {
            kind,
            mode: mode & 0o7777,
            uid: le32(raw, 44),
            gid: le32(raw, 48),
            size,
            allocated: le64(raw, 24).checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX),
            links: le32(raw, 40),
            inode: place.inode,
            device: place.device(),
            special,
            accessed: time(112),
            modified: time(136),
            changed: time(124),
        };
        let is_checked = le64(raw, 64) & WITHOUT_CHECKSUMS == 0;
        Ok(Self { place, size, is_checked, kind, stat })
    }

    pub(super) fn stat(&self) -> Stat {
        self.stat
    }
}
