//! Where files have holes, and how GNU tar writes that down (its sparse format 1.0).

use std::io::{self, Write};

use crate::disk::{DiskError, Stat, Tree};

/// Holes are found in steps of this, as on the host.
const BLOCK: usize = 4096;

/// A file is looked through for holes if they save more than this.
const WORTH: u64 = 64 << 10;

/// The most pieces that a file is cut into; holes behind these are written out.
const PIECES: usize = 1 << 16;

/// The pieces of a file that are not holes, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Map {
    /// Where each begins, and its length.
    pub(crate) pieces: Vec<(u64, u64)>,
    size: u64,
}

impl Map {
    /// Looks through a file that takes much less space than its length. `None` if it is to be written whole.
    pub(crate) fn of(tree: &mut dyn Tree, path: &[u8], stat: &Stat) -> Result<Option<Self>, DiskError> {
        if stat.size.saturating_sub(stat.allocated) < WORTH {
            return Ok(None);
        }
        let mut finder = Finder::default();
        let size = tree.read_to(path, &mut finder)?;
        let map = Self { pieces: finder.pieces, size };
        Ok((size - map.length() >= WORTH).then_some(map))
    }

    /// The length of all pieces together.
    pub(crate) fn length(&self) -> u64 {
        self.pieces.iter().map(|(_, length)| length).sum()
    }

    /// The length of the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What stands before the pieces in a tar file, without its padding.
    pub(crate) fn text(&self) -> String {
        // A piece of no length says that a hole ends the file.
        let ends_in_hole = self.pieces.last().is_none_or(|(start, length)| start + length < self.size);
        let end = ends_in_hole.then_some((self.size, 0));
        let mut text = format!("{}\n", self.pieces.len() + usize::from(ends_in_hole));
        for (start, length) in self.pieces.iter().copied().chain(end) {
            text += &format!("{start}\n{length}\n");
        }
        text
    }
}

/// Notes where what is written to it is not zero.
#[derive(Debug, Default)]
struct Finder {
    at: u64,
    pieces: Vec<(u64, u64)>,
}

impl Finder {
    fn part(&mut self, part: &[u8]) {
        static ZEROS: [u8; BLOCK] = [0; BLOCK];
        let length = part.len() as u64;
        let is_hole = ZEROS.starts_with(part);
        let full = self.pieces.len() >= PIECES;
        match self.pieces.last_mut() {
            Some((start, known)) if full || (!is_hole && *start + *known == self.at) => {
                *known = self.at + length - *start;
            }
            _ if is_hole => {}
            _ => self.pieces.push((self.at, length)),
        }
        self.at += length;
    }
}

impl Write for Finder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let into_block = usize::try_from(self.at % BLOCK as u64).unwrap_or(0);
            let (part, behind) = rest.split_at(rest.len().min(BLOCK - into_block));
            self.part(part);
            rest = behind;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_not_in_a_piece_is_zero(
            runs in prop::collection::vec((0u8..2, 1usize..20_000), 0..12),
            step in 1usize..9000,
        ) {
            let bytes: Vec<u8> = runs.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect();
            let mut finder = Finder::default();
            bytes.chunks(step).for_each(|chunk| finder.write_all(chunk).unwrap());
            let mut found = vec![0; bytes.len()];
            let mut last = None;
            for (start, length) in finder.pieces {
                prop_assert!(length > 0 && last.is_none_or(|last| last < start));
                last = Some(start + length);
                let range = start as usize..(start + length) as usize;
                found[range.clone()].copy_from_slice(&bytes[range]);
            }
            prop_assert!(found == bytes);
        }
    }

    #[test]
    fn hostile_files_have_no_endless_map() {
        let mut finder = Finder::default();
        let mut both = [0; 2 * BLOCK];
        both[0] = 1;
        for _ in 0..PIECES + 10 {
            finder.write_all(&both).unwrap();
        }
        assert_eq!(finder.pieces.len(), PIECES);
        let (start, length) = finder.pieces[PIECES - 1];
        assert_eq!(start + length, finder.at);
    }
}
