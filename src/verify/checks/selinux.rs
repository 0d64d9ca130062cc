//! Labels of SELinux.

use super::super::labels::differs;
use super::{Found, unusable};
use crate::disk::Tree;
use crate::os::files::{base_name, escape, join, optional};
use crate::os::selinux::{Labelling, Wanted, label_of, type_of};

/// Compares the label at a path, of which the last part is not followed, with a type, a whole label, or what the image's
/// policy wants (`policy`).
pub(super) fn check(tree: &mut dyn Tree, path: &str, label: &str) -> Found {
    let given = path.trim_end_matches('/').as_bytes();
    let name = base_name(given);
    // Policies know paths without links in them.
    let path = match optional(tree.canonicalize(if given.len() > name.len() {
        &given[..given.len() - name.len()]
    } else {
        b"/"
    }))? {
        Some(directory) if !name.is_empty() => join(&directory, name),
        _ => b"/".to_vec(),
    };
    let Some(stat) = optional(tree.lstat(&path))? else { return Ok(Some("nothing is there".to_owned())) };
    let xattrs = tree.xattrs(&path)?;
    let now = label_of(&xattrs);
    if label == "policy" {
        let policy = match Labelling::read(tree)? {
            Labelling::By(policy) => policy,
            Labelling::Off(reason) => return Err(unusable(format!("no policy says which: {reason}"))),
            Labelling::NoContexts(path) => {
                return Err(unusable(format!("no policy says which: there is no {path}")));
            }
        };
        return match policy.wanted(&path, stat.kind) {
            Wanted::Label(wanted) => {
                let wrong = policy.correction(now, wanted.as_bytes());
                Ok(wrong.map(|_| differs(now, wanted.as_bytes())))
            }
            Wanted::Nothing => Ok(None),
            Wanted::Unknown(reason) => Err(unusable(reason)),
        };
    }
    let found = if label.contains(':') { now } else { now.and_then(type_of) };
    if found == Some(label.as_bytes()) {
        return Ok(None);
    }
    Ok(Some(match now {
        Some(now) => format!("it has {}", escape(&String::from_utf8_lossy(now))),
        None => "it has none".to_owned(),
    }))
}
