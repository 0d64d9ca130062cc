//! Files of two images, path by path.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::{DiskError, FileKind, Stat, Tree, Xattr};
use crate::look::LookError;
use crate::look::ls::{hex, meaning};
use crate::os::files::{digest, optional, show, walk};

/// Files up to this are compared in memory, longer ones by their checksums.
const IN_MEMORY: u64 = 1 << 20;

/// What differs between the files of two images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Files {
    /// Bytes of all regular files of the old image.
    pub old_size: u64,
    /// Bytes of all regular files of the new image.
    pub new_size: u64,
    /// Every path that differs, sorted.
    pub changes: Vec<FileChange>,
}

/// A path that differs. Added without `old`, removed without `new`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FileChange {
    /// The path, control characters escaped.
    pub path: String,
    /// The path in hexadecimal, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// What differs, for people. Empty for what is in one image only.
    pub what: Vec<String>,
    /// What is there in the old image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<FileState>,
    /// What is there in the new image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<FileState>,
    /// The path itself.
    #[serde(skip)]
    pub(crate) bytes: Vec<u8>,
    /// Both are regular files, and differ in content.
    #[serde(skip)]
    pub(crate) has_other_content: bool,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FileState {
    /// `file`, `directory`, `symlink`, …
    pub kind: String,
    /// Permission bits, octal.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes; absent for directories, whose length means nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What a link points to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Extended attributes by name, in words or in hexadecimal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
}

/// What is compared of a path without reading a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    stat: Stat,
    target: Option<Vec<u8>>,
    xattrs: Vec<Xattr>,
}

pub(crate) fn compare(old: &mut dyn Tree, new: &mut dyn Tree, paths: &[Vec<u8>]) -> Result<Files, LookError> {
    let (mut before, after) = (collect(old, paths)?, collect(new, paths)?);
    for path in paths {
        let below = |all: &BTreeMap<Vec<u8>, Stat>| all.contains_key(path.as_slice());
        if !below(&before) && !below(&after) {
            return Err(DiskError::NotFound(show(path)).into());
        }
    }
    let mut files = Files { old_size: size(&before), new_size: size(&after), changes: Vec::new() };
    for (path, stat) in after {
        let now = look(new, &path, stat)?;
        let change = match before.remove(&path) {
            None => change(path, Vec::new(), None, Some(&now), false),
            Some(stat) => {
                let then = look(old, &path, stat)?;
                let mut what = differences(&then, &now);
                let both_files = then.stat.kind == FileKind::File && now.stat.kind == FileKind::File;
                let other_content = both_files && !same_content(old, new, &path, &then.stat, &now.stat)?;
                if other_content {
                    what.insert(0, "content".to_owned());
                }
                if what.is_empty() {
                    continue;
                }
                change(path, what, Some(&then), Some(&now), other_content)
            }
        };
        files.changes.push(change);
    }
    for (path, stat) in before {
        let then = look(old, &path, stat)?;
        files.changes.push(change(path, Vec::new(), Some(&then), None, false));
    }
    files.changes.sort_by(|one, other| one.bytes.cmp(&other.bytes));
    Ok(files)
}

/// Everything at or below the paths, or the root.
fn collect(tree: &mut dyn Tree, paths: &[Vec<u8>]) -> Result<BTreeMap<Vec<u8>, Stat>, DiskError> {
    let mut found = BTreeMap::new();
    let root = [b"/".to_vec()];
    for path in if paths.is_empty() { &root } else { paths } {
        let Some(stat) = optional(tree.lstat(path))? else { continue };
        found.insert(path.clone(), stat);
        if stat.kind == FileKind::Directory {
            walk(tree, path, &mut |path, stat| {
                found.insert(path.to_vec(), *stat);
            })?;
        }
    }
    Ok(found)
}

fn size(found: &BTreeMap<Vec<u8>, Stat>) -> u64 {
    found.values().filter(|stat| stat.kind == FileKind::File).map(|stat| stat.size).sum()
}

fn look(tree: &mut dyn Tree, path: &[u8], stat: Stat) -> Result<Found, DiskError> {
    let target = if stat.kind == FileKind::Symlink { Some(tree.read_link(path)?) } else { None };
    Ok(Found { stat, target, xattrs: tree.xattrs(path)? })
}

/// What differs in all but content, for people.
fn differences(old: &Found, new: &Found) -> Vec<String> {
    let mut what = Vec::new();
    let (then, now) = (&old.stat, &new.stat);
    let mut note = |differs: bool, text: &dyn Fn() -> String| {
        if differs {
            what.push(text());
        }
    };
    note(then.kind != now.kind, &|| format!("{} → {}", kind(then.kind), kind(now.kind)));
    note(then.mode != now.mode, &|| format!("mode {:04o} → {:04o}", then.mode, now.mode));
    let owner = |stat: &Stat| (stat.uid, stat.gid);
    note(owner(then) != owner(now), &|| format!("owner {}:{} → {}:{}", then.uid, then.gid, now.uid, now.gid));
    note(then.special != now.special, &|| "device numbers".to_owned());
    note(old.target != new.target, &|| {
        let text = |target: &Option<Vec<u8>>| target.as_deref().map_or("none".to_owned(), show);
        format!("target {} → {}", text(&old.target), text(&new.target))
    });
    let (then, now) = (in_words(&old.xattrs), in_words(&new.xattrs));
    for name in then.keys().chain(now.keys().filter(|name| !then.contains_key(*name))) {
        let text = |all: &BTreeMap<String, String>| all.get(name).map_or("none".to_owned(), Clone::clone);
        note(then.get(name) != now.get(name), &|| format!("{name} {} → {}", text(&then), text(&now)));
    }
    what
}

fn in_words(xattrs: &[Xattr]) -> BTreeMap<String, String> {
    let words = |xattr: &Xattr| meaning(xattr).unwrap_or_else(|| format!("0x{}", hex(&xattr.value)));
    xattrs.iter().map(|xattr| (show(&xattr.name), words(xattr))).collect()
}

fn same_content(
    old: &mut dyn Tree,
    new: &mut dyn Tree,
    path: &[u8],
    then: &Stat,
    now: &Stat,
) -> Result<bool, DiskError> {
    if then.size != now.size {
        return Ok(false);
    }
    if then.size <= IN_MEMORY {
        return Ok(old.read(path, IN_MEMORY)? == new.read(path, IN_MEMORY)?);
    }
    Ok(digest(old, path)? == digest(new, path)?)
}

fn change(
    path: Vec<u8>,
    what: Vec<String>,
    old: Option<&Found>,
    new: Option<&Found>,
    has_other_content: bool,
) -> FileChange {
    FileChange {
        path: show(&path),
        path_hex: std::str::from_utf8(&path).is_err().then(|| hex(&path)),
        what,
        old: old.map(state),
        new: new.map(state),
        bytes: path,
        has_other_content,
    }
}

fn state(found: &Found) -> FileState {
    let stat = &found.stat;
    FileState {
        kind: kind(stat.kind).to_owned(),
        mode: format!("{:04o}", stat.mode),
        uid: stat.uid,
        gid: stat.gid,
        size: (stat.kind != FileKind::Directory).then_some(stat.size),
        target: found.target.as_deref().map(show),
        xattrs: in_words(&found.xattrs),
    }
}

fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::Block => "block",
        FileKind::Character => "character",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
    }
}
