//! Writes a qcow2 file once, from front to back.
//!
//! Layout: header, then data in guest order with each level-2 table behind the data it maps, then the level-1
//! table, the refcount table and its blocks. The header comes last, so that an unfinished file is no qcow2.

use std::os::unix::fs::FileExt;

use fs_err::File;

use super::DiskError;
use super::header::{Compression, Header, encode};

/// Cluster size of exported images: what every reader handles best.
pub(super) const CLUSTER_BITS: u32 = 16;
/// The same in bytes.
pub(super) const CLUSTER: u64 = 1 << CLUSTER_BITS;
const L2_ENTRIES: u64 = CLUSTER / 8;
/// 16-bit refcounts in a refcount block.
const BLOCK_ENTRIES: u64 = CLUSTER / 2;
/// Bit that says a cluster or table has exactly one user.
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// Bytes gathered before they are written.
const PENDING: usize = 1 << 20;

/// A qcow2 file being written. Clusters must come in ascending guest order.
pub(super) struct Writer<'a> {
    file: &'a File,
    virtual_size: u64,
    compression: Compression,
    /// First byte of the file that is not given away; at a cluster's start.
    end: u64,
    /// Room left in the host cluster that compressed clusters are being put into.
    room: std::ops::Range<u64>,
    /// Bytes not yet written, and where they belong.
    pending: Vec<u8>,
    pending_at: u64,
    l1: Vec<u64>,
    /// The level-2 table being filled: its number and entries.
    l2: Option<(usize, Vec<u64>)>,
    refcounts: Vec<u16>,
}

impl<'a> Writer<'a> {
    /// Starts with an empty `file`.
    pub(super) fn new(file: &'a File, virtual_size: u64, compression: Compression) -> Self {
        let tables = virtual_size.div_ceil(CLUSTER * L2_ENTRIES) as usize;
        Self {
            file,
            virtual_size,
            compression,
            end: CLUSTER,
            room: CLUSTER..CLUSTER,
            pending: Vec::with_capacity(PENDING),
            pending_at: CLUSTER,
            l1: vec![0; tables],
            l2: None,
            refcounts: vec![1],
        }
    }

    /// Adds a cluster as it is.
    pub(super) fn plain(&mut self, guest: u64, content: &[u8]) -> Result<(), DiskError> {
        self.table_for(guest)?;
        let at = self.allocate(1);
        self.write(content, at)?;
        self.map(guest, at | COPIED);
        Ok(())
    }

    /// Adds a compressed cluster.
    pub(super) fn compressed(&mut self, guest: u64, packed: &[u8]) -> Result<(), DiskError> {
        self.table_for(guest)?;
        let length = packed.len() as u64;
        // Packed clusters may cross from one host cluster to the next, but not jump.
        if self.room.start + length > self.room.end {
            if self.room.end != self.end {
                self.room = self.end..self.end;
            }
            let missing = self.room.start + length - self.room.end;
            let clusters = missing.div_ceil(CLUSTER);
            for _ in 0..clusters {
                self.refcounts.push(0);
            }
            self.end += clusters * CLUSTER;
            self.room.end = self.end;
        }
        let at = self.room.start;
        self.room.start += length;
        self.write(packed, at)?;
        let last = at + length - 1;
        for cluster in at / CLUSTER..=last / CLUSTER {
            self.refcounts[cluster as usize] += 1;
        }
        // The descriptor counts sectors: those behind the first one that the bytes touch.
        let shift = 62 - (CLUSTER_BITS - 8);
        let sectors = last / 512 - at / 512;
        self.map(guest, COMPRESSED | sectors << shift | at);
        Ok(())
    }

    /// Writes the tables and the header, and returns the length of the file.
    pub(super) fn finish(mut self) -> Result<u64, DiskError> {
        self.end_table()?;
        let l1: Vec<u8> = self.l1.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        let l1_offset = self.allocate((l1.len() as u64).div_ceil(CLUSTER));
        self.write(&l1, l1_offset)?;
        let (table_clusters, blocks) = refcount_clusters(self.end / CLUSTER);
        let refcount_offset = self.allocate(table_clusters);
        let blocks_offset = self.allocate(blocks);
        let table: Vec<u8> =
            (0..blocks).flat_map(|block| (blocks_offset + block * CLUSTER).to_be_bytes()).collect();
        self.write(&table, refcount_offset)?;
        let counts: Vec<u8> = self.refcounts.iter().flat_map(|count| count.to_be_bytes()).collect();
        self.write(&counts, blocks_offset)?;
        self.flush()?;
        let header = Header {
            version: 3,
            cluster_bits: CLUSTER_BITS,
            virtual_size: self.virtual_size,
            l1_entries: self.l1.len() as u32,
            l1_offset,
            refcount_offset,
            refcount_clusters: table_clusters as u32,
            snapshots: 0,
            compression: self.compression,
            backing: None,
        };
        self.file.set_len(self.end).map_err(|source| self.failed(source))?;
        self.file.file().write_all_at(&encode(&header), 0).map_err(|source| self.failed(source))?;
        Ok(self.end)
    }

    /// Gives away whole clusters at the end of the file, each used once.
    fn allocate(&mut self, clusters: u64) -> u64 {
        let at = self.end;
        self.end += clusters * CLUSTER;
        self.refcounts.resize((self.end / CLUSTER) as usize, 1);
        at
    }

    fn table_for(&mut self, guest: u64) -> Result<(), DiskError> {
        let number = (guest / CLUSTER / L2_ENTRIES) as usize;
        if self.l2.as_ref().is_none_or(|(current, _)| *current != number) {
            self.end_table()?;
            self.l2 = Some((number, vec![0; L2_ENTRIES as usize]));
        }
        Ok(())
    }

    fn map(&mut self, guest: u64, entry: u64) {
        if let Some((_, table)) = &mut self.l2 {
            table[(guest / CLUSTER % L2_ENTRIES) as usize] = entry;
        }
    }

    fn end_table(&mut self) -> Result<(), DiskError> {
        let Some((number, table)) = self.l2.take() else { return Ok(()) };
        let at = self.allocate(1);
        let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        self.write(&bytes, at)?;
        self.l1[number] = at | COPIED;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> Result<(), DiskError> {
        let follows = self.pending_at + self.pending.len() as u64 == at;
        if !follows || self.pending.len() + bytes.len() > PENDING {
            self.flush()?;
            self.pending_at = at;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.file
            .file()
            .write_all_at(&self.pending, self.pending_at)
            .map_err(|source| self.failed(source))?;
        self.pending_at += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> DiskError {
        DiskError::Io { action: "write", path: self.file.path().to_owned(), source }
    }
}

/// Clusters of the refcount table and number of refcount blocks for a file of `used` clusters, themselves
/// included in what they count.
fn refcount_clusters(used: u64) -> (u64, u64) {
    let (mut table, mut blocks) = (1, 1);
    loop {
        let next_blocks = (used + table + blocks).div_ceil(BLOCK_ENTRIES);
        let next_table = (next_blocks * 8).div_ceil(CLUSTER);
        if (next_table, next_blocks) == (table, blocks) {
            return (table, blocks);
        }
        (table, blocks) = (next_table, next_blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refcounts_count_themselves() {
        for used in [1, 32_764, 32_765, 32_766, 32_767, 65_532, 65_533, 65_534, 1 << 28] {
            let (table, blocks) = refcount_clusters(used);
            let all = used + table + blocks;
            assert!(blocks * BLOCK_ENTRIES >= all && (blocks - 1) * BLOCK_ENTRIES < all, "{used}");
            assert!(table * CLUSTER / 8 >= blocks, "{used}");
        }
    }
}
