//! What a file system that tib reads by itself must offer. ext2/3/4, XFS, Btrfs and FAT do.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use crate::block::{DiskError, Shared};
use crate::filesystem::{Stat, Xattr};

/// Entries of directories that a file system keeps in memory, all together.
const KEEP_ENTRIES: usize = 200_000;

/// A file system as numbered inodes. Paths, links and mount points are the business of whoever holds it.
///
/// Errors are [`DiskError::Damaged`], [`DiskError::Unsupported`], or those of the disk below.
pub(crate) trait Inodes: Send + Sync {
    /// The same file system on a fork of its disk, for another thread.
    fn on(&self, disk: &Shared) -> Box<dyn Inodes>;

    /// What it is, for people: `ext4`.
    fn name(&self) -> &'static str;

    /// The number of the root directory.
    fn root(&self) -> u64;

    /// The directories that can be shown in the place of the root, which comes first: those of subvolumes.
    fn roots(&self) -> Vec<u64> {
        vec![self.root()]
    }

    /// Which of them is shown when it is mounted with these options. `None` if there is none that they name.
    fn mounted(&mut self, _options: &[String]) -> Result<Option<u64>, DiskError> {
        Ok(Some(self.root()))
    }

    /// What people call the part of the file system below one of them; `None` for the whole.
    fn part(&mut self, _root: u64) -> Result<Option<String>, DiskError> {
        Ok(None)
    }

    /// What is in a directory, which `inode` must be.
    fn directory(&mut self, inode: u64) -> Result<Arc<Directory>, DiskError>;

    /// All that is known of an inode but its content. [`Stat::device`] tells subvolumes apart, whose inodes have the same
    /// numbers. It is below 2^48, and zero where there are none.
    fn stat(&mut self, inode: u64) -> Result<Stat, DiskError>;

    /// What a symbolic link, which `inode` must be, points to.
    fn read_link(&mut self, inode: u64) -> Result<Vec<u8>, DiskError>;

    /// Extended attributes as Linux shows them to root, sorted by name.
    fn xattrs(&mut self, inode: u64) -> Result<Vec<Xattr>, DiskError>;

    /// Whether it has extended attributes at all.
    fn keeps_xattrs(&self) -> bool {
        true
    }

    /// Hands `length` bytes from `offset` of a regular file to `sink`, fewer where it ends. Returns how many.
    fn read_to(
        &mut self,
        inode: u64,
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError>;
}

/// Directories that have been read, by their inodes. All are forgotten when there are too many entries.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    read: HashMap<u64, Arc<T>>,
    entries: usize,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { read: HashMap::new(), entries: 0 }
    }
}

impl<T> Kept<T> {
    pub(crate) fn get(&self, inode: u64) -> Option<Arc<T>> {
        self.read.get(&inode).map(Arc::clone)
    }

    /// Keeps one that has so many entries.
    pub(crate) fn keep(&mut self, inode: u64, directory: T, entries: usize) -> Arc<T> {
        self.entries += entries + 1;
        if self.entries > KEEP_ENTRIES {
            self.read.clear();
            self.entries = entries + 1;
        }
        let directory = Arc::new(directory);
        self.read.insert(inode, Arc::clone(&directory));
        directory
    }
}

/// The entries of a directory, without `.` and `..`.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Sorted by name.
    entries: Vec<Named>,
    /// Where other names than those above mean an entry too.
    folded: Option<Folded>,
}

/// A name and the inode it stands for.
pub(crate) type Named = (Box<[u8]>, u64);

/// Names in the form in which they are compared.
#[derive(Debug)]
struct Folded {
    fold: fn(&[u8]) -> Vec<u8>,
    inodes: HashMap<Vec<u8>, u64>,
}

impl Directory {
    /// Takes names and the inodes they stand for. `Err` names one that is there twice.
    pub(crate) fn new(mut entries: Vec<Named>) -> Result<Self, Box<[u8]>> {
        entries.sort_unstable();
        match entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(pair[0].0.clone()),
            None => Ok(Self { entries, folded: None }),
        }
    }

    /// A directory in which names count as equal that `fold` makes equal, and which knows entries by second names as
    /// well. `Err` names one that is there twice; of second names the first counts.
    pub(crate) fn folded(
        mut entries: Vec<Named>,
        aliases: Vec<Named>,
        fold: fn(&[u8]) -> Vec<u8>,
    ) -> Result<Self, Box<[u8]>> {
        let mut inodes = HashMap::with_capacity(entries.len() + aliases.len());
        for (name, inode) in &entries {
            if inodes.insert(fold(name), *inode).is_some() {
                return Err(name.clone());
            }
        }
        for (name, inode) in aliases {
            inodes.entry(fold(&name)).or_insert(inode);
        }
        entries.sort_unstable();
        Ok(Self { entries, folded: Some(Folded { fold, inodes }) })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(|(name, _)| &**name)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<u64> {
        if let Some(Folded { fold, inodes }) = &self.folded {
            return inodes.get(&fold(name)).copied();
        }
        let found = self.entries.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.entries.get(found).map(|(_, inode)| *inode)
    }
}
