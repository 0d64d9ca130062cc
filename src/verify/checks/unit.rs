//! Units of systemd and the links between them.

use super::{Found, listed};
use crate::check::ServiceState;
use crate::disk::Tree;
use crate::os::unit::{UnitIndex, UnitState, WANTS, dangling_links};

pub(super) fn check(
    index: &UnitIndex,
    tree: &mut dyn Tree,
    name: &str,
    exists: bool,
    wanted: Option<ServiceState>,
) -> Found {
    let state = index.state_behind(tree, name)?;
    let right = match wanted {
        None => (state != UnitState::NotFound) == exists,
        Some(ServiceState::Enabled) => state == UnitState::Enabled,
        // A masked unit does not start by itself either. A missing one is more likely a misspelt name.
        Some(ServiceState::Disabled) => matches!(state, UnitState::Disabled | UnitState::Masked),
        Some(ServiceState::Masked) => state == UnitState::Masked,
    };
    if right && wanted == Some(ServiceState::Enabled) && name.ends_with(".service") {
        let refusal = index.load(tree, name)?.and_then(|unit| unit.refusal());
        return Ok(refusal.map(|reason| format!("enabled, and systemd refuses it: {reason}")));
    }
    Ok((!right).then(|| state.to_string()))
}

/// All directories of units are looked at, and aliases too.
pub(super) fn links(tree: &mut dyn Tree) -> Found {
    const DIRECTORIES: [&str; 4] = [
        "/etc/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let mut patterns = Vec::new();
    for (number, directory) in DIRECTORIES.iter().enumerate() {
        // Where /usr is merged, the last two are one.
        if number == 3 && tree.canonicalize(b"/lib").is_ok_and(|path| path == b"/usr/lib") {
            continue;
        }
        patterns.extend(WANTS.map(|kind| format!("{directory}/*{kind}/*")));
        patterns.push(format!("{directory}/*"));
    }
    Ok(listed(&dangling_links(tree, &patterns)?))
}
