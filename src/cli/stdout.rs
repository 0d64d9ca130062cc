//! The only way to stdout. What is printed there is escaped, but for the content of files that somebody asked for and
//! that goes elsewhere than to a terminal.
#![expect(clippy::disallowed_methods, reason = "everybody else goes through this file")]

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};

use crate::error::{Diagnose, Exit, Failure, Result, io_exit};
use crate::look::LookError;
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

fn content_to<S: Write + IsTerminal + 'static>(stream: S, raw: bool) -> Box<dyn Write> {
    let is_screened = !raw && stream.is_terminal();
    let out = BufWriter::new(Patient(stream));
    if is_screened { Box::new(Screen::new(out)) } else { Box::new(out) }
}

/// The bytes of files, on their way to a stream that is named if it does not take them.
pub(super) struct Content {
    out: Box<dyn Write>,
    unwritten: fn(PathBuf, io::Error) -> Failure,
    path: PathBuf,
    /// Why it did not. Whoever writes tells this in words of its own.
    failed: Option<io::Error>,
}

impl Content {
    /// Onto stdout.
    pub(super) fn to_stdout(raw: bool) -> Self {
        Self {
            out: content(raw),
            unwritten: |_, error| Stdout(error).into(),
            path: PathBuf::new(),
            failed: None,
        }
    }

    /// Into what is at `path`.
    pub(super) fn to_stream(path: &Path, raw: bool) -> Result<Self> {
        let unwritten: fn(PathBuf, io::Error) -> Failure =
            |path, source| LookError::Host { action: "write to", path, source }.into();
        let path = path.to_owned();
        let opened = std::fs::OpenOptions::new().write(true).open(&path);
        let stream = opened.map_err(|error| unwritten(path.clone(), error))?;
        Ok(Self { out: content_to(stream, raw), unwritten, path, failed: None })
    }

    /// Lets `produce` write into it, and sees that all arrives.
    pub(super) fn fill(mut self, produce: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let produced = produce(&mut self);
        let flushed = if produced.is_ok() { self.flush() } else { Ok(()) };
        match self.failed.take().or(flushed.err()) {
            Some(error) => Err((self.unwritten)(self.path, error)),
            None => produced,
        }
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            let number = error.raw_os_error();
            self.failed = Some(number.map_or(error.kind().into(), io::Error::from_raw_os_error));
        }
        result
    }
}

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.note(result)
    }
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
