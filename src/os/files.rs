//! Small ways of looking at a [`Tree`]: files that may be missing, patterns, walks. All of them are bounded,
//! because what they look at is untrusted.

use std::collections::HashSet;

use crate::digest::{Digest, Hasher};
use crate::disk::{DiskError, FileKind, Stat, Tree};
pub(crate) use crate::shown::{escape, show};
pub(crate) use crate::valid::name_matches as matches;

/// The longest text file (package database, unit, passwd) that is read whole.
pub(crate) const TEXT_LIMIT: u64 = 64 << 20;

/// The deepest directory a walk enters; far beyond real ones.
pub(crate) const DEPTH_LIMIT: usize = 1024;

/// The most entries a pattern or a walk may visit.
pub(crate) const ENTRY_LIMIT: usize = 5_000_000;

/// Appends a name to a directory's path.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// What a link in a directory points to: absolute, `.` and `..` resolved by name, as systemd does.
pub(crate) fn absolute(directory: &[u8], target: &[u8]) -> Vec<u8> {
    let target = if target.starts_with(b"/") { target.to_vec() } else { join(directory, target) };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().fold(b"/".to_vec(), |path, part| join(&path, part))
}

/// Whether a path is a link to `/dev/null`: a file that was masked, and reads as empty. The device itself need not be
/// in an image.
pub(crate) fn is_masked(tree: &mut dyn Tree, path: &[u8]) -> Result<bool, DiskError> {
    /// As many links as the kernel follows.
    const LINK_LIMIT: usize = 40;
    let mut path = path.to_vec();
    for _ in 0..LINK_LIMIT {
        match optional(tree.lstat(&path))? {
            Some(stat) if stat.kind == FileKind::Symlink => {}
            _ => return Ok(false),
        }
        let target = tree.read_link(&path)?;
        let directory = tree.canonicalize(&path[..path.len() - base_name(&path).len()])?;
        path = absolute(&directory, &target);
        if path == b"/dev/null" {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The last part of a path.
pub(crate) fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// `None` instead of an error when nothing is there, or only a link that leads nowhere, or when the way goes through a
/// file.
pub(crate) fn optional<T>(result: Result<T, DiskError>) -> Result<Option<T>, DiskError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of a text file, or `None` when it does not exist.
pub(crate) fn read_optional(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
    optional(tree.read(path, TEXT_LIMIT))
}

/// The first bytes of a file, `length` at the most.
pub(crate) fn read_start(tree: &mut dyn Tree, path: &[u8], length: usize) -> Result<Vec<u8>, DiskError> {
    let mut start = Vec::new();
    tree.read_range(path, 0, length as u64, &mut start)?;
    Ok(start)
}

/// SHA-256 of the content of a file, however long.
pub(crate) fn digest(tree: &mut dyn Tree, path: &[u8]) -> Result<Digest, DiskError> {
    let mut hasher = Hasher::default();
    tree.read_to(path, &mut hasher)?;
    Ok(hasher.finish())
}

/// Whether a path leads to a directory. A missing one is `false`.
pub(crate) fn is_directory(tree: &mut dyn Tree, path: &[u8]) -> Result<bool, DiskError> {
    Ok(optional(tree.stat(path))?.is_some_and(|stat| stat.kind == FileKind::Directory))
}

/// The names in a directory in byte order; none when there is no such directory.
pub(crate) fn names(tree: &mut dyn Tree, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
    if !is_directory(tree, path)? {
        return Ok(Vec::new());
    }
    let mut names = tree.read_dir(path)?;
    names.sort_unstable();
    Ok(names)
}

/// The paths that match a pattern. `*` and `?` match within one part; a last part `**` stands for everything
/// below, at any depth, without following links.
pub(crate) fn glob(tree: &mut dyn Tree, pattern: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
    expand(tree, pattern, &|tree, directory, part| {
        let mut found = Vec::new();
        if part == b"**" {
            walk(tree, directory, &mut |path, _| found.push(path.to_vec()))?;
        } else if part.contains(&b'*') || part.contains(&b'?') {
            let names = names(tree, directory)?;
            found.extend(names.iter().filter(|name| matches(part, name)).map(|name| join(directory, name)));
        } else {
            return Ok(None);
        }
        Ok(Some(found))
    })
}

/// The paths below a directory that one part of a pattern stands for, or `None` if it is a plain name.
type Expansion<'a> = &'a dyn Fn(&mut dyn Tree, &[u8], &[u8]) -> Result<Option<Vec<Vec<u8>>>, DiskError>;

/// The paths that a pattern stands for, part by part.
pub(crate) fn expand(
    tree: &mut dyn Tree,
    pattern: &[u8],
    part_of: Expansion<'_>,
) -> Result<Vec<Vec<u8>>, DiskError> {
    let mut found = vec![b"/".to_vec()];
    for part in pattern.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for directory in found {
            if !is_directory(tree, &directory)? {
                continue;
            }
            match part_of(tree, &directory, part)? {
                Some(paths) => next.extend(paths),
                None => {
                    let path = join(&directory, part);
                    if tree.exists(&path)? {
                        next.push(path);
                    }
                }
            }
            if next.len() > ENTRY_LIMIT {
                return Err(too_much(pattern));
            }
        }
        found = next;
    }
    Ok(found)
}

/// Visits everything below a directory, parents before children, names in byte order, links not followed.
///
/// A directory that is met twice is an error: no real file system has one, and a hostile one would be endless.
pub(crate) fn walk(
    tree: &mut dyn Tree,
    root: &[u8],
    visit: &mut dyn FnMut(&[u8], &Stat),
) -> Result<(), DiskError> {
    walk_with(tree, root, &mut |_, path, stat| {
        visit(path, stat);
        Ok(())
    })
}

/// What [`walk_with`] hands the tree, a path and what is there to.
pub(crate) type Visit<'a, E = DiskError> = dyn FnMut(&mut dyn Tree, &[u8], &Stat) -> Result<(), E> + 'a;

/// As [`walk`], for those who read the tree on the way, or have errors of their own. Nothing is kept of what was visited.
pub(crate) fn walk_with<E: From<DiskError>>(
    tree: &mut dyn Tree,
    root: &[u8],
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    let mut count = 0;
    let stat = tree.stat(root)?;
    let mut met = HashSet::from([(stat.device, stat.inode)]);
    let mut pending = vec![(root.to_vec(), last_first(tree, root)?)];
    while let Some((directory, names)) = pending.last_mut() {
        let Some(name) = names.pop() else {
            pending.pop();
            continue;
        };
        let path = join(directory, &name);
        count += 1;
        if count > ENTRY_LIMIT || pending.len() > DEPTH_LIMIT {
            return Err(too_much(&path).into());
        }
        let stat = tree.lstat(&path)?;
        visit(tree, &path, &stat)?;
        if stat.kind == FileKind::Directory {
            if !met.insert((stat.device, stat.inode)) {
                return Err(two_parents(&path).into());
            }
            let names = last_first(tree, &path)?;
            pending.push((path, names));
        }
    }
    Ok(())
}

/// The names in a directory, the last one first, so that popping takes them in order.
fn last_first(tree: &mut dyn Tree, directory: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
    let mut names = tree.read_dir(directory)?;
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}

/// What is said of a directory that is met twice.
pub(crate) fn two_parents(path: &[u8]) -> DiskError {
    DiskError::Damaged(format!("`{}` is a directory with two parents", show(path)))
}

/// What is said where one of the limits is passed.
pub(crate) fn too_much(path: &[u8]) -> DiskError {
    DiskError::WrongKind { path: show(path), problem: "has too many or too deeply nested entries".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemTree;
    use super::*;

    fn texts(paths: &[Vec<u8>]) -> Vec<String> {
        paths.iter().map(|path| show(path)).collect()
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.deb", "a.deb", true),
            ("*.deb", "a.debx", false),
            ("ssh_host_*_key*", "ssh_host_rsa_key.pub", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "a1b2b3c", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn globs_walk_and_follow_links_to_directories_only_on_the_way() {
        let mut tree = MemTree::new()
            .file("/var/log/b", "1")
            .file("/var/log/a/x", "2")
            .link("/var/log/out", "/etc")
            .link("/logs", "var/log")
            .file("/etc/passwd", "");
        assert_eq!(
            texts(&glob(&mut tree, b"/var/log/**").unwrap()),
            ["/var/log/a", "/var/log/a/x", "/var/log/b", "/var/log/out"]
        );
        assert_eq!(texts(&glob(&mut tree, b"/logs/*/x").unwrap()), ["/logs/a/x"]);
        assert_eq!(glob(&mut tree, b"/etc/passwd/*").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(glob(&mut tree, b"/no/such/**").unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_broken_directory_is_an_error_not_an_empty_one() {
        let mut tree = MemTree::new().file("/var/log/a", "").broken("/var/log");
        assert!(glob(&mut tree, b"/var/log/*").is_err());
        let mut tree = MemTree::new().link("/tmp", "/tmp");
        assert!(glob(&mut tree, b"/tmp/*").is_err(), "a loop");
    }

    #[test]
    fn the_start_of_a_file() {
        let mut tree = MemTree::new().file("/f", "abcdef");
        assert_eq!(read_start(&mut tree, b"/f", 3).unwrap(), b"abc");
        assert_eq!(read_start(&mut tree, b"/f", 9).unwrap(), b"abcdef");
        assert!(read_start(&mut tree, b"/g", 3).is_err());
    }

    #[test]
    fn nothing_is_below_a_file() {
        let mut tree = MemTree::new().file("/etc/passwd", "");
        assert!(!tree.exists(b"/etc/passwd/x").unwrap());
        assert_eq!(read_optional(&mut tree, b"/etc/passwd/x").unwrap(), None);
        let mut tree = tree.broken("/etc");
        assert!(tree.exists(b"/etc/passwd/x").is_err(), "damage hides what is there");
        assert!(read_optional(&mut tree, b"/etc/passwd/x").is_err());
    }
}
