//! Lists and reads files of an image.

mod attributes;
mod render;
mod stat;

pub(crate) use attributes::meaning;
pub(crate) use render::hex;
pub use render::{Form, Listing};
pub use stat::{describe, look_at};

use std::io::Write;

use crate::disk::{DiskError, FileKind, Stat, Tree, Xattr};
use crate::look::LookError;
use crate::os::files::{digest, join, names, walk_with};
use crate::os::selinux::label_of;

/// What to list, and what to tell of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Everything below the directory too; links are not followed.
    pub recursive: bool,
    /// Kind, mode and size beside the name.
    pub long: bool,
    /// Sizes with a unit, such as `1.5K`.
    pub human: bool,
    /// Owner and group, by number.
    pub uids: bool,
    /// Times of last access, modification and change, UTC.
    pub times: bool,
    /// Device, inode, links, device numbers, and blocks of 512 bytes.
    pub extra: bool,
    /// SHA-256 of the content of regular files.
    pub checksums: bool,
    /// Extended attributes. Text has no room for them.
    pub xattrs: bool,
    /// SELinux labels.
    pub labels: bool,
    /// `.` and `..` too, where a single directory is listed.
    pub all: bool,
}

/// Something in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its full path.
    pub path: Vec<u8>,
    /// Its path below the directory that was listed; empty for that directory itself.
    pub relative: Vec<u8>,
    /// What it is.
    pub stat: Stat,
    /// What it points to, if it is a link.
    pub target: Option<Vec<u8>>,
    /// SHA-256 of its content in hexadecimal, if asked for and it is a regular file.
    pub sha256: Option<String>,
    /// Its SELinux label, if asked for, and if it has one.
    pub label: Option<Option<Vec<u8>>>,
    /// Its extended attributes, if asked for.
    pub xattrs: Option<Vec<Xattr>>,
}

/// Lists a directory, sorted by name: its entries, or with `recursive` all below it, parents first. With
/// `recursive` and `long` the directory itself comes first, as in `virt-ls -lR`. A file lists as itself, and so does a
/// link that leads nowhere.
///
/// Each entry is handed to `take` as soon as it is known, and nothing is kept of it: images have millions.
///
/// # Errors
/// [`LookError::Read`], and those of `take`.
pub fn list(
    tree: &mut dyn Tree,
    path: &[u8],
    options: &ListOptions,
    take: &mut dyn FnMut(FileEntry) -> Result<(), LookError>,
) -> Result<(), LookError> {
    let root = match tree.stat(path) {
        Ok(root) => root,
        Err(error) => match tree.lstat(path) {
            Ok(link) if link.kind == FileKind::Symlink => link,
            _ => return Err(error.into()),
        },
    };
    if root.kind != FileKind::Directory {
        let relative = crate::os::files::base_name(path).to_vec();
        let stat = tree.lstat(path)?;
        return take(entry(tree, path.to_vec(), relative, stat, options)?);
    }
    let prefix = join(path, b"").len();
    let mut found = |tree: &mut dyn Tree, path: &[u8], stat: &Stat| {
        let relative = path.get(prefix..).unwrap_or_default().to_vec();
        take(entry(tree, path.to_vec(), relative, *stat, options)?)
    };
    if options.recursive {
        if options.long {
            found(tree, path, &root)?;
        }
        return walk_with(tree, path, &mut found);
    }
    let own: &[&[u8]] = if options.all { &[b".", b".."] } else { &[] };
    for name in own.iter().map(|name| name.to_vec()).chain(names(tree, path)?) {
        let path = join(path, &name);
        let stat = tree.lstat(&path)?;
        found(tree, &path, &stat)?;
    }
    Ok(())
}

fn entry(
    tree: &mut dyn Tree,
    path: Vec<u8>,
    relative: Vec<u8>,
    stat: Stat,
    options: &ListOptions,
) -> Result<FileEntry, DiskError> {
    let target = match stat.kind {
        FileKind::Symlink => Some(tree.read_link(&path)?),
        _ => None,
    };
    let sha256 = match stat.kind {
        FileKind::File if options.checksums => Some(digest(tree, &path)?.to_string()),
        _ => None,
    };
    let xattrs = if options.xattrs || options.labels { Some(tree.xattrs(&path)?) } else { None };
    let label = xattrs.as_ref().filter(|_| options.labels);
    let label = label.map(|xattrs| label_of(xattrs).map(<[u8]>::to_vec));
    let xattrs = xattrs.filter(|_| options.xattrs);
    Ok(FileEntry { path, relative, stat, target, sha256, label, xattrs })
}

/// Writes the content of a file. Returns its length.
///
/// # Errors
/// [`LookError::Read`]; what is wrong with `out` too.
pub fn cat(tree: &mut dyn Tree, path: &[u8], out: &mut dyn Write) -> Result<u64, LookError> {
    let length = tree.read_to(path, out)?;
    out.flush().map_err(LookError::write("the file"))?;
    Ok(length)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
