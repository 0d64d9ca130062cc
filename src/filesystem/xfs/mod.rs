//! One XFS file system, read without a kernel.
//!
//! Everything is untrusted: what is computed from the disk is checked before it is used. In version 5 all metadata has checksums
//! and says where it belongs and whose it is; both are compared for all that is read.
//!
//! A log that was not written back is left to the kernel: [`DiskError::Unsupported`].

mod attributes;
mod checksum;
mod directory;
mod extents;
mod inode;
mod log;
mod marks;
mod summary;
mod superblock;

use std::io::Write;
use std::sync::Arc;

use self::extents::Kind;
use self::inode::{Form, Inode};
use self::marks::{REMOTE, damaged};
pub(crate) use self::summary::Summary;
use self::superblock::Superblock;
use super::inodes::{Directory, Inodes, Kept};
use super::runs::{self, Run};
use crate::block::DiskError;
use crate::block::Shared;
use crate::block::window::Window;
use crate::filesystem::{FileKind, Stat, Xattr};
use crate::shown::escape;

/// Longest target of a link.
const MAX_LINK: u64 = 1024;
/// What a block of a long target begins with in version 5, and bytes before the target.
const TARGET: &[u8] = b"XSLM";
const TARGET_HEADER: usize = 56;

/// An open file system.
pub(super) struct Xfs {
    window: Window,
    superblock: Superblock,
    directories: Kept<Directory>,
    /// The file read last, and where its blocks are: files are read in pieces.
    mapped: Option<(u64, Arc<[Run]>)>,
}

impl Xfs {
    /// Opens the file system in `length` bytes from `start`.
    ///
    /// # Errors
    /// [`DiskError::Unsupported`] for what only a kernel reads, [`DiskError::Damaged`].
    pub(super) fn open(disk: &Shared, start: u64, length: u64) -> Result<Self, DiskError> {
        Self::open_comparing(disk, start, length, true)
    }

    /// The same, whatever is wrong with checksums.
    #[cfg(any(test, fuzzing, debug_assertions))]
    pub(super) fn open_whatever_the_checksums(
        disk: &Shared,
        start: u64,
        length: u64,
    ) -> Result<Self, DiskError> {
        Self::open_comparing(disk, start, length, false)
    }

    fn open_comparing(
        disk: &Shared,
        start: u64,
        length: u64,
        compares_checksums: bool,
    ) -> Result<Self, DiskError> {
        let mut window = Window { disk: Arc::clone(disk), start, length };
        let mut bytes = [0; superblock::LENGTH];
        window.read_exact(0, &mut bytes)?;
        let mut superblock = Superblock::parse(&bytes, length)?;
        superblock.compares_checksums = compares_checksums;
        if superblock.has_checksums && compares_checksums {
            let mut sector = vec![0; superblock::sector(&bytes)?];
            window.read_exact(0, &mut sector)?;
            superblock::check_sum(&sector)?;
        }
        if !log::is_clean(&mut window, &superblock)? {
            return Err(DiskError::Unsupported("the log of its XFS was not written back".to_owned()));
        }
        Ok(Self::new(window, superblock))
    }

    fn new(window: Window, superblock: Superblock) -> Self {
        Self { window, superblock, directories: Kept::default(), mapped: None }
    }

    fn inode(&mut self, number: u64) -> Result<Inode, DiskError> {
        let at = self.superblock.inode(number).ok_or_else(|| damaged(number, "does not exist"))?;
        let mut raw = vec![0; self.superblock.inode_size];
        self.window.read_exact(at, &mut raw)?;
        Inode::parse(&self.superblock, number, raw)
    }

    /// Where the blocks of a file are.
    fn runs(&mut self, inode: &Inode) -> Result<Arc<[Run]>, DiskError> {
        if let Some((number, runs)) = &self.mapped
            && *number == inode.number
        {
            return Ok(Arc::clone(runs));
        }
        let runs: Arc<[Run]> =
            extents::runs(&mut self.window, &self.superblock, inode.number, inode.content(), Kind::File)?
                .into();
        self.mapped = Some((inode.number, Arc::clone(&runs)));
        Ok(runs)
    }

    fn metadata_runs(&mut self, inode: &Inode) -> Result<Vec<Run>, DiskError> {
        let fork = inode.content();
        extents::runs(&mut self.window, &self.superblock, inode.number, fork, Kind::Metadata)
    }

    fn read_directory(&mut self, number: u64) -> Result<Directory, DiskError> {
        let inode = self.inode(number)?;
        if inode.kind != FileKind::Directory {
            return Err(damaged(number, "is not the directory it should be"));
        }
        let runs = match inode.content().form {
            Form::Local => Vec::new(),
            _ => self.metadata_runs(&inode)?,
        };
        let mut entries = directory::Entries::new(&self.superblock, number);
        if inode.content().form == Form::Local {
            entries.add_local(&inode)?;
        } else {
            let window = &mut self.window;
            directory_blocks(window, &self.superblock, &inode, &runs, &mut entries)?;
        }
        Directory::new(entries.into_inner()).map_err(|name| {
            let name = String::from_utf8_lossy(&name);
            damaged(number, &format!("is a directory that has `{}` twice", escape(&name)))
        })
    }

