//! The ends of files, as tail prints them.

use std::io::{self, Write};

use crate::disk::{DiskError, Tree};
use crate::look::LookError;

/// Bytes looked at in one go for the ends of lines.
const WINDOW: u64 = 256 << 10;

/// How much of the end of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// So many lines.
    Lines(u64),
    /// So many bytes.
    Bytes(u64),
    /// All from this line on; the first is 1.
    FromLine(u64),
    /// All from this byte on; the first is 1.
    FromByte(u64),
}

/// Writes the end of a file as it is.
///
/// # Errors
/// [`LookError::Read`], [`LookError::Write`].
pub fn tail(tree: &mut dyn Tree, path: &[u8], end: End, out: &mut dyn Write) -> Result<(), LookError> {
    if let End::FromLine(line) = end {
        let mut rest = Rest { lines: line.saturating_sub(1), out: &mut *out };
        tree.read_to(path, &mut rest)?;
    } else {
        let size = tree.stat(path)?.size;
        let start = start_of(tree, path, size, end, WINDOW)?;
        tree.read_range(path, start, u64::MAX, out)?;
    }
    out.flush().map_err(LookError::write("the end of the file"))
}

/// Passes on what comes after so many lines.
struct Rest<'a> {
    lines: u64,
    out: &'a mut dyn Write,
}

impl Write for Rest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while self.lines > 0 {
            let Some(at) = rest.iter().position(|&byte| byte == b'\n') else { return Ok(bytes.len()) };
            rest = &rest[at + 1..];
            self.lines -= 1;
        }
        self.out.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Where the end that is wanted begins: `window` bytes after `window` bytes are looked through from the back.
fn start_of(tree: &mut dyn Tree, path: &[u8], size: u64, end: End, window: u64) -> Result<u64, DiskError> {
    let mut wanted = match end {
        End::Bytes(bytes) => return Ok(size.saturating_sub(bytes)),
        End::FromByte(byte) => return Ok(byte.saturating_sub(1)),
        End::FromLine(_) => return Ok(0),
        End::Lines(0) => return Ok(size),
        End::Lines(lines) => lines,
    };
    let mut at = size;
    while at > 0 {
        let from = at.saturating_sub(window);
        let mut piece = Vec::new();
        tree.read_range(path, from, at - from, &mut piece)?;
        if at == size && piece.last() == Some(&b'\n') {
            // It ends the last line, and begins none.
            piece.pop();
        }
        for (place, _) in piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            wanted -= 1;
            if wanted == 0 {
                return Ok(from + place as u64 + 1);
            }
        }
        at = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::os::testing::MemTree;

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
            End::FromLine(line) => ["-n".to_owned(), format!("+{line}")],
            End::FromByte(byte) => ["-c".to_owned(), format!("+{byte}")],
        };
        let output = Command::new("tail").args(wanted).arg(file.path()).output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn small_files() {
        for content in ["", "\n", "a", "a\n", "a\nb", "a\nb\n", "\n\n\n", "a\n\nb\n\n"] {
            for number in 0..5 {
                for end in
                    [End::Lines(number), End::Bytes(number), End::FromLine(number), End::FromByte(number)]
                {
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
            for end in [End::Lines(end), End::Bytes(end), End::FromLine(end), End::FromByte(end)] {
                assert!(end_of(&content, end) == oracle(&content, end), "{end:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn windows_do_not_matter(content in "[a\n]{0,60}", window in 1u64..9, number in 0..20u64, lines: bool) {
            let end = if lines { End::Lines(number) } else { End::Bytes(number) };
            let mut tree = MemTree::new().file("/f", &content);
            let mut out = Vec::new();
            let start = start_of(&mut tree, b"/f", content.len() as u64, end, window).unwrap();
            tree.read_range(b"/f", start, u64::MAX, &mut out).unwrap();
            prop_assert_eq!(out, end_of(content.as_bytes(), end));
        }
    }
}
