//! One ext2/3/4 file system, read without a kernel.
//!
//! A library for this exists (`ext4-view`), but it keeps extended attributes, inode numbers, link counts and
//! device numbers to itself, and cannot read sparse files of ext2. Everything is untrusted: what is computed from
//! the disk is checked before it is used, and checksums are compared wherever the file system has them.
//!
//! A journal that was not written back is left to the kernel: [`DiskError::Unsupported`].

mod blocks;
mod checksum;
mod directory;
mod inode;
mod summary;
mod superblock;
mod xattr;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use self::inode::{Inode, damaged};
pub(crate) use self::summary::Summary;
pub use self::summary::{ExtState, ExtVersion};
use self::superblock::Superblock;
use super::inodes::{Directory, Inodes, Kept};
use super::runs::{self, Run, pass_on_zeros};
use crate::block::DiskError;
use crate::block::Shared;
use crate::block::window::{Window, pass_on};
use crate::filesystem::{FileKind, Stat, Xattr};
use crate::shown::escape;

const ROOT: u64 = 2;
/// Longest target of a link that Linux accepts.
const MAX_LINK: u64 = 4096;
/// Largest directory that is read, in bytes.
const MAX_DIRECTORY: u64 = 256 << 20;

/// An open file system.
pub(super) struct Ext {
    window: Window,
    superblock: Superblock,
    /// Blocks where the inode tables of groups begin.
    tables: HashMap<u64, u64>,
    directories: Kept<Directory>,
    /// The file read last, and where its blocks are: files are read in pieces.
    mapped: Option<(u64, Arc<[Run]>)>,
}

impl Ext {
    /// Opens the file system in `length` bytes from `start`.
    ///
    /// # Errors
    /// [`DiskError::Unsupported`] for what only a kernel reads, [`DiskError::Damaged`].
    pub(super) fn open(disk: &Shared, start: u64, length: u64) -> Result<Self, DiskError> {
        let mut window = Window { disk: Arc::clone(disk), start, length };
        let mut bytes = [0; superblock::LENGTH];
        window.read_exact(superblock::OFFSET, &mut bytes)?;
        let superblock = Superblock::parse(&bytes, length)?;
        let mut ext = Self::new(window, superblock);
        if ext.superblock.needs_recovery && !ext.journal_is_empty()? {
            let reason = format!("the journal of its {} was not written back", ext.superblock.name);
            return Err(DiskError::Unsupported(reason));
        }
        Ok(ext)
    }

    fn new(window: Window, superblock: Superblock) -> Self {
        Self { window, superblock, tables: HashMap::new(), directories: Kept::default(), mapped: None }
    }

    fn journal_is_empty(&mut self) -> Result<bool, DiskError> {
        let journal = self.inode(self.superblock.journal_inode)?;
        let mut block = Vec::new();
        self.read(&journal, 0, self.superblock.block_size, &mut block)?;
        Ok(superblock::journal_is_empty(&block))
    }

    fn inode(&mut self, number: u64) -> Result<Inode, DiskError> {
        let Some((group, index)) = self.superblock.locate(number) else {
            return Err(damaged(number, "does not exist"));
        };
        let table = match self.tables.get(&group) {
            Some(table) => *table,
            None => {
                let mut descriptor = vec![0; self.superblock.descriptor_size as usize];
                self.window.read_exact(self.superblock.descriptor_offset(group), &mut descriptor)?;
                let table = self.superblock.inode_table(group, &descriptor)?;
                self.tables.insert(group, table);
                table
            }
        };
        let mut raw = vec![0; self.superblock.inode_size];
        let at = table * self.superblock.block_size + index * self.superblock.inode_size as u64;
        self.window.read_exact(at, &mut raw)?;
        Inode::parse(&self.superblock, number, raw)
    }

    fn runs(&mut self, inode: &Inode) -> Result<Arc<[Run]>, DiskError> {
        if let Some((number, runs)) = &self.mapped
            && *number == inode.number
        {
            return Ok(Arc::clone(runs));
        }
        let runs: Arc<[Run]> = blocks::runs(&mut self.window, &self.superblock, inode)?.into();
        self.mapped = Some((inode.number, Arc::clone(&runs)));
        Ok(runs)
    }

    /// Hands `length` bytes from `offset` of what an inode holds to `sink`, fewer at its end.
    fn read(
        &mut self,
        inode: &Inode,
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        if inode.is_encrypted() {
            return Err(DiskError::Unsupported(format!("ext4 inode {} is encrypted", inode.number)));
        }
        let end = inode.size.min(offset.saturating_add(length));
        if offset >= end {
            return Ok(0);
        }
        if inode.is_inline() {
            let content = self.inline(inode)?;
            let kept = end.min(content.len() as u64);
            pass_on(sink, content.get(offset as usize..kept as usize).unwrap_or_default())?;
            // What is not there reads as zeros, as in Linux: mke2fs makes sparse files so.
            pass_on_zeros(sink, end - kept.max(offset))?;
            return Ok(end - offset);
        }
        let runs = self.runs(inode)?;
        runs::read(&mut self.window, &runs, self.superblock.block_size, offset, end, sink)?;
        Ok(end - offset)
    }

