//! What file systems share: a stretch of a disk, and the way their content goes out.

use std::io::Write;
use std::sync::Arc;

use super::{DiskError, Shared, check_range, lock};

/// Bytes of a file read at once.
pub(crate) const PIECE: u64 = 1 << 20;

/// A partition of a disk that others read from too.
pub(crate) struct Window {
    pub(crate) disk: Shared,
    /// Byte of the disk it starts at.
    pub(crate) start: u64,
    /// Length in bytes.
    pub(crate) length: u64,
}

impl Window {
    /// The same stretch of a fork of the disk.
    pub(crate) fn on(&self, disk: &Shared) -> Self {
        Self { disk: Arc::clone(disk), start: self.start, length: self.length }
    }

    /// Fills `buffer` from `at`. Reading past the end is an error.
    pub(crate) fn read_exact(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        check_range(self.length, at, buffer.len() as u64)?;
        lock(&self.disk).read_exact_at(buffer, self.start + at)
    }
}

/// Hands bytes to whoever asked for them.
pub(crate) fn pass_on(sink: &mut dyn Write, bytes: &[u8]) -> Result<(), DiskError> {
    sink.write_all(bytes).map_err(|source| DiskError::Io {
        action: "pass on",
        path: "what was read".into(),
        source,
    })
}
