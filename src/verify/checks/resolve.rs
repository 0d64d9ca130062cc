//! Where a symbolic link leads inside the image.

use super::show;
use crate::disk::{DiskError, FileKind, Tree};
use crate::os::files::{join, optional};

/// What is there at run time only.
const RUNTIME: [&[u8]; 4] = [b"/dev", b"/proc", b"/run", b"/sys"];

/// How many links are followed, as in Linux.
const LINK_LIMIT: usize = 40;

/// Says why a path leads nowhere; `None`: it leads somewhere, or to where things are at run time only.
pub(super) fn dead_end(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<String>, DiskError> {
    match tree.stat(path) {
        Ok(_) => return Ok(None),
        // What is wrong is found out below.
        Err(DiskError::NotFound(_) | DiskError::NotDirectory(_) | DiskError::WrongKind { .. }) => {}
        Err(error) => return Err(error),
    }
    let parts = |path: &[u8]| path.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut todo = parts(path);
    let mut at = b"/".to_vec();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                let end = at.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                at.truncate(end.max(1));
                continue;
            }
            _ => {}
        }
        let next = join(&at, &part);
        let stat = match tree.lstat(&next) {
            Err(DiskError::NotDirectory(_)) => return Ok(Some(format!("{} is not a directory", show(&at)))),
            stat => optional(stat),
        };
        // What is below is nothing of the image, unless the directory is elsewhere in it.
        if RUNTIME.contains(&next.as_slice())
            && matches!(&stat, Ok(stat) if stat.is_none_or(|stat| stat.kind != FileKind::Symlink))
        {
            return Ok(None);
        }
        let stat = match stat {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(Some(format!("{} does not exist", show(&next)))),
            Err(error) => return Err(error),
        };
        if stat.kind == FileKind::Symlink {
            links += 1;
            if links > LINK_LIMIT {
                return Ok(Some("too many links, or a loop".to_owned()));
            }
            let target = tree.read_link(&next)?;
            if target.starts_with(b"/") {
                at = b"/".to_vec();
            }
            todo.extend(parts(&target));
        } else {
            at = next;
        }
    }
    // The reader of the image refuses what this finds: it knows better.
    tree.stat(path).map(|_| None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn where_links_lead() {
        let tree = MemTree::new()
            .file("/usr/share/a", "")
            .link("/good", "usr/share/../share/a")
            .link("/gone", "/usr/share/b")
            .link("/self", "self")
            .link("/through", "/good/x")
            .link("/via", "gone")
            .link("/mtab", "../proc/self/mounts")
            .link("/var/run", "/run")
            .link("/lock", "/var/run/lock")
            .link("/log", "/dev/log")
            .link("/runner", "/running")
            .link("/escape", "../../../../usr/share/a");
        for (path, expected) in [
            ("/good", None),
            ("/gone", Some("/usr/share/b does not exist")),
            ("/self", Some("too many links, or a loop")),
            ("/through", Some("/usr/share/a is not a directory")),
            ("/via", Some("/usr/share/b does not exist")),
            ("/mtab", None),
            ("/lock", None),
            ("/log", None),
            ("/runner", Some("/running does not exist")),
            ("/escape", None),
        ] {
            let found = dead_end(&mut tree.clone(), path.as_bytes()).unwrap();
            assert_eq!(found.as_deref(), expected, "{path}");
        }
        assert!(dead_end(&mut tree.clone().broken("/usr/share"), b"/gone").is_err());
        assert!(dead_end(&mut tree.broken("/dev"), b"/log").is_err());
    }
}
