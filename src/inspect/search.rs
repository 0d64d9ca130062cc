//! Looking for files where people put things of their own.

use crate::disk::{DiskError, FileKind, Stat, Tree};
use crate::os::files::{join, names, show};

/// How many directories deep is looked, counted from where the search begins.
const DEPTH_LIMIT: usize = 10;

/// The most entries that are looked at.
const ENTRY_LIMIT: usize = 2_000_000;

/// Where containers have their files: images of their own, and millions of files.
const CONTAINERS: [&[u8]; 3] = [b"/var/lib/docker", b"/var/lib/containerd", b"/var/lib/containers"];

/// Sees a path, and says whether to go on below it.
pub(crate) type Visit<'a> = dyn FnMut(&mut dyn Tree, &[u8], &Stat) -> Result<bool, DiskError> + 'a;

/// Visits everything below some directories, parents first, in order, ten levels deep and without following
/// links. A directory for which `visit` says no is not entered, and neither are those of containers.
pub(crate) fn search(tree: &mut dyn Tree, roots: &[&str], visit: &mut Visit<'_>) -> Result<(), DiskError> {
    let mut count = 0;
    let mut pending: Vec<(Vec<u8>, usize)> =
        roots.iter().rev().map(|root| (root.as_bytes().to_vec(), 0)).collect();
    while let Some((directory, depth)) = pending.pop() {
        let mut below = Vec::new();
        for name in names(tree, &directory)? {
            count += 1;
            if count > ENTRY_LIMIT {
                let problem = "has too many entries".to_owned();
                return Err(DiskError::WrongKind { path: show(&directory), problem });
            }
            let path = join(&directory, &name);
            let stat = tree.lstat(&path)?;
            let enter = visit(tree, &path, &stat)?;
            let own = !CONTAINERS.contains(&path.as_slice());
            if stat.kind == FileKind::Directory && enter && own && depth + 1 < DEPTH_LIMIT {
                below.push((path, depth + 1));
            }
        }
        pending.extend(below.into_iter().rev());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn what_is_entered() {
        let deep = format!("/opt{}/x", "/d".repeat(20));
        let mut tree = MemTree::new()
            .file("/opt/a/x", "")
            .file("/opt/no/x", "")
            .file("/var/lib/docker/x", "")
            .file("/var/lib/own/x", "")
            .link("/opt/loop", "/opt")
            .file(&deep, "");
        let mut seen = Vec::new();
        search(&mut tree, &["/opt", "/srv", "/var/lib"], &mut |_, path, _| {
            seen.push(show(path));
            Ok(path != b"/opt/no")
        })
        .unwrap();
        assert_eq!(
            seen.iter().filter(|path| path.ends_with("/x")).collect::<Vec<_>>(),
            ["/opt/a/x", "/var/lib/own/x"]
        );
        assert_eq!(seen.iter().filter(|path| path.ends_with("/d")).count(), 10);
        assert!(search(&mut tree.broken("/opt/a"), &["/opt"], &mut |_, _, _| Ok(true)).is_err());
    }
}
