//! Links by which something should start, or have another name, and nothing is there.

use super::{UnitIndex, UnitState};
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{base_name, glob, optional, show};

/// The links among the paths that match `patterns` that stand for no unit: neither what they point to nor a unit of
/// their name exists. (systemd goes by the name.)
pub(crate) fn dangling_links<T: AsRef<[u8]>>(
    tree: &mut dyn Tree,
    patterns: &[T],
) -> Result<Vec<String>, ReadError> {
    let mut wrong = Vec::new();
    // Most images have no such link.
    let mut index = None;
    for pattern in patterns {
        for path in glob(tree, pattern.as_ref())? {
            if tree.lstat(&path)?.kind != FileKind::Symlink {
                continue;
            }
            let target = tree.read_link(&path)?;
            // A mask; the device itself need not be in the image.
            if target == b"/dev/null" || optional(tree.stat(&path))?.is_some() {
                continue;
            }
            let name = String::from_utf8_lossy(base_name(&path)).into_owned();
            let index = match &mut index {
                Some(index) => index,
                none => none.insert(UnitIndex::read(tree)?),
            };
            if index.state(tree, &name)? == UnitState::NotFound {
                wrong.push(format!("{} -> {}", show(&path), show(&target)));
            }
        }
    }
    Ok(wrong)
}
