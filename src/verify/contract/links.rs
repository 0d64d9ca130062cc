//! Links that enable units which do not exist.

use super::{Found, joined};
use crate::disk::{FileKind, Tree};
use crate::verify::UnitState;
use crate::verify::look::{base_name, glob, optional, show};
use crate::verify::unit::unit_state;

/// Links of the administrator's directory by which something should start, and nothing can: neither what they
/// point to nor a unit of their name exists. (systemd goes by the name.)
pub(super) fn dangling(tree: &mut dyn Tree) -> Found {
    let mut wrong = Vec::new();
    for pattern in ["/etc/systemd/system/*.wants/*", "/etc/systemd/system/*.requires/*"] {
        for path in glob(tree, pattern.as_bytes())? {
            if tree.lstat(&path)?.kind != FileKind::Symlink || optional(tree.stat(&path))?.is_some() {
                continue;
            }
            let name = String::from_utf8_lossy(base_name(&path)).into_owned();
            if unit_state(tree, &name)? == UnitState::NotFound {
                wrong.push(format!("{} -> {}", show(&path), show(&tree.read_link(&path)?)));
            }
        }
    }
    Ok(joined(&wrong))
}
