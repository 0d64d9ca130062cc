//! What is about to change in the directory of an output, written down before the first name changes, so that whoever
//! comes after a killed process can undo it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use super::directory::Directory;

/// What a journal begins with, and its version.
const FORMAT: &str = "tib publication 1";
const NAME: &str = "journal";
const DRAFT: &str = "journal.new";
const REVOKED: &str = "revoked";
/// A set has a few files; a longer journal is none.
const LONGEST: u64 = 64 << 10;

/// The files of one set, that which the others are about being the last.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Journal {
    format: String,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// The bytes of its name, which need not be UTF-8.
    name: Vec<u8>,
    /// The new file of that name; `None` if the new set has none.
    new: Option<Identity>,
}

/// Tells a file from any other, also from one that got the number of its inode after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    inode: u64,
    size: i64,
    /// Seconds and nanoseconds.
    modified: (i64, u64),
}

/// A file of the set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a OsStr,
    pub(crate) new: Option<Identity>,
}

/// What has a name in the directory of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    /// The new file.
    Us,
    Another,
}

impl Identity {
    pub(crate) fn of(stat: &Stat) -> Self {
        // The types differ between architectures.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "not everywhere")]
        Self {
            inode: stat.st_ino.into(),
            size: stat.st_size.into(),
            modified: (stat.st_mtime.into(), stat.st_mtime_nsec as u64),
        }
    }
}

impl Item<'_> {
    /// Who has its name in `place`.
    pub(crate) fn holder(&self, place: &Directory) -> io::Result<Holder> {
        Ok(match place.look(self.name)? {
            None => Holder::Nobody,
            Some(stat) if self.new == Some(Identity::of(&stat)) => Holder::Us,
            Some(_) => Holder::Another,
        })
    }
}

impl Journal {
    pub(crate) fn new(files: Vec<(OsString, Option<Identity>)>) -> Self {
        let files = files.into_iter().map(|(name, new)| Entry { name: name.into_vec(), new }).collect();
        Self { format: FORMAT.to_owned(), files }
    }

    /// The files in the order in which they get their names.
    pub(crate) fn items(&self) -> impl DoubleEndedIterator<Item = Item<'_>> + ExactSizeIterator {
        self.files.iter().map(|entry| Item { name: OsStr::from_bytes(&entry.name), new: entry.new })
    }

    /// The file which the others are about.
    pub(crate) fn main(&self) -> io::Result<Item<'_>> {
        self.items().next_back().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Writes it, whole or not at all, and so that it survives a crash.
    pub(crate) fn write(&self, to: &Directory) -> io::Result<()> {
        let mut file = to.create(OsStr::new(DRAFT))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        to.rename(OsStr::new(DRAFT), OsStr::new(NAME))?;
        to.sync()
    }

    /// Reads it; `None` if there is none, and so nothing that could be undone.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it was not written by [`write`](Self::write) of this version: what it says is
    /// unknown then, and what it is about must not be touched.
    pub(crate) fn read(from: &Directory) -> io::Result<Option<Self>> {
        let file = match from.file(OsStr::new(NAME), false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        let journal = serde_json::from_slice(&text).ok().filter(Self::is_plain);
        let unknown = || {
            io::Error::new(io::ErrorKind::InvalidData, "its journal is damaged, or of another version of tib")
        };
        journal.ok_or_else(unknown).map(Some)
    }

    /// Notes that the set is not to be had although all of it has arrived: its process has told that it failed, and
    /// could not take it back.
    pub(crate) fn revoke(to: &Directory) -> io::Result<()> {
        to.create(OsStr::new(REVOKED))?;
        to.sync()
    }

    /// Whether the set has been [revoked](Self::revoke).
    pub(crate) fn is_revoked(from: &Directory) -> io::Result<bool> {
        Ok(from.look(OsStr::new(REVOKED))?.is_some())
    }

    /// Whether it is one that tib writes, with nothing but names in one directory.
    fn is_plain(&self) -> bool {
        let plain =
            |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.iter().any(|b| matches!(b, b'/' | 0));
        self.format == FORMAT && !self.files.is_empty() && self.files.iter().all(|entry| plain(&entry.name))
    }

    /// Removes it: nothing is left to be undone.
    pub(crate) fn remove(from: &Directory) -> io::Result<()> {
        [DRAFT, NAME, REVOKED].iter().try_for_each(|name| from.remove(OsStr::new(name)))
    }
}
