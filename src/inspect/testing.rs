//! Directories of the host as trees, to read what other programs have made.

use std::path::Path;

use crate::os::testing::MemTree;

/// Puts everything below a directory of the host into a tree, at `at`.
pub(crate) fn with_host_files(mut tree: MemTree, host: &Path, at: &str) -> MemTree {
    tree = tree.dir(at);
    for entry in fs_err::read_dir(host).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{at}/{}", entry.file_name().to_str().expect("a readable name"));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            let target = fs_err::read_link(entry.path()).unwrap();
            tree = tree.link(&path, target.to_str().expect("a readable target"));
        } else if kind.is_dir() {
            tree = with_host_files(tree, &entry.path(), &path);
        } else if kind.is_file() {
            tree = tree.file(&path, fs_err::read(entry.path()).unwrap());
        }
    }
    tree
}
