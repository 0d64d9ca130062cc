//! All files of a file system.

use super::{Fat, damaged};
use crate::block::DiskError;
use crate::filesystem::inodes::Inodes;

/// Files and directories listed.
const MAX_ENTRIES: usize = 10_000;
/// Directories within directories.
const MAX_DEPTH: usize = 16;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// From the root, with slashes.
    pub(crate) path: String,
    pub(crate) size: u64,
    number: u64,
}

impl Fat {
    /// All files, by path.
    ///
    /// # Errors
    /// [`DiskError::Damaged`], also for more files than any boot partition has.
    pub(crate) fn files(&mut self) -> Result<Vec<File>, DiskError> {
        let mut files = Vec::new();
        let mut pending = vec![(String::new(), self.root(), 0)];
        let mut seen = 0;
        while let Some((path, number, depth)) = pending.pop() {
            let directory = self.directory(number)?;
            for name in directory.names() {
                seen += 1;
                if seen > MAX_ENTRIES || depth > MAX_DEPTH {
                    return damaged("it has too many or too deeply nested directories");
                }
                let Some(number) = directory.get(name) else { continue };
                let path = format!("{path}/{}", String::from_utf8_lossy(name));
                let entry = self.entry(number)?;
                if entry.is_directory() {
                    pending.push((path, number, depth + 1));
                } else {
                    files.push(File { path, size: entry.size(), number });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The first bytes of a file, `limit` at the most.
    ///
    /// # Errors
    /// [`DiskError::Damaged`].
    pub(crate) fn read(&mut self, file: &File, limit: u64) -> Result<Vec<u8>, DiskError> {
        let mut content = Vec::new();
        self.read_to(file.number, 0, limit, &mut content)?;
        Ok(content)
    }
}