    /// The target of a link that does not fit into its inode. In version 5 each run of blocks begins with a header.
    fn read_long_link(&mut self, inode: &Inode) -> Result<Vec<u8>, DiskError> {
        let runs = self.metadata_runs(inode)?;
        let size = inode.size as usize;
        let mut target = Vec::with_capacity(size);
        for run in runs {
            let left = size - target.len();
            // More blocks than the longest target needs.
            if left == 0 {
                break;
            }
            let header = if self.superblock.has_checksums { TARGET_HEADER } else { 0 };
            let most = (left + header).next_multiple_of(self.superblock.block_size as usize) as u64;
            let length = most.min(run.length << self.superblock.block_log);
            let at = run.physical << self.superblock.block_log;
            let mut bytes = vec![0; length as usize];
            self.window.read_exact(at, &mut bytes)?;
            if self.superblock.has_checksums {
                REMOTE.check(&self.superblock, inode.number, &bytes, at, "has a target")?;
                if !bytes.starts_with(TARGET) {
                    return Err(damaged(inode.number, "is a link whose target is something else"));
                }
            }
            let here = bytes.get(header..).unwrap_or_default();
            target.extend_from_slice(&here[..left.min(here.len())]);
        }
        if target.len() == size {
            Ok(target)
        } else {
            Err(damaged(inode.number, "is a link without a target"))
        }
    }
}

/// Reads the blocks of a directory, each of which may be in several places.
fn directory_blocks(
    window: &mut Window,
    superblock: &Superblock,
    inode: &Inode,
    runs: &[Run],
    entries: &mut directory::Entries<'_>,
) -> Result<(), DiskError> {
    let end = inode.size.min(directory::TABLE) >> superblock.block_log;
    let block_size = superblock.block_size as usize;
    let mut block = vec![0; superblock.directory_block];
    let per_block = (superblock.directory_block / block_size) as u64;
    let is_only = inode.size == superblock.directory_block as u64;
    let fault = || damaged(inode.number, "is a directory with a block that is not whole");
    if !inode.size.is_multiple_of(superblock.directory_block as u64) {
        return Err(fault());
    }
    // Bytes of the block that have been read, its first number in the directory, and its place.
    let (mut filled, mut first, mut place) = (0, 0, 0);
    for run in runs.iter().take_while(|run| run.logical < end) {
        for index in 0..run.length.min(end - run.logical) {
            let (logical, at) = (run.logical + index, (run.physical + index) << superblock.block_log);
            if filled == 0 {
                (first, place) = (logical, at);
            }
            if first % per_block != 0 || logical != first + (filled / block_size) as u64 {
                return Err(fault());
            }
            window.read_exact(at, &mut block[filled..filled + block_size])?;
            filled += block_size;
            if filled == block.len() {
                entries.add_block(&block, place, is_only)?;
                filled = 0;
            }
        }
    }
    if filled == 0 { Ok(()) } else { Err(fault()) }
}

impl Inodes for Xfs {
    fn on(&self, disk: &Shared) -> Box<dyn Inodes> {
        Box::new(Self::new(self.window.on(disk), self.superblock.clone()))
    }

    fn name(&self) -> &'static str {
        "XFS"
    }

    fn root(&self) -> u64 {
        self.superblock.root
    }

    fn directory(&mut self, inode: u64) -> Result<Arc<Directory>, DiskError> {
        if let Some(known) = self.directories.get(inode) {
            return Ok(known);
        }
        let directory = self.read_directory(inode)?;
        let entries = directory.len();
        Ok(self.directories.keep(inode, directory, entries))
    }

    fn stat(&mut self, inode: u64) -> Result<Stat, DiskError> {
        Ok(self.inode(inode)?.stat())
    }

    fn read_link(&mut self, inode: u64) -> Result<Vec<u8>, DiskError> {
        let inode = self.inode(inode)?;
        if inode.kind != FileKind::Symlink || !(1..=MAX_LINK).contains(&inode.size) {
            return Err(damaged(inode.number, "is not the link it should be"));
        }
        if inode.content().form != Form::Local {
            return self.read_long_link(&inode);
        }
        let target = inode.content().bytes.get(..inode.size as usize);
        target.map(<[u8]>::to_vec).ok_or_else(|| damaged(inode.number, "is a link without a target"))
    }

    fn xattrs(&mut self, inode: u64) -> Result<Vec<Xattr>, DiskError> {
        let inode = self.inode(inode)?;
        let Some(fork) = inode.attributes() else { return Ok(Vec::new()) };
        let runs = match fork.form {
            Form::Local => Vec::new(),
            _ => extents::runs(&mut self.window, &self.superblock, inode.number, fork, Kind::Metadata)?,
        };
        let mut reader = attributes::Reader::new(&mut self.window, &self.superblock, inode.number, &runs);
        match fork.form {
            Form::Local => reader.add_local(fork.bytes)?,
            _ => reader.add_blocks()?,
        }
        Ok(reader.into_inner())
    }

    fn read_to(
        &mut self,
        inode: u64,
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let inode = self.inode(inode)?;
        if inode.is_real_time() {
            return Err(DiskError::Unsupported(format!(
                "the content of XFS inode {} is on another device",
                inode.number
            )));
        }
        let end = inode.size.min(offset.saturating_add(length));
        if offset >= end {
            return Ok(0);
        }
        let runs = self.runs(&inode)?;
        runs::read(&mut self.window, &runs, self.superblock.block_size, offset, end, sink)?;
        Ok(end - offset)
    }
}

#[cfg(test)]
mod tests;
