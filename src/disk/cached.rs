//! Keeps the pieces of a disk that were read last: a file system asks for the same few over and over, and
//! each may have to be unpacked.

use std::collections::VecDeque;

use super::raw::check_range;
use super::{BlockRead, DiskError, Extent};

/// Bytes of a piece: a cluster of most images.
const PIECE: u64 = 64 << 10;
/// Pieces kept, 8 MiB in all.
const KEEP: usize = 128;

/// A disk with a memory.
pub(super) struct Cached {
    disk: Box<dyn BlockRead>,
    /// Number and content of pieces, the one used last first.
    pieces: VecDeque<(u64, Vec<u8>)>,
}

impl Cached {
    pub(super) fn new(disk: Box<dyn BlockRead>) -> Self {
        Self { disk, pieces: VecDeque::with_capacity(KEEP) }
    }

    fn piece(&mut self, number: u64) -> Result<&[u8], DiskError> {
        let found = self.pieces.iter().position(|(key, _)| *key == number);
        let piece = match found.and_then(|at| self.pieces.remove(at)) {
            Some(piece) => piece,
            None => {
                let start = number * PIECE;
                let mut content = vec![0; PIECE.min(self.size() - start) as usize];
                self.disk.read_exact_at(&mut content, start)?;
                self.pieces.truncate(KEEP - 1);
                (number, content)
            }
        };
        self.pieces.push_front(piece);
        Ok(&self.pieces[0].1)
    }
}

impl BlockRead for Cached {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_exact_at(&mut self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len() as u64)?;
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
}

#[cfg(test)]
mod tests {
    use super::super::raw::Raw;
    use super::super::testing::{Lab, mixture, read_all, write};
    use super::*;

    #[test]
    fn a_memory_changes_nothing() {
        let lab = Lab::new();
        let content = mixture(10 << 20 | 512, 8);
        write(&lab.path("disk"), &content);
        let file = fs_err::File::open(lab.path("disk")).unwrap();
        let mut disk = Cached::new(Box::new(Raw::new(file, &lab.path("disk"), content.len() as u64)));
        for step in [4096, 100_001] {
            assert!(read_all(&mut disk, step) == content);
        }
        for at in [9 << 20, 0, 65_535, 1 << 20, 65_530] {
            let mut piece = [0; 4096];
            disk.read_exact_at(&mut piece, at).unwrap();
            assert!(piece == content[at as usize..][..4096]);
        }
        assert_eq!(disk.pieces.len(), KEEP);
        assert!(disk.read_exact_at(&mut [0; 513], 10 << 20).is_err());
    }
}
