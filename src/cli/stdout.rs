//! The only way to stdout. What is printed there is escaped, but for the content of files that somebody asked for and
//! that goes elsewhere than to a terminal.
#![expect(clippy::disallowed_methods, reason = "everybody else goes through this file")]

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use crate::error::{Diagnose, Exit, Result, io_exit};
use crate::shown::{self, Screen, Text};

/// Writes a command's answer. A reader that has seen enough (`| head`) is no error.
pub(super) fn put(text: &Text) -> Result<()> {
    write(text)
}

/// Writes JSON for scripts, with a line end.
pub(super) fn put_json(value: &impl serde::Serialize) -> Result<()> {
    let mut text = shown::json_pretty(value).map_err(|error| Stdout(error.into()))?;
    text.push('\n');
    write(&text)
}

fn write(text: &str) -> Result<()> {
    let mut out = Patient(io::stdout().lock());
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Stdout)?;
    Ok(())
}

/// For an answer that comes line by line.
pub(super) fn lines() -> Screen<BufWriter<Patient<StdoutLock<'static>>>> {
    Screen::new(BufWriter::new(Patient(io::stdout().lock())))
}

/// For the bytes of files. A terminal gets them escaped unless they are wanted `raw`, for they may command it.
pub(super) fn content(raw: bool) -> Box<dyn Write> {
    content_to(io::stdout().lock(), raw)
}

/// As [`content`], for another stream.
pub(super) fn content_to<S: Write + IsTerminal + 'static>(stream: S, raw: bool) -> Box<dyn Write> {
    let is_screened = !raw && stream.is_terminal();
    let out = BufWriter::new(Patient(stream));
    if is_screened { Box::new(Screen::new(out)) } else { Box::new(out) }
}

/// Takes a broken pipe for the end of the reader's interest.
pub(super) struct Patient<W: Write>(W);

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout")]
pub(super) struct Stdout(#[source] pub(super) io::Error);

impl Diagnose for Stdout {
    fn exit(&self) -> Exit {
        io_exit(&self.0, Exit::Internal)
    }
}
