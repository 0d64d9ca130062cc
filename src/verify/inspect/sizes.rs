//! Where the space goes: the largest directories and files, like `du`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::{FileKind, Stat, Tree};
use crate::verify::VerifyError;
use crate::verify::look::{show, walk};

/// How much is shown of each kind.
pub(super) const TOP: usize = 20;

/// Where the space goes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Sizes {
    /// All of the image.
    pub total: DirectorySize,
    /// The directories with the most space at and below them, the largest first.
    pub directories: Vec<DirectorySize>,
    /// The largest files.
    pub files: Vec<FileSize>,
}

/// The space at and below a directory. Files with several names count once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DirectorySize {
    /// The directory.
    pub path: String,
    /// Bytes in files and links, as long as they say they are.
    pub apparent: u64,
    /// Bytes they take on their file system, directories included.
    pub allocated: u64,
    /// How many files, links and directories there are below it, each name counted.
    pub entries: u64,
}

/// The space of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FileSize {
    /// The file; of several names, the first.
    pub path: String,
    /// Its length in bytes.
    pub apparent: u64,
    /// Bytes it takes on its file system.
    pub allocated: u64,
}

/// Adds up the sizes of everything in one walk, and keeps the `top` largest of each kind.
///
/// # Errors
/// [`VerifyError::Disk`].
pub(super) fn sizes(tree: &mut dyn Tree, top: usize) -> Result<Sizes, VerifyError> {
    let root = tree.lstat(b"/")?;
    let mut sum = Sum { open: vec![Open::new(b"/", &root)], ..Sum::default() };
    walk(tree, b"/", &mut |path, stat| sum.add(path, stat, top))?;
    while sum.open.len() > 1 {
        sum.close(top);
    }
    // The root is the total, and not shown again.
    let total =
        sum.open.pop().map(|open| open.shown()).ok_or_else(|| VerifyError::malformed("/", "no root"))?;
    Ok(Sizes {
        total,
        directories: sum.directories.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.of).collect(),
        files: sum.files.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.of).collect(),
    })
}

/// A directory that is being walked.
struct Open {
    path: Vec<u8>,
    apparent: u64,
    allocated: u64,
    entries: u64,
}

impl Open {
    fn new(path: &[u8], stat: &Stat) -> Self {
        Self { path: path.to_vec(), apparent: 0, allocated: stat.allocated, entries: 0 }
    }

    fn shown(&self) -> DirectorySize {
        let (apparent, allocated, entries) = (self.apparent, self.allocated, self.entries);
        DirectorySize { path: show(&self.path), apparent, allocated, entries }
    }
}

/// Ordered by space, then by name from the end, so that equals are shown in the order of their names.
struct Ranked<T> {
    allocated: u64,
    path: Reverse<Vec<u8>>,
    of: T,
}

type Smallest<T> = BinaryHeap<Reverse<Ranked<T>>>;

#[derive(Default)]
struct Sum {
    open: Vec<Open>,
    seen: HashSet<(u64, u64)>,
    directories: Smallest<DirectorySize>,
    files: Smallest<FileSize>,
}

impl Sum {
    fn add(&mut self, path: &[u8], stat: &Stat, top: usize) {
        while self.open.len() > 1 && !is_below(path, &self.open[self.open.len() - 1].path) {
            self.close(top);
        }
        if let Some(parent) = self.open.last_mut() {
            parent.entries += 1;
        }
        if stat.kind == FileKind::Directory {
            self.open.push(Open::new(path, stat));
            return;
        }
        // All names of a file are one file.
        if stat.links > 1 && !self.seen.insert((stat.device, stat.inode)) {
            return;
        }
        let apparent = if matches!(stat.kind, FileKind::File | FileKind::Symlink) { stat.size } else { 0 };
        let allocated = stat.allocated;
        if let Some(parent) = self.open.last_mut() {
            parent.apparent = parent.apparent.saturating_add(apparent);
            parent.allocated = parent.allocated.saturating_add(allocated);
        }
        if stat.kind == FileKind::File {
            keep(&mut self.files, top, allocated, path, || FileSize {
                path: show(path),
                apparent,
                allocated,
            });
        }
    }

