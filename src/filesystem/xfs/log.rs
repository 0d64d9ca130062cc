//! Whether the log holds changes that are not in their places yet (`xlog_find_tail` in Linux' `fs/xfs/xfs_log_recover.c`).
//!
//! The log is a ring of sectors, each of which begins with the number of the round in which it was written; the first of a record
//! has the number behind a magic one. Who unmounts the file system writes a record that says so. If that is the last one, all
//! is in its place. A record behind it that was cut off does not count.
//!
//! Linux also looks for sectors in front of the last record that were never written, and for wrong checksums: it may find that
//! more does not count. Such logs count as not written back here.

use super::superblock::Superblock;
use crate::block::DiskError;
use crate::block::bytes::be32;
use crate::block::window::Window;

/// The log's unit, in bytes.
const SECTOR: u64 = 512;
/// What a record begins with.
const MAGIC: u32 = 0xfeed_babe;
/// Bytes of a record that one sector of header is for.
const PER_HEADER: u32 = 32 << 10;
/// Sectors of the longest record, headers and all.
const LONGEST: u64 = 8 + 512;
/// The operation that is an unmounting.
const UNMOUNT: u8 = 0x20;

/// Whether nothing needs to be replayed.
///
/// # Errors
/// [`DiskError::Damaged`] when the log is outside the file system, or those of the disk.
pub(super) fn is_clean(window: &mut Window, superblock: &Superblock) -> Result<bool, DiskError> {
    let (first, blocks) = superblock.log;
    let Some(start) = superblock.block(first, blocks).filter(|_| blocks > 0) else {
        return Err(DiskError::Damaged("the XFS log is outside its file system".to_owned()));
    };
    let start = start << superblock.block_log;
    Log { window, start, sectors: (blocks << superblock.block_log) / SECTOR }.is_clean()
}

struct Log<'a> {
    window: &'a mut Window,
    start: u64,
    sectors: u64,
}

impl Log<'_> {
    fn is_clean(&mut self) -> Result<bool, DiskError> {
        // Never written to.
        if self.round(0)? == 0 {
            return Ok(true);
        }
        let mut head = self.head()?;
        for _ in 0..2 {
            let Some((at, header)) = self.record_before(head)? else { return Ok(false) };
            let (version, length) = (be32(&header, 8), be32(&header, 12));
            let size = if version & 2 == 0 { 0 } else { be32(&header, 320) };
            let content = at + u64::from(size.div_ceil(PER_HEADER).max(1));
            if (content + u64::from(length).div_ceil(SECTOR)) % self.sectors == head {
                let operation = self.sector(content % self.sectors)?;
                return Ok(be32(&header, 40) == 1 && operation[9] & UNMOUNT != 0);
            }
            head = at;
        }
        Ok(false)
    }

    /// The last record that begins in front of a sector, and its header.
    fn record_before(&mut self, end: u64) -> Result<Option<(u64, [u8; SECTOR as usize])>, DiskError> {
        for back in 1..=LONGEST.min(self.sectors) {
            let at = (end + self.sectors - back) % self.sectors;
            let header = self.sector(at)?;
            if be32(&header, 0) == MAGIC {
                return Ok(Some((at, header)));
            }
        }
        Ok(None)
    }

    /// The sector that would be written next.
    fn head(&mut self) -> Result<u64, DiskError> {
        let (first, last) = (self.round(0)?, self.round(self.sectors - 1)?);
        if first == last {
            return Ok(0);
        }
        // What was written in the round before, or never, begins somewhere behind `low` and not behind `high`.
        let (mut low, mut high) = (0, self.sectors - 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.round(middle)? == last {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(high)
    }

    /// The round in which a sector was written.
    fn round(&mut self, at: u64) -> Result<u32, DiskError> {
        let sector = self.sector(at)?;
        Ok(match be32(&sector, 0) {
            MAGIC => be32(&sector, 4),
            round => round,
        })
    }

    fn sector(&mut self, at: u64) -> Result<[u8; SECTOR as usize], DiskError> {
        let mut sector = [0; SECTOR as usize];
        self.window.read_exact(self.start + at * SECTOR, &mut sector)?;
        Ok(sector)
    }
}
