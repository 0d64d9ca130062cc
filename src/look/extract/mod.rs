//! Copies files out of an image: onto the host as far as an ordinary user may, or whole into a tar file.

mod holes;
mod host;
mod pax;
mod tar;

pub use host::to_host;
pub use tar::to_tar;

use std::collections::HashMap;

use crate::disk::{FileKind, Stat, Tree};
use crate::look::LookError;
use crate::os::files::walk;

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Regular files, each name of a file with several counted.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// What has no place where it was to go: devices, pipes and sockets on the host; sockets in tar files.
    pub left_out: Vec<Vec<u8>>,
}

/// The path itself and all below it, parents first. A link given as the path is taken for what it leads to.
fn entries(tree: &mut dyn Tree, path: &[u8]) -> Result<Vec<(Vec<u8>, Stat)>, LookError> {
    let root = tree.canonicalize(path)?;
    let stat = tree.lstat(&root)?;
    let mut found = vec![(root.clone(), stat)];
    if stat.kind == FileKind::Directory {
        walk(tree, &root, &mut |path, stat| found.push((path.to_vec(), *stat)))?;
    }
    Ok(found)
}

/// Remembers the first name of every file that has several.
#[derive(Default)]
struct FirstNames<T>(HashMap<(u64, u64), T>);

impl<T> FirstNames<T> {
    fn of(&self, stat: &Stat) -> Option<&T> {
        self.0.get(&(stat.device, stat.inode))
    }

    fn remember(&mut self, stat: &Stat, name: T) {
        if stat.links > 1 {
            self.0.insert((stat.device, stat.inode), name);
        }
    }
}
