//! Logs that are text files.

use super::ROOT;
use std::collections::VecDeque;
use std::io::{self, Write};

use zstd::stream::raw::DParameter;

use super::{Text, list};
use crate::disk::{FileKind, Tree};
use crate::look::LookError;
use crate::os::ReadError;
use crate::os::files::{join, show};
use crate::shown::legible;

/// The longest line. What goes on after that counts as another line.
const LINE_LIMIT: usize = 1 << 20;

/// The most bytes that a compressed log may unpack to.
const UNPACKED_LIMIT: u64 = 64 << 30;

/// The most memory that lines may take which are kept until the end is known.
const KEPT_LIMIT: usize = 256 << 20;

/// The most memory for a compressed log's dictionary.
const XZ_MEMORY: u64 = 128 << 20;
const ZSTD_WINDOW_LOG: u32 = 27;

/// Finds a log by its path, or by its name in `/var/log`: `cloud-init` is `/var/log/cloud-init.log`, and `mysql/error`
/// is `/var/log/mysql/error.log`.
///
/// # Errors
/// [`LookError::NoSuchLog`], which tells the logs there are, [`LookError::Read`].
pub fn find(tree: &mut dyn Tree, name: &str) -> Result<Vec<u8>, LookError> {
    let below = join(ROOT, name.as_bytes());
    let candidates = match name.strip_prefix('/') {
        Some(_) => vec![name.as_bytes().to_vec()],
        None => vec![below.clone(), [below.as_slice(), b".log"].concat()],
    };
    for path in candidates {
        match tree.stat(&path) {
            Ok(stat) if stat.kind == FileKind::File => return Ok(path),
            Ok(_) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let there = list(tree)?.into_iter().filter(|log| log.kind == super::LogKind::File);
    Err(LookError::NoSuchLog { name: crate::shown::escape(name), there: there.map(|log| log.path).collect() })
}

/// Prints a log, unpacked if its name says that it is compressed: all of it or its last `lines`, or of those only
/// lines with `text`. Control characters are escaped.
///
/// # Errors
/// [`ReadError::Malformed`] if it cannot be unpacked, [`ReadError::Unsupported`], [`LookError::Read`],
/// [`LookError::Write`].
pub fn print(
    tree: &mut dyn Tree,
    path: &[u8],
    lines: Option<usize>,
    text: Option<&Text>,
    out: &mut dyn Write,
) -> Result<(), LookError> {
    let mut sink = Lines { partial: Vec::new(), text, ring: Ring::new(lines), out, total: 0, failed: None };
    let result = unpack(tree, path, &mut sink);
    if let Some(error) = sink.failed.take() {
        return Err(error);
    }
    // What came before the damage is worth reading.
    let ended = sink.finish();
    result?;
    ended
}

/// Streams a file through what its name asks for.
fn unpack(tree: &mut dyn Tree, path: &[u8], sink: &mut Lines<'_>) -> Result<(), LookError> {
    let broken = |error: io::Error| LookError::from(ReadError::malformed(path, error.to_string()));
    if tree.stat(path)?.size == 0 {
        // Whatever its name: a log that was to be compressed, and nothing came.
        return Ok(());
    }
    let foreign = [(b".bz2", "bzip2"), (b".lz4", "lz4")].into_iter().find(|(end, _)| path.ends_with(*end));
    if let Some((_, name)) = foreign {
        let reason = format!("`{}` is compressed with {name}, which tib does not unpack", show(path));
        return Err(ReadError::Unsupported { what: "the log", reason }.into());
    }
    if path.ends_with(b".gz") {
        let mut decoder = flate2::write::MultiGzDecoder::new(sink);
        stream(tree, path, &mut decoder)?;
        decoder.finish().map(drop).map_err(broken)
    } else if path.ends_with(b".xz") {
        let stream_decoder =
            liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED);
        let stream_decoder = stream_decoder.map_err(|error| broken(error.into()))?;
        let mut decoder = liblzma::write::XzDecoder::new_stream(sink, stream_decoder);
        stream(tree, path, &mut decoder)?;
        decoder.finish().map(drop).map_err(broken)
    } else if path.ends_with(b".zst") {
        // The library's own `write::Decoder` does not tell whether the end was there.
        let mut frames = zstd::stream::raw::Decoder::new().map_err(broken)?;
        frames.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(broken)?;
        let mut decoder = zstd::stream::zio::Writer::new(sink, frames);
        stream(tree, path, &mut decoder)?;
        decoder.finish().map_err(broken)
    } else {
        stream(tree, path, sink)
    }
}

/// Hands a file to `sink`, and tells what the sink complains of from what is wrong with the image.
fn stream(tree: &mut dyn Tree, path: &[u8], sink: &mut dyn Write) -> Result<(), LookError> {
    struct Noting<'a> {
        sink: &'a mut dyn Write,
        complaint: Option<String>,
    }
    impl Write for Noting<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.sink.write(bytes).inspect_err(|error| self.complaint = Some(error.to_string()))
        }
        fn flush(&mut self) -> io::Result<()> {
            self.sink.flush()
        }
    }
    let mut noting = Noting { sink, complaint: None };
    let result = tree.read_to(path, &mut noting);
    match (result, noting.complaint) {
        (Err(_), Some(complaint)) => Err(ReadError::malformed(path, complaint).into()),
        (result, _) => Ok(result.map(drop)?),
    }
}

