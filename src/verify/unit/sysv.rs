//! Services that exist as `/etc/init.d` scripts only.

use super::UnitState;
use crate::disk::{DiskError, FileKind, Tree};
use crate::verify::look::{matches, names, optional};

/// The run levels that stand for a normal boot.
const RUN_LEVELS: [&str; 5] = ["S", "2", "3", "4", "5"];

/// The state of the unit systemd's generator would make of an init script; `None` when there is no script.
pub(super) fn state(tree: &mut dyn Tree, unit: &str) -> Result<Option<UnitState>, DiskError> {
    let Some(script) = unit.strip_suffix(".service") else { return Ok(None) };
    match optional(tree.stat(format!("/etc/init.d/{script}").as_bytes()))? {
        Some(stat) if stat.kind == FileKind::File => {}
        _ => return Ok(None),
    }
    let pattern = format!("S??{script}");
    for level in RUN_LEVELS {
        // Debian's place, and Red Hat's, where the former links to the latter or does not exist.
        for directory in [format!("/etc/rc{level}.d"), format!("/etc/rc.d/rc{level}.d")] {
            let links = names(tree, directory.as_bytes())?;
            if links.iter().any(|name| matches(pattern.as_bytes(), name)) {
                return Ok(Some(UnitState::Enabled));
            }
        }
    }
    Ok(Some(UnitState::Disabled))
}
