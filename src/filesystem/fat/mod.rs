//! A FAT file system, read without a kernel: FAT12, FAT16 and FAT32, with long names, as Linux' `vfat` shows it.
//!
//! An own reader, because it must survive any bytes: the usual library computes with cluster numbers as it finds
//! them and follows chains that run in circles.
//!
//! FAT has no inodes. The number of a file is the place of its entry, which is unique and stays the same.

mod boot_sector;
mod chain;
mod directory;
mod entry;
mod list;
mod names;

use std::io::Write;
use std::sync::Arc;

use self::boot_sector::{ENTRY, Geometry, Kind, RootDirectory};
use self::chain::Run;
use self::directory::Listing;
use self::entry::Entry;
use super::inodes::{Directory, Inodes, Kept};
use crate::block::DiskError;
use crate::block::Shared;
use crate::block::window::{PIECE, Window, pass_on};
use crate::filesystem::{FileKind, Stat, Timestamp, Xattr};

pub(crate) use self::entry::Access;

/// The number Linux gives the root directory; no entry lies there.
const ROOT: u64 = 1;
/// Largest directory: 65 536 entries, as in Linux.
const MAX_DIRECTORY: u64 = 2 << 20;

/// An open file system.
pub(crate) struct Fat {
    window: Window,
    geometry: Geometry,
    access: Access,
    /// Directories by number.
    directories: Kept<Listing>,
    /// The file read last, and where its clusters are: files are read in pieces.
    mapped: Option<(u64, Arc<[Run]>)>,
}

impl Fat {
    /// Opens the file system in `length` bytes from `start`. `access` says who owns its files.
    ///
    /// # Errors
    /// [`DiskError::Damaged`], or those of the disk.
    pub(crate) fn open(disk: &Shared, start: u64, length: u64, access: Access) -> Result<Self, DiskError> {
        let mut window = Window { disk: Arc::clone(disk), start, length };
        let mut boot = [0; boot_sector::LENGTH];
        window.read_exact(0, &mut boot)?;
        Ok(Self::new(window, Geometry::parse(&boot, length)?, access))
    }

    fn new(window: Window, geometry: Geometry, access: Access) -> Self {
        Self { window, geometry, access, directories: Kept::default(), mapped: None }
    }

    /// Bytes that files can have, and bytes free.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn space(&mut self) -> Result<(u64, u64), DiskError> {
        let free = chain::free(&mut self.window, &self.geometry)?;
        let size = self.geometry.cluster_size;
        Ok((self.geometry.clusters * size, free * size))
    }

    pub(crate) fn cluster_size(&self) -> u64 {
        self.geometry.cluster_size
    }

    /// The label, which lies in the root directory.
    ///
    /// # Errors
    /// As [`Inodes::directory`].
    pub(crate) fn label(&mut self) -> Result<Option<String>, DiskError> {
        Ok(self.listing(ROOT)?.label.clone())
    }

    fn entry(&mut self, number: u64) -> Result<Entry, DiskError> {
        let mut bytes = [0; ENTRY as usize];
        self.window.read_exact(number.saturating_mul(ENTRY), &mut bytes)?;
        Ok(Entry(bytes))
    }

    fn first(&self, entry: &Entry) -> u32 {
        entry.first(self.geometry.kind == Kind::Fat32)
    }

    /// What is in a directory.
    fn listing(&mut self, number: u64) -> Result<Arc<Listing>, DiskError> {
        if let Some(known) = self.directories.get(number) {
            return Ok(known);
        }
        let listing = self.read_listing(number)?;
        let entries = listing.directory.len();
        Ok(self.directories.keep(number, listing, entries))
    }

    fn read_listing(&mut self, number: u64) -> Result<Listing, DiskError> {
        let first = match (number, self.geometry.root) {
            (ROOT, RootDirectory::Stretch { start, length }) => {
                return directory::read(&mut self.window, &[(start, length)]);
            }
            (ROOT, RootDirectory::Chain(first)) => first,
            (_, root) => {
                let entry = self.entry(number)?;
                let first = self.first(&entry);
                if !entry.is_directory()
                    || first == 0
                    || matches!(root, RootDirectory::Chain(root) if root == first)
                {
                    return damaged("a directory's entry leads nowhere");
                }
                first
            }
        };
        let limit = MAX_DIRECTORY / self.geometry.cluster_size;
        let chain = chain::follow(&mut self.window, &self.geometry, first, limit)?;
        if !chain.is_whole {
            return damaged("a directory is larger than any can be");
        }
        let size = self.geometry.cluster_size;
        let stretches = chain
            .runs
            .iter()
            .filter_map(|run| Some((self.geometry.place(run.first)?, u64::from(run.count) * size)));
        directory::read(&mut self.window, &stretches.collect::<Vec<_>>())
    }

    /// Where the content of a file lies.
    fn runs(&mut self, number: u64, entry: &Entry) -> Result<Arc<[Run]>, DiskError> {
        if let Some((known, runs)) = &self.mapped
            && *known == number
        {
            return Ok(Arc::clone(runs));
        }
        let needed = entry.size().div_ceil(self.geometry.cluster_size);
        if needed > self.geometry.clusters {
            return damaged("a file is larger than its file system");
        }
        let first = self.first(entry);
        let chain = chain::follow(&mut self.window, &self.geometry, first, needed)?;
        if chain.clusters < needed {
            return damaged("a file is shorter than its directory says");
        }
        let runs: Arc<[Run]> = chain.runs.into();
        self.mapped = Some((number, Arc::clone(&runs)));
        Ok(runs)
    }
}

