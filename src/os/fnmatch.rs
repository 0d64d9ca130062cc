//! Patterns as the C library has them: `fnmatch` and `glob`.

use super::files::{expand, join, names, too_much};
use crate::disk::{DiskError, Tree};

/// The most paths that a pattern may stand for: files that a program reads because of it.
const LIMIT: usize = 10_000;

/// `fnmatch` with `FNM_NOESCAPE`: `*`, `?` and `[…]`.
pub(crate) fn fnmatch(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => match bracket(&pattern[p..], name[n]) {
                Some((length, hit)) => hit.then_some(length),
                None => (name[n] == b'[').then_some(1),
            },
            Some(&byte) => (byte == name[n]).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p += step;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Length of the bracket expression a pattern begins with, and whether it has a byte; `None` if it has no end.
fn bracket(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let mut at = first;
    let mut hit = false;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((at + 1, hit != negated));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                hit |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                hit |= low == byte;
                at += 1;
            }
        }
    }
}

/// The paths that a pattern stands for, sorted, as `glob` finds them: wildcards stand for no dot at the beginning of a name.
pub(crate) fn glob(tree: &mut dyn Tree, pattern: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
    let mut found = expand(tree, pattern, &|tree, directory, part| {
        let fits = |name: &Vec<u8>| {
            (name.first() != Some(&b'.') || part.first() == Some(&b'.')) && fnmatch(part, name)
        };
        let is_pattern = part.iter().any(|byte| b"*?[".contains(byte));
        let matching = |names: Vec<Vec<u8>>| {
            names.iter().filter(|&name| fits(name)).map(|name| join(directory, name)).collect()
        };
        Ok(if is_pattern { Some(matching(names(tree, directory)?)) } else { None })
    })?;
    if found.len() > LIMIT {
        return Err(too_much(pattern));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemTree;
    use super::*;

    /// Python's own reading of these patterns is that of the C library, but for `[^…]`, which it has not.
    #[test]
    fn python_finds_the_same() {
        let tree = ["a.conf", "10-b.conf", ".hidden.conf", "[x].conf", "sub/c.conf", "b.conf.bak", "-.conf"]
            .iter()
            .fold(MemTree::new(), |tree, name| tree.file(&format!("/d/{name}"), ""));
        let root = tempfile::tempdir().unwrap();
        tree.write_below(root.path());
        for pattern in [
            "*.conf",
            "[0-9]*.conf",
            "[!0-9]*.conf",
            "?.conf",
            ".*.conf",
            "*/*.conf",
            "[[]x].conf",
            "a.conf",
            "none*",
            "[a-",
        ] {
            let output = std::process::Command::new("python3")
                .args(["-c", "import glob,sys\nfor p in sorted(glob.glob(sys.argv[1])): print(p)"])
                .arg(root.path().join("d").join(pattern))
                .output()
                .unwrap();
            let root = root.path().to_str().unwrap();
            let expected: Vec<_> = String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .map(|line| line.replacen(root, "", 1))
                .collect();
            let found = glob(&mut tree.clone(), format!("/d/{pattern}").as_bytes()).unwrap();
            let found: Vec<_> = found.into_iter().map(|path| String::from_utf8(path).unwrap()).collect();
            assert_eq!(found, expected, "{pattern}");
        }
    }
}
