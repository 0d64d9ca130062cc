//! A file as a virtual disk, byte for byte.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use rustix::fs::SeekFrom;

use super::{BlockRead, DiskError, Extent};
use crate::block::check_range;

/// A raw image.
#[derive(Debug)]
pub(super) struct Raw {
    file: File,
    path: PathBuf,
    /// Length of the file.
    length: u64,
    /// `length`, rounded up to a sector as qemu does.
    size: u64,
}

impl Raw {
    pub(super) fn new(file: File, path: &Path, length: u64) -> Self {
        Self { file, path: path.to_owned(), length, size: length.next_multiple_of(512) }
    }
}

/// Fills `buffer` from `offset` of `file`; what lies past the end of the file is zero, as qemu has it.
pub(super) fn read_padded(
    file: &File,
    path: &Path,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> Result<(), DiskError> {
    while !buffer.is_empty() {
        match file.file().read_at(buffer, offset) {
            Ok(0) => {
                buffer.fill(0);
                return Ok(());
            }
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(DiskError::Io { action: "read", path: path.to_owned(), source }),
        }
    }
    Ok(())
}

impl BlockRead for Raw {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size, offset, buffer.len() as u64)?;
        read_padded(&self.file, &self.path, buffer, offset)
    }

    fn extent(&mut self, offset: u64) -> Result<Extent, DiskError> {
        check_range(self.size, offset, 1)?;
        let rest = self.size - offset;
        let data = Extent { length: rest, zero: false };
        if offset >= self.length {
            return Ok(Extent { length: rest, zero: true });
        }
        // A file system that cannot tell holes from data answers with an error: then all is data.
        match rustix::fs::seek(self.file.file(), SeekFrom::Data(offset)) {
            Ok(start) if start > offset => Ok(Extent { length: (start - offset).min(rest), zero: true }),
            Ok(_) => match rustix::fs::seek(self.file.file(), SeekFrom::Hole(offset)) {
                Ok(end) if end > offset => Ok(Extent { length: (end - offset).min(rest), zero: false }),
                _ => Ok(data),
            },
            Err(rustix::io::Errno::NXIO) => Ok(Extent { length: rest, zero: true }),
            Err(_) => Ok(data),
        }
    }

    fn fork(&self) -> Option<Box<dyn BlockRead>> {
        // Files are read at places given with each read, so that it is no harm that the two share a position.
        let file = self.file.try_clone().ok()?;
        Some(Box::new(Self { file, path: self.path.clone(), ..*self }))
    }
}