    /// What is kept in the inode itself instead of in blocks: the map's bytes, then an attribute's.
    fn inline(&mut self, inode: &Inode) -> Result<Vec<u8>, DiskError> {
        let mut content = inode.map().to_vec();
        let rest = xattr::in_inode(inode)?.into_iter().find(xattr::Stored::is_inline_data);
        if let Some(rest) = rest {
            content.extend(self.value(inode, rest.value)?);
        }
        content.truncate(usize::try_from(inode.size).unwrap_or(usize::MAX));
        Ok(content)
    }

    fn value(&mut self, owner: &Inode, value: xattr::Value) -> Result<Vec<u8>, DiskError> {
        let (number, length) = match value {
            xattr::Value::Here(value) => return Ok(value),
            xattr::Value::Elsewhere(number, length) => (number, length),
        };
        let inode = self.inode(number)?;
        if !inode.is_xattr_value() || inode.size != length {
            return Err(damaged(owner.number, "has an attribute whose value is somewhere else"));
        }
        let mut value = Vec::new();
        self.read(&inode, 0, length, &mut value)?;
        Ok(value)
    }

    fn read_directory(&mut self, number: u64) -> Result<Directory, DiskError> {
        let inode = self.inode(number)?;
        if inode.kind != FileKind::Directory {
            return Err(damaged(number, "is not the directory it should be"));
        }
        if inode.is_encrypted() {
            return Err(DiskError::Unsupported(format!("ext4 inode {number} is an encrypted directory")));
        }
        let mut entries = directory::Entries::new();
        if inode.is_inline() {
            let content = self.inline(&inode)?;
            // The parent's number stands where `.` and `..` would be; what follows lies in two stretches.
            let (first, second) = content.split_at(content.len().min(inode::MAP));
            let first = first.get(4..).unwrap_or_default();
            directory::read_block(&self.superblock, &inode, first, &mut entries)?;
            directory::read_block(&self.superblock, &inode, second, &mut entries)?;
        } else {
            self.read_directory_blocks(&inode, &mut entries)?;
        }
        Directory::new(entries).map_err(|name| {
            let name = String::from_utf8_lossy(&name);
            damaged(number, &format!("is a directory that has `{}` twice", escape(&name)))
        })
    }

    fn read_directory_blocks(
        &mut self,
        inode: &Inode,
        entries: &mut directory::Entries,
    ) -> Result<(), DiskError> {
        let block_size = self.superblock.block_size;
        if inode.size > MAX_DIRECTORY || !inode.size.is_multiple_of(block_size) {
            return Err(damaged(inode.number, "is a directory of an impossible size"));
        }
        let runs = self.runs(inode)?;
        let blocks = inode.size / block_size;
        let mapped = runs.iter().take_while(|run| run.logical < blocks);
        if mapped.map(|run| run.length.min(blocks - run.logical)).sum::<u64>() != blocks {
            return Err(damaged(inode.number, "is a directory with a hole"));
        }
        let mut block = vec![0; block_size as usize];
        let numbers = runs.iter().flat_map(|run| run.physical..run.physical + run.length);
        for (index, number) in numbers.take(blocks as usize).enumerate() {
            self.window.read_exact(number * block_size, &mut block)?;
            directory::check_block(inode, &block, index == 0)?;
            directory::read_block(&self.superblock, inode, &block, entries)?;
        }
        Ok(())
    }
}

impl Inodes for Ext {
    fn on(&self, disk: &Shared) -> Box<dyn Inodes> {
        Box::new(Self::new(self.window.on(disk), self.superblock.clone()))
    }

    fn name(&self) -> &'static str {
        self.superblock.name
    }

    fn root(&self) -> u64 {
        ROOT
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
        if inode.kind != FileKind::Symlink || inode.size >= MAX_LINK {
            return Err(damaged(inode.number, "is not the link it should be"));
        }
        if !inode.is_inline() && !inode.is_encrypted() && inode.is_short_link(&self.superblock) {
            let target = inode.map().get(..inode.size as usize);
            return target
                .map(<[u8]>::to_vec)
                .ok_or_else(|| damaged(inode.number, "is a link without a target"));
        }
        let mut target = Vec::new();
        self.read(&inode, 0, inode.size, &mut target)?;
        Ok(target)
    }

    fn xattrs(&mut self, inode: u64) -> Result<Vec<Xattr>, DiskError> {
        let inode = self.inode(inode)?;
        let mut stored = xattr::in_inode(&inode)?;
        if inode.xattr_block != 0 {
            if inode.xattr_block >= self.superblock.blocks {
                return Err(damaged(inode.number, "has attributes outside its file system"));
            }
            let mut block = vec![0; self.superblock.block_size as usize];
            self.window.read_exact(inode.xattr_block * self.superblock.block_size, &mut block)?;
            stored.extend(xattr::in_block(&self.superblock, &inode, inode.xattr_block, &block)?);
        }
        let mut shown = Vec::new();
        for attribute in stored {
            let Some(name) = attribute.full_name() else { continue };
            let is_acl = attribute.is_acl();
            let mut value = self.value(&inode, attribute.value)?;
            if is_acl {
                value = xattr::shown_acl(&value)
                    .ok_or_else(|| damaged(inode.number, "has an access control list of no known form"))?;
            }
            shown.push(Xattr { name, value });
        }
        shown.sort_unstable();
        Ok(shown)
    }

    fn read_to(
        &mut self,
        inode: u64,
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let inode = self.inode(inode)?;
        self.read(&inode, offset, length, sink)
    }
}

#[cfg(test)]
mod tests;