    /// Ends a directory: it is part of the one above.
    fn close(&mut self, top: usize) {
        let Some(done) = self.open.pop() else { return };
        if let Some(parent) = self.open.last_mut() {
            parent.apparent = parent.apparent.saturating_add(done.apparent);
            parent.allocated = parent.allocated.saturating_add(done.allocated);
            parent.entries += done.entries;
        }
        keep(&mut self.directories, top, done.allocated, &done.path, || done.shown());
    }
}

/// Keeps the largest.
fn keep<T>(heap: &mut Smallest<T>, top: usize, allocated: u64, path: &[u8], make: impl FnOnce() -> T) {
    if heap.len() == top && heap.peek().is_none_or(|Reverse(least)| least.allocated > allocated) {
        return;
    }
    heap.push(Reverse(Ranked { allocated, path: Reverse(path.to_vec()), of: make() }));
    if heap.len() > top {
        heap.pop();
    }
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Ranked<T> {}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.allocated, &self.path).cmp(&(other.allocated, &other.path))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::super::testing::with_host_files;
    use super::*;
    use crate::verify::testing::MemTree;

    #[test]
    fn find_and_du_say_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("r");
        for (path, size) in [
            ("a/one", 1000),
            ("a/b/two", 70_000),
            ("a/b/c/three", 5),
            ("a.d/four", 123),
            ("a/zero", 0),
            ("top", 9),
            ("ab/e/f/g/h", 4096),
        ] {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, vec![b'x'; size]).unwrap();
        }
        fs_err::os::unix::fs::symlink("../top", root.join("a/link")).unwrap();
        fs_err::create_dir(root.join("empty")).unwrap();

        // What the apparent size of a directory itself is has changed between versions of du: find has no opinion.
        let output = Command::new("find")
            .arg(&root)
            .args(["-not", "-type", "d", "-printf", "%s /%P\n"])
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let files: Vec<(u64, &str)> = output
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(size, path)| (size.parse().unwrap(), path))
            .collect();
        let output = Command::new("du").arg("--inodes").arg(&root).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let counted: BTreeMap<String, u64> = output
            .lines()
            .map(|line| line.split_once('\t').unwrap())
            .map(|(count, path)| {
                let path = path.strip_prefix(root.to_str().unwrap()).unwrap();
                (if path.is_empty() { "/".to_owned() } else { path.to_owned() }, count.parse().unwrap())
            })
            .collect();
        assert_eq!((files.len(), counted.len()), (8, 10));

        let mut tree = with_host_files(MemTree::new(), &root, "");
        let found = sizes(&mut tree, 100).unwrap();
        let mut all = found.directories.clone();
        all.push(found.total.clone());
        assert_eq!(all.len(), counted.len());
        for directory in &all {
            let prefix = if directory.path == "/" { "/".to_owned() } else { format!("{}/", directory.path) };
            let expected: u64 =
                files.iter().filter(|(_, path)| path.starts_with(&prefix)).map(|(size, _)| size).sum();
            assert_eq!(directory.apparent, expected, "{}", directory.path);
            assert_eq!(directory.entries + 1, counted[&directory.path], "{}", directory.path);
        }
    }

    #[test]
    fn the_largest_first_and_no_more() {
        let mut tree = MemTree::new()
            .file("/a/x", [0; 10])
            .file("/b/x", [0; 30])
            .file("/b/c/x", [0; 20])
            .file("/d/x", [0; 30])
            .special("/dev/null", FileKind::Character);
        let found = sizes(&mut tree, 2).unwrap();
        let paths: Vec<_> = found.directories.iter().map(|d| (d.path.as_str(), d.apparent)).collect();
        assert_eq!(paths, [("/b", 50), ("/d", 30)]);
        let paths: Vec<_> = found.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/b/x", "/d/x"], "equals in the order of their names");
        assert_eq!((found.total.apparent, found.total.entries), (90, 10));
        assert_eq!(sizes(&mut MemTree::new(), TOP).unwrap().total.entries, 0);
        assert!(sizes(&mut tree.broken("/d"), TOP).is_err());
    }
}
