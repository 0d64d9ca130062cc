//! The marks by which blocks of version 5 say what and where they are, and whose.

use super::checksum;
use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::be64;

/// Where a kind of block has its marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    checksum: usize,
    /// Its own place on the disk, in units of 512 bytes.
    place: usize,
    uuid: usize,
    /// The inode it belongs to.
    owner: usize,
}

/// Blocks of directories that hold entries.
pub(super) const ENTRIES: Marks = Marks { checksum: 4, place: 8, uuid: 24, owner: 40 };
/// Blocks of attributes, and of the tree above them.
pub(super) const ATTRIBUTES: Marks = Marks { checksum: 12, place: 16, uuid: 32, owner: 48 };
/// Long targets of links, and long values of attributes.
pub(super) const REMOTE: Marks = Marks { checksum: 12, place: 40, uuid: 16, owner: 32 };
/// Blocks of a tree of extents.
pub(super) const TREE: Marks = Marks { checksum: 64, place: 24, uuid: 40, owner: 56 };

impl Marks {
    /// Says what is wrong with the marks of a block that begins at byte `at` of the file system. `what` is what the block
    /// is, as part of a sentence about its inode: "has a value".
    ///
    /// # Errors
    /// [`DiskError::Damaged`].
    pub(super) fn check(
        self,
        superblock: &Superblock,
        owner: u64,
        block: &[u8],
        at: u64,
        what: &str,
    ) -> Result<(), DiskError> {
        if !superblock.has_checksums {
            return Ok(());
        }
        if superblock.compares_checksums && !checksum::fits(block, self.checksum) {
            return Err(damaged(owner, &format!("{what} with a wrong checksum")));
        }
        let is_its_own = be64(block, self.owner) == owner
            && be64(block, self.place) == at / 512
            && block.get(self.uuid..self.uuid + 16) == Some(&superblock.uuid);
        if is_its_own { Ok(()) } else { Err(damaged(owner, &format!("{what} that belongs somewhere else"))) }
    }
}

/// What is wrong with an inode, as the end of a sentence.
pub(super) fn damaged(inode: u64, what: &str) -> DiskError {
    DiskError::Damaged(format!("XFS inode {inode} {what}"))
}
