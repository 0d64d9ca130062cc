//! Where the space goes: the largest directories and files, like `du`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::{FileKind, Stat, Tree};
use crate::os::ReadError;
use crate::os::directories::{Found, each_directory};
use crate::os::files::show;

/// How much is shown of each kind.
pub(crate) const TOP: usize = 20;

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

/// Adds up the sizes of everything, and keeps the `top` largest of each kind.
///
/// # Errors
/// [`ReadError::Disk`].
pub(crate) fn sizes(tree: &mut dyn Tree, top: usize) -> Result<Sizes, ReadError> {
    let found = each_directory(tree, b"/", |sizes: &mut Part, directory, inside| {
        sizes.add(directory, inside, top);
    })?;
    let mut sums = Vec::new();
    let mut linked = Vec::new();
    let mut files = Smallest::new();
    for mut one in found {
        sums.append(&mut one.directories);
        linked.append(&mut one.linked);
        for Reverse(file) in one.files {
            keep(&mut files, top, file.allocated, &file.path.0, || file.of);
        }
    }
    let mut sums: HashMap<Vec<u8>, Sum> = sums.into_iter().collect();
    // Of all the names of a file the first counts.
    linked.sort_unstable_by(|one, other| in_order(&one.path).cmp(in_order(&other.path)));
    let mut seen = HashSet::new();
    for Found { path, stat } in linked {
        if seen.insert((stat.device, stat.inode)) {
            if let Some(parent) = sums.get_mut(parent(&path)) {
                parent.add(&stat);
            }
            keep_file(&mut files, top, &path, &stat);
        }
    }
    // The deepest first, so that each is complete when it is added to the one above it.
    let mut order: Vec<Vec<u8>> = sums.keys().cloned().collect();
    order.sort_unstable_by(|one, other| in_order(other).cmp(in_order(one)));
    let mut directories = Smallest::new();
    let mut total = Sum::default();
    for path in order {
        let Some(sum) = sums.remove(&path) else { continue };
        if path == b"/" {
            total = sum;
            continue;
        }
        keep(&mut directories, top, sum.allocated, &path, || sum.shown(&path));
        if let Some(parent) = sums.get_mut(parent(&path)) {
            parent.include(&sum);
        }
    }
    Ok(Sizes {
        // The root is the total, and not shown again.
        total: total.shown(b"/"),
        directories: directories.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.of).collect(),
        files: files.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.of).collect(),
    })
}

/// A directory and the files in it; in the end those below it, too.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    apparent: u64,
    allocated: u64,
    entries: u64,
}

impl Sum {
    fn add(&mut self, stat: &Stat) {
        let has_content = matches!(stat.kind, FileKind::File | FileKind::Symlink);
        self.apparent = self.apparent.saturating_add(if has_content { stat.size } else { 0 });
        self.allocated = self.allocated.saturating_add(stat.allocated);
    }

    fn include(&mut self, below: &Self) {
        self.apparent = self.apparent.saturating_add(below.apparent);
        self.allocated = self.allocated.saturating_add(below.allocated);
        self.entries += below.entries;
    }

    fn shown(&self, path: &[u8]) -> DirectorySize {
        let Self { apparent, allocated, entries } = *self;
        DirectorySize { path: show(path), apparent, allocated, entries }
    }
}

/// What one thread finds.
#[derive(Default)]
struct Part {
    directories: Vec<(Vec<u8>, Sum)>,
    /// Files that have other names, too.
    linked: Vec<Found>,
    files: Smallest<FileSize>,
}

impl Part {
    fn add(&mut self, directory: &Found, inside: &[Found], top: usize) {
        let mut sum = Sum { apparent: 0, allocated: directory.stat.allocated, entries: inside.len() as u64 };
        for Found { path, stat } in inside.iter().filter(|found| found.stat.kind != FileKind::Directory) {
            if stat.links > 1 {
                self.linked.push(Found { path: path.clone(), stat: *stat });
            } else {
                sum.add(stat);
                keep_file(&mut self.files, top, path, stat);
            }
        }
        self.directories.push((directory.path.clone(), sum));
    }
}

/// The parts of a path, which are compared one by one: `a/b` is before `a.d`.
fn in_order(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) if at > 0 => &path[..at],
        _ => b"/",
    }
}

/// Ordered by space, then by name from the end, so that equals are shown in the order of their names.
struct Ranked<T> {
    allocated: u64,
    path: Reverse<Vec<u8>>,
    of: T,
}

type Smallest<T> = BinaryHeap<Reverse<Ranked<T>>>;

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

fn keep_file(heap: &mut Smallest<FileSize>, top: usize, path: &[u8], stat: &Stat) {
    if stat.kind == FileKind::File {
        let (apparent, allocated) = (stat.size, stat.allocated);
        keep(heap, top, allocated, path, || FileSize { path: show(path), apparent, allocated });
    }
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
    use crate::os::testing::MemTree;

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
        assert_eq!(sizes(&mut tree.clone().single(), 2).unwrap(), found);
        assert_eq!(sizes(&mut MemTree::new(), TOP).unwrap().total.entries, 0);
        assert!(sizes(&mut tree.broken("/d"), TOP).is_err());
    }

    #[test]
    fn a_file_counts_once_where_its_first_name_is() {
        // Parts of paths are compared, not bytes: `/a/z` is before `/a.d/a`.
        let mut tree = MemTree::new()
            .file("/a/z", [0; 10])
            .dir("/a.d")
            .dir("/b/c")
            .hard_link("/a/z", "/a.d/a")
            .hard_link("/a/z", "/b/c/d")
            .file("/b/e", [0; 1]);
        for _ in 0..2 {
            let found = sizes(&mut tree, TOP).unwrap();
            let directories: Vec<_> =
                found.directories.iter().map(|d| (d.path.as_str(), d.apparent, d.entries)).collect();
            assert_eq!(directories, [("/a", 10, 1), ("/b", 1, 3), ("/a.d", 0, 1), ("/b/c", 0, 1)]);
            let files: Vec<_> = found.files.iter().map(|file| file.path.as_str()).collect();
            assert_eq!(files, ["/a/z", "/b/e"]);
            assert_eq!((found.total.apparent, found.total.entries), (11, 8));
            tree = tree.single();
        }
    }
}
