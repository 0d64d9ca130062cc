//! Content of files on its way to a terminal.

use std::io::{self, Write};

use super::escape_but;

/// Passes text on with everything escaped that is not to be seen, but newlines and tabs. What is no UTF-8 becomes
/// replacement characters.
#[derive(Debug)]
pub(crate) struct Screen<W: Write> {
    out: W,
    /// The beginning of a character whose rest has not come yet.
    begun: Vec<u8>,
    altered: bool,
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, begun: Vec::new(), altered: false }
    }

    /// Whether anything came through otherwise than it was.
    pub(crate) fn has_altered(&self) -> bool {
        self.altered
    }

    fn pass(&mut self, bytes: &[u8], is_end: bool) -> io::Result<()> {
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let shown = escape_but(chunk.valid(), "\n\t");
            self.altered |= shown.len() != chunk.valid().len();
            text.push_str(&shown);
            let wrong = chunk.invalid();
            // An error without a length is one that more bytes may mend.
            let is_begun = std::str::from_utf8(wrong).is_err_and(|error| error.error_len().is_none());
            if is_begun && chunks.peek().is_none() && !is_end {
                self.begun = wrong.to_vec();
            } else if !wrong.is_empty() {
                self.altered = true;
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.out.write_all(text.as_bytes())
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begun.is_empty() {
            self.pass(bytes, false)?;
        } else {
            let mut all = std::mem::take(&mut self.begun);
            all.extend_from_slice(bytes);
            self.pass(&all, false)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let begun = std::mem::take(&mut self.begun);
        self.pass(&begun, true)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screened(pieces: &[&[u8]]) -> (String, bool) {
        let mut screen = Screen::new(Vec::new());
        for piece in pieces {
            screen.write_all(piece).unwrap();
        }
        screen.flush().unwrap();
        let altered = screen.has_altered();
        (String::from_utf8(screen.out).unwrap(), altered)
    }

    #[test]
    fn wherever_it_is_cut_the_same_comes_out() {
        let text = b"a\tb\n\xc3\xa9\xf0\x9f\x98\x80\x1b[2J\xc2\x9b\xe2\x80\xae\x9b\xffx\xe2\x80";
        let expected = "a\tb\né😀\\u{1b}[2J\\u{9b}\\u{202e}\u{fffd}\u{fffd}x\u{fffd}".to_owned();
        for cut in 0..text.len() {
            let (before, after) = text.split_at(cut);
            assert_eq!(screened(&[before, after]), (expected.clone(), true), "{cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(screened(&single), (expected, true));
        assert_eq!(screened(&[b"caf\xc3", b"\xa9\n"]), ("café\n".to_owned(), false));
    }
}