impl Inodes for Fat {
    fn on(&self, disk: &Shared) -> Box<dyn Inodes> {
        Box::new(Self::new(self.window.on(disk), self.geometry, self.access))
    }

    fn name(&self) -> &'static str {
        "vfat"
    }

    fn root(&self) -> u64 {
        ROOT
    }

    fn directory(&mut self, inode: u64) -> Result<Arc<Directory>, DiskError> {
        Ok(Arc::clone(&self.listing(inode)?.directory))
    }

    fn stat(&mut self, inode: u64) -> Result<Stat, DiskError> {
        let entry = if inode == ROOT { Entry::root() } else { self.entry(inode)? };
        let mut stat = Stat { inode, ..entry.stat(&self.access) };
        if stat.kind == FileKind::Directory {
            let listing = self.listing(inode)?;
            stat.size = listing.length;
            stat.links = listing.directories;
            if inode == ROOT {
                // Its own entry and that of its parent, which only other directories have.
                stat.links += 2;
                let never = Timestamp::default();
                (stat.accessed, stat.modified, stat.changed) = (never, never, never);
            }
        }
        stat.allocated = stat.size.next_multiple_of(self.geometry.cluster_size);
        Ok(stat)
    }

    fn read_link(&mut self, _: u64) -> Result<Vec<u8>, DiskError> {
        damaged("there are no links on it")
    }

    fn xattrs(&mut self, _: u64) -> Result<Vec<Xattr>, DiskError> {
        Ok(Vec::new())
    }

    fn keeps_xattrs(&self) -> bool {
        false
    }

    fn read_to(
        &mut self,
        inode: u64,
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let entry = self.entry(inode)?;
        let end = entry.size().min(offset.saturating_add(length));
        if offset >= end {
            return Ok(0);
        }
        let runs = self.runs(inode, &entry)?;
        let mut piece = vec![0; PIECE.min(end - offset) as usize];
        // Bytes of the file in front of the run.
        let mut before = 0;
        let mut at = offset;
        for run in runs.iter() {
            let run_length = u64::from(run.count) * self.geometry.cluster_size;
            let run_end = (before + run_length).min(end);
            let place = self.geometry.place(run.first).unwrap_or(u64::MAX);
            while at < run_end {
                let length = PIECE.min(run_end - at);
                let piece = &mut piece[..length as usize];
                self.window.read_exact(place.saturating_add(at - before), piece)?;
                pass_on(sink, piece)?;
                at += length;
            }
            before += run_length;
        }
        Ok(at - offset)
    }
}

fn damaged<T>(what: impl Into<String>) -> Result<T, DiskError> {
    Err(DiskError::Damaged(format!("FAT: {}", what.into())))
}

#[cfg(test)]
mod tests;
