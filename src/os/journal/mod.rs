//! Reads the files of systemd's journal, as its "Journal File Format" describes them.
//!
//! A file is an arena of objects that refer to each other by offset. Entries are reached through a chain of arrays,
//! which only ever leads forward in a sound file; the reader insists on that, so it ends whatever the bytes say.
//! Hashes, and the seals of forward-secure files, are not looked at.

mod compress;
mod object;
mod reader;

pub use object::Problems;
pub use reader::{Field, JournalEntry, Reader};

use object::{u32_at, u64_at};

/// The largest file that is read. journald rotates at 128 MiB unless told otherwise.
pub const FILE_LIMIT: u64 = 256 << 20;

/// Why a file is not read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It does not begin as journal files do.
    #[error("it is no journal file")]
    NotAJournal,
    /// A newer systemd wrote it, in a form that cannot be told.
    #[error("it uses features that tib does not know (incompatible flags {0:#x})")]
    UnknownFeatures(u32),
}

/// A flag in the header of files whose offsets are 32 bits wide.
const COMPACT: u32 = 1 << 4;

/// All incompatible flags there are: compression by XZ, LZ4 and Zstandard, keyed hashes, compact.
const KNOWN_FLAGS: u32 = 0b1_1111;

/// What the header says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Offsets in entries and arrays take 32 bits instead of 64.
    compact: bool,
    /// It was not closed: the machine crashed, or was running when the image was taken.
    pub online: bool,
    /// Files with the same identifier number their entries together.
    pub seqnum_id: [u8; 16],
    /// How long the header is; objects come behind it.
    header_size: u64,
    /// How long the file should be.
    size: u64,
    entries: u64,
    entry_array: u64,
}

impl Header {
    /// Reads the header of a journal file.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JournalError> {
        Self::fields(bytes).ok_or(JournalError::NotAJournal)?
    }

    /// `None` where the file ends too early.
    fn fields(bytes: &[u8]) -> Option<Result<Self, JournalError>> {
        if !bytes.starts_with(b"LPKSHHRH") {
            return None;
        }
        let flags = u32_at(bytes, 12)?;
        if flags & !KNOWN_FLAGS != 0 {
            return Some(Err(JournalError::UnknownFeatures(flags)));
        }
        let header_size = u64_at(bytes, 88)?;
        Some(Ok(Self {
            compact: flags & COMPACT != 0,
            online: *bytes.get(16)? == 1,
            seqnum_id: bytes.get(72..88)?.try_into().ok()?,
            header_size,
            size: header_size.saturating_add(u64_at(bytes, 96)?),
            entries: u64_at(bytes, 152)?,
            entry_array: u64_at(bytes, 176)?,
        }))
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
