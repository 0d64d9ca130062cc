//! The ends of files, as tail prints them.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::VerifyError;
use super::look::{show, write_error};
use crate::disk::{DiskError, Tree};
use crate::size::Size;

/// The most that is kept of a file to find where its last lines begin.
const KEPT_LIMIT: usize = 256 << 20;

/// How much of the end of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// So many lines.
    Lines(u64),
    /// So many bytes.
    Bytes(u64),
}

/// Writes the end of a file as it is.
///
/// # Errors
/// [`VerifyError::Unsupported`] if that is more than can be kept, [`VerifyError::Disk`], [`VerifyError::Write`].
pub fn tail(tree: &mut dyn Tree, path: &[u8], end: End, out: &mut dyn Write) -> Result<(), VerifyError> {
    // The whole file runs through the ring. A tree that can read from the middle could begin near the end here.
    let mut ring = Ring::new(end);
    match tree.read_to(path, &mut ring) {
        Err(DiskError::Io { .. }) if ring.full => {
            let reason = format!("that is more than {} of `{}`", Size(KEPT_LIMIT as u64), show(path));
            return Err(VerifyError::Unsupported { what: "the end of the file", reason });
        }
        result => result?,
    };
    ring.write_to(out).map_err(write_error("the end of the file"))
}

/// Pieces of the end of a stream: no more of them than needed.
struct Ring {
    end: End,
    pieces: VecDeque<Piece>,
    bytes: usize,
    newlines: u64,
    full: bool,
}

struct Piece {
    bytes: Vec<u8>,
    newlines: u64,
}

impl Ring {
    /// Small pieces are put together, so that they cost little.
    const PIECE: usize = 64 << 10;

    fn new(end: End) -> Self {
        Self { end, pieces: VecDeque::new(), bytes: 0, newlines: 0, full: false }
    }

    fn push(&mut self, bytes: &[u8]) {
        let newlines = count(bytes);
        self.bytes += bytes.len();
        self.newlines += newlines;
        match self.pieces.back_mut() {
            Some(last) if last.bytes.len() + bytes.len() <= Self::PIECE => {
                last.bytes.extend_from_slice(bytes);
                last.newlines += newlines;
            }
            _ => self.pieces.push_back(Piece { bytes: bytes.to_vec(), newlines }),
        }
        while let Some(first) = self.pieces.front() {
            let needed = match self.end {
                // The last line may lack its end, and the first one wanted begins behind the end of another.
                End::Lines(lines) => self.newlines - first.newlines <= lines,
                End::Bytes(wanted) => ((self.bytes - first.bytes.len()) as u64) < wanted,
            };
            if needed {
                break;
            }
            self.bytes -= first.bytes.len();
            self.newlines -= first.newlines;
            self.pieces.pop_front();
        }
    }

    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut skip = self.surplus();
        for piece in &self.pieces {
            let start = skip.min(piece.bytes.len());
            skip -= start;
            out.write_all(&piece.bytes[start..])?;
        }
        Ok(())
    }

    /// How many of the kept bytes come before the wanted end.
    fn surplus(&self) -> usize {
        let lines = match self.end {
            End::Bytes(wanted) => {
                return self.bytes.saturating_sub(usize::try_from(wanted).unwrap_or(usize::MAX));
            }
            End::Lines(lines) => lines,
        };
        let unended = self.pieces.back().is_some_and(|piece| piece.bytes.last() != Some(&b'\n'));
        // So many lines end before the first that is wanted.
        let Some(mut before) = (self.newlines + u64::from(unended)).checked_sub(lines) else { return 0 };
        let mut at = 0;
        for piece in &self.pieces {
            if before == 0 {
                break;
            }
            if piece.newlines < before {
                before -= piece.newlines;
                at += piece.bytes.len();
                continue;
            }
            let mut ends = piece.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            let last = usize::try_from(before - 1).ok().and_then(|nth| ends.nth(nth));
            return at + last.map_or(piece.bytes.len(), |(end, _)| end + 1);
        }
        // All lines are unwanted, even one without an end.
        at
    }
}

fn count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl Write for Ring {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(Self::PIECE)];
        self.push(piece);
        if self.bytes > KEPT_LIMIT {
            self.full = true;
            return Err(io::Error::other("the end is too large"));
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::super::testing::MemTree;
    use super::*;

    fn end_of(content: &[u8], end: End) -> Vec<u8> {
        let mut tree = MemTree::new().file("/f", content);
        let mut out = Vec::new();
        tail(&mut tree, b"/f", end, &mut out).unwrap();
        out
    }

    /// What the program says of the same.
    fn oracle(content: &[u8], end: End) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), content).unwrap();
        let wanted = match end {
            End::Lines(lines) => ["-n".to_owned(), lines.to_string()],
            End::Bytes(bytes) => ["-c".to_owned(), bytes.to_string()],
        };
        let output = Command::new("tail").args(wanted).arg(file.path()).output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn small_files() {
        for content in ["", "\n", "a", "a\n", "a\nb", "a\nb\n", "\n\n\n", "a\n\nb\n\n"] {
            for number in 0..5 {
                for end in [End::Lines(number), End::Bytes(number)] {
                    let (found, expected) =
                        (end_of(content.as_bytes(), end), oracle(content.as_bytes(), end));
                    assert_eq!(found, expected, "{content:?} {end:?}");
                }
            }
        }
    }

    #[test]
    fn large_files_with_long_and_short_lines() {
        let mut content = Vec::new();
        for number in 0..4000 {
            content.extend_from_slice(format!("{number} ").as_bytes());
            content.extend(std::iter::repeat_n(b'x', (number * number) % 977));
            content.push(b'\n');
        }
        content.extend(std::iter::repeat_n(b'y', 300_000));
        for end in [1, 2, 10, 500, 3999, 4000, 4001, 4002, 65_536, 400_000, u64::MAX] {
            for end in [End::Lines(end), End::Bytes(end)] {
                assert!(end_of(&content, end) == oracle(&content, end), "{end:?}");
            }
        }
    }

    #[test]
    fn only_the_end_is_kept() {
        let mut ring = Ring::new(End::Lines(3));
        for _ in 0..100_000 {
            ring.write_all(b"some line or other\n").unwrap();
            assert!(ring.bytes <= 2 * Ring::PIECE, "{}", ring.bytes);
        }
    }

    #[test]
    fn an_end_that_is_too_large_is_said() {
        let content = vec![b'x'; KEPT_LIMIT + Ring::PIECE + 1];
        let mut tree = MemTree::new().file("/f", content);
        let error = tail(&mut tree, b"/f", End::Lines(1), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the end of the file: that is more than 256 MiB of `/f`");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(content in "[a\n]{0,60}", cuts: Vec<u8>, number in 0..20u64, lines: bool) {
            let end = if lines { End::Lines(number) } else { End::Bytes(number) };
            let mut ring = Ring::new(end);
            let mut rest = content.as_bytes();
            for cut in cuts {
                let (piece, left) = rest.split_at(rest.len().min(usize::from(cut % 7)));
                ring.write_all(piece).unwrap();
                rest = left;
            }
            ring.write_all(rest).unwrap();
            let mut out = Vec::new();
            ring.write_to(&mut out).unwrap();
            prop_assert_eq!(out, end_of(content.as_bytes(), end));
        }
    }
}
