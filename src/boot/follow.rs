//! A file that somebody else writes, read as it grows.

use std::io::Read;
use std::path::PathBuf;

use fs_err::File;

/// Bytes that a guest may write in all. One that writes more is ended.
pub(crate) const MOST: u64 = 256 << 20;

/// The file. It need not be there yet.
#[derive(Debug)]
pub(crate) struct Follow {
    path: PathBuf,
    file: Option<File>,
    read: u64,
}

impl Follow {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, read: 0 }
    }

    /// What is new, at most a piece of it.
    pub(crate) fn more(&mut self) -> Vec<u8> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut bytes = vec![0; 1 << 16];
        let length = self.file.as_mut().and_then(|file| file.read(&mut bytes).ok()).unwrap_or(0);
        self.read += length as u64;
        bytes.truncate(length);
        bytes
    }

    /// Whether more was written than anybody needs.
    pub(crate) fn is_flood(&self) -> bool {
        self.read > MOST
    }
}