/// The last lines, or none if all are wanted at once.
struct Ring {
    wanted: Option<usize>,
    lines: VecDeque<Vec<u8>>,
    kept: usize,
}

impl Ring {
    fn new(wanted: Option<usize>) -> Self {
        Self { wanted, lines: VecDeque::new(), kept: 0 }
    }
}

/// Cuts a stream into lines, and prints or keeps those that are wanted.
struct Lines<'a> {
    partial: Vec<u8>,
    text: Option<&'a Text>,
    ring: Ring,
    out: &'a mut dyn Write,
    total: u64,
    /// Why writing failed; the stream above can only pass on an I/O error.
    failed: Option<LookError>,
}

impl Lines<'_> {
    fn line(&mut self) -> Result<(), LookError> {
        let line = std::mem::take(&mut self.partial);
        if self.text.is_some_and(|text| !text.is_in(&line)) {
            return Ok(());
        }
        let mut shown = legible(line.strip_suffix(b"\r").unwrap_or(&line)).into_bytes();
        shown.push(b'\n');
        let Some(wanted) = self.ring.wanted else {
            return self.out.write_all(&shown).map_err(LookError::write("the log"));
        };
        self.ring.kept += shown.len();
        self.ring.lines.push_back(shown);
        if self.ring.lines.len() > wanted {
            self.ring.kept -= self.ring.lines.pop_front().map_or(0, |line| line.len());
        }
        if self.ring.kept > KEPT_LIMIT {
            let reason = "its last lines are too long to keep; ask for fewer with -n".to_owned();
            return Err(ReadError::Unsupported { what: "the log", reason }.into());
        }
        Ok(())
    }

    fn pieces(&mut self, mut bytes: &[u8]) -> Result<(), LookError> {
        self.total += bytes.len() as u64;
        if self.total > UNPACKED_LIMIT {
            let reason = format!("it has more than {}", crate::size::Size(UNPACKED_LIMIT));
            return Err(ReadError::Unsupported { what: "the log", reason }.into());
        }
        while let Some(at) = bytes.iter().position(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(&bytes[..at]);
            self.line()?;
            bytes = &bytes[at + 1..];
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LINE_LIMIT { self.line() } else { Ok(()) }
    }

    fn finish(mut self) -> Result<(), LookError> {
        if !self.partial.is_empty() {
            self.line()?;
        }
        for line in &self.ring.lines {
            self.out.write_all(line).map_err(LookError::write("the log"))?;
        }
        self.out.flush().map_err(LookError::write("the log"))
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.pieces(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the log cannot be printed"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
