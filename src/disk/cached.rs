//! Keeps the pieces of a disk that were read last: a file system asks for the same few over and over, and
//! each may have to be unpacked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{BlockRead, DiskError, Extent};
use crate::block::Shared;
use crate::block::check_range;

/// Bytes of a piece: a cluster of most images.
const PIECE: u64 = 64 << 10;
/// Pieces kept, 10 MiB in all.
const KEEP: usize = 160;

/// A disk with a memory.
pub(super) struct Cached {
    disk: Box<dyn BlockRead>,
    /// Pieces by number, each with the time of its last use.
    pieces: HashMap<u64, (u64, Vec<u8>)>,
    /// Counts uses.
    clock: u64,
}

/// A disk for several readers, with a memory.
pub(super) fn share(disk: Box<dyn BlockRead>) -> Shared {
    Arc::new(Mutex::new(Box::new(Cached::new(disk))))
}

impl Cached {
    pub(super) fn new(disk: Box<dyn BlockRead>) -> Self {
        Self { disk, pieces: HashMap::with_capacity(KEEP), clock: 0 }
    }

    fn piece(&mut self, number: u64) -> Result<&[u8], DiskError> {
        self.clock += 1;
        if !self.pieces.contains_key(&number) {
            let start = number * PIECE;
            let mut content = self.room();
            content.resize(PIECE.min(self.size() - start) as usize, 0);
            self.disk.read_exact_at(&mut content, start)?;
            self.pieces.insert(number, (self.clock, content));
        }
        let (used, content) = self.pieces.entry(number).or_default();
        *used = self.clock;
        Ok(content)
    }

    /// Memory for a piece: that of the one whose last use is longest ago, once there are enough.
    fn room(&mut self) -> Vec<u8> {
        if self.pieces.len() < KEEP {
            return Vec::new();
        }
        // Reading a piece costs far more than looking through all of them.
        let oldest = self.pieces.iter().min_by_key(|(_, (used, _))| *used).map(|(number, _)| *number);
        oldest.and_then(|number| self.pieces.remove(&number)).map(|(_, content)| content).unwrap_or_default()
    }
}

impl BlockRead for Cached {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_exact_at(&mut self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len() as u64)?;
        if buffer.len() as u64 >= PIECE {
            // The content of a large file, which nobody asks for twice.
            return self.disk.read_exact_at(buffer, offset);
        }
        while !buffer.is_empty() {
            let within = (offset % PIECE) as usize;
            let content = &self.piece(offset / PIECE)?[within..];
            let length = content.len().min(buffer.len());
            let (head, rest) = buffer.split_at_mut(length);
            head.copy_from_slice(&content[..length]);
            buffer = rest;
            offset += length as u64;
        }
        Ok(())
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        self.disk.extent(offset)
    }

    fn fork(&self) -> Option<Box<dyn BlockRead>> {
        Some(Box::new(Self::new(self.disk.fork()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw::Raw;
    use super::super::testing::{Lab, mixture, read_all, write};
    use super::*;

    #[test]
    fn a_memory_changes_nothing() {
        let lab = Lab::new();
        let content = mixture(20 << 20 | 512, 8);
        write(&lab.path("disk"), &content);
        let file = fs_err::File::open(lab.path("disk")).unwrap();
        let mut disk = Cached::new(Box::new(Raw::new(file, &lab.path("disk"), content.len() as u64)));
        for step in [4096, 50_001, 100_001] {
            assert!(read_all(&mut disk, step) == content);
        }
        for at in [19 << 20, 0, 65_535, 1 << 20, 65_530] {
            let mut piece = [0; 4096];
            disk.read_exact_at(&mut piece, at).unwrap();
            assert!(piece == content[at as usize..][..4096]);
        }
        assert_eq!(disk.pieces.len(), KEEP);
        assert!(disk.read_exact_at(&mut [0; 513], 20 << 20).is_err());
    }
}
