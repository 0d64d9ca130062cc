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
}

impl Follow {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// What is new, at most a piece of it.
    pub(crate) fn more(&mut self) -> Vec<u8> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut bytes = vec![0; 1 << 16];
        let length = self.file.as_mut().and_then(|file| file.read(&mut bytes).ok()).unwrap_or(0);
        bytes.truncate(length);
        bytes
    }

    /// Whether more was written than anybody needs.
    pub(crate) fn is_flood(&self) -> bool {
        self.file.as_ref().and_then(|file| file.metadata().ok()).is_some_and(|metadata| metadata.len() > MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_grows_and_a_flood_is_seen_before_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut follow = Follow::new(path.clone());
        assert!(follow.more().is_empty() && !follow.is_flood(), "it need not be there");
        std::fs::write(&path, "one").unwrap();
        assert_eq!(follow.more(), b"one");
        std::fs::write(&path, "one two").unwrap();
        assert_eq!(follow.more(), b" two");
        std::fs::File::options().write(true).open(&path).unwrap().set_len(MOST + 1).unwrap();
        assert!(follow.is_flood());
    }
}
