//! cloud-init, which brings the agent's configuration.

use super::{CheckResult, Found, joined, result};
use crate::disk::Tree;
use crate::os::unit::{UnitIndex, UnitState};
use crate::os::{ReadError, datasource_list};

/// The units that run cloud-init's first stages: up to version 24.2, and since.
const UNITS: [&str; 2] = ["cloud-init.service", "cloud-init-network.service"];

/// Where Nova has user data.
const SOURCES: [&str; 2] = ["ConfigDrive", "OpenStack"];

pub(crate) fn check(tree: &mut dyn Tree, index: &UnitIndex) -> Vec<CheckResult> {
    vec![
        result("cloud-init starts at boot", starts(tree, index))
            .why("Trove hands the agent its configuration through cloud-init")
            .fix("install cloud-init, enable it, remove /etc/cloud/cloud-init.disabled"),
        result("cloud-init reads ConfigDrive and OpenStack", sources(tree))
            .why("cloud-init ignores user data of sources that are not in datasource_list")
            .fix("set `datasource_list: [ ConfigDrive, OpenStack, None ]` in /etc/cloud/cloud.cfg.d"),
    ]
}

fn starts(tree: &mut dyn Tree, index: &UnitIndex) -> Found {
    let mut wrong = Vec::new();
    let mut states = Vec::new();
    for unit in UNITS {
        states.push((unit, index.state_behind(tree, unit)?));
    }
    if !states.iter().any(|(_, state)| *state == UnitState::Enabled) {
        let (unit, state) =
            states.iter().find(|(_, state)| *state != UnitState::NotFound).unwrap_or(&states[0]);
        wrong.push(format!("{unit} is {state}"));
    }
    const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
    if tree.exists(DISABLED.as_bytes())? {
        wrong.push(format!("{DISABLED} is there"));
    }
    Ok(joined(&wrong))
}

fn sources(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    // Without a list cloud-init tries all it knows, these among them.
    let Some(list) = datasource_list(tree)? else { return Ok(None) };
    let complete = SOURCES.iter().all(|source| list.iter().any(|name| name == source));
    Ok((!complete).then(|| format!("[{}]", list.join(", "))))
}
