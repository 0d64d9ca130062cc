//! Services that exist as `/etc/init.d` scripts only.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::{UnitIndex, UnitState, is_valid};
use crate::disk::{DiskError, FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{names, optional};

/// The run levels that stand for a normal boot.
const RUN_LEVELS: [&str; 5] = ["S", "2", "3", "4", "5"];

/// The state of the unit systemd's generator would make of an init script; `None` when there is no script.
pub(crate) fn state(tree: &mut dyn Tree, unit: &str) -> Result<Option<UnitState>, DiskError> {
    let Some(script) = unit.strip_suffix(".service") else { return Ok(None) };
    match optional(tree.stat(format!("/etc/init.d/{script}").as_bytes()))? {
        Some(stat) if stat.kind == FileKind::File => {}
        _ => return Ok(None),
    }
    let is_started = started(tree)?.contains(script.as_bytes());
    Ok(Some(if is_started { UnitState::Enabled } else { UnitState::Disabled }))
}

/// The names of the scripts that a normal boot starts: links `S`, two characters, name.
fn started(tree: &mut dyn Tree) -> Result<HashSet<Vec<u8>>, DiskError> {
    let mut started = HashSet::new();
    for level in RUN_LEVELS {
        // Debian's place, and Red Hat's, where the former links to the latter or does not exist.
        for directory in [format!("/etc/rc{level}.d"), format!("/etc/rc.d/rc{level}.d")] {
            let links = names(tree, directory.as_bytes())?;
            let scripts = links.iter().filter_map(|link| link.strip_prefix(b"S")?.get(2..));
            started.extend(scripts.map(<[u8]>::to_vec));
        }
    }
    Ok(started)
}

/// An init script for which there is no unit file, so that systemd's generator, or the old init, starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InitScript {
    /// Its name in `/etc/init.d`.
    pub name: String,
    /// A run level of a normal boot starts it.
    pub enabled: bool,
}

/// The init scripts that have no unit file, sorted by name.
///
/// # Errors
/// [`ReadError::Disk`].
pub fn init_scripts(tree: &mut dyn Tree, index: &UnitIndex) -> Result<Vec<InitScript>, ReadError> {
    let started = started(tree)?;
    let mut scripts = Vec::new();
    for script in names(tree, b"/etc/init.d")? {
        let script = String::from_utf8_lossy(&script).into_owned();
        let Some(stat) = optional(tree.stat(format!("/etc/init.d/{script}").as_bytes()))? else { continue };
        // The generator takes executable files; README and function libraries are none.
        if stat.kind != FileKind::File || stat.mode & 0o100 == 0 {
            continue;
        }
        let unit = format!("{}.service", script.strip_suffix(".sh").unwrap_or(&script));
        if !is_valid(unit.as_bytes()) || index.find(tree, &unit)?.is_some() {
            continue;
        }
        let enabled = started.contains(script.as_bytes());
        scripts.push(InitScript { name: script, enabled });
    }
    Ok(scripts)
}
