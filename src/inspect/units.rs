//! systemd units and init scripts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::unit::{InitScript, Unit, UnitIndex, init_scripts, list};

/// systemd units, and init scripts that have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Units {
    /// What a boot leads to, such as `multi-user.target`.
    pub default_target: Option<String>,
    /// How many units are in each state.
    pub counts: BTreeMap<String, usize>,
    /// All unit files, sorted by name.
    pub units: Vec<Unit>,
    /// Init scripts without a unit file, sorted by name.
    pub init_scripts: Vec<InitScript>,
}

pub(crate) fn units(tree: &mut dyn Tree) -> Result<Units, ReadError> {
    let index = UnitIndex::read(tree)?;
    let units = list(tree, &index)?;
    let mut counts = BTreeMap::new();
    for unit in &units {
        *counts.entry(unit.state.clone()).or_insert(0) += 1;
    }
    let default = units.iter().find(|unit| unit.name == "default.target");
    Ok(Units {
        default_target: default.map(|unit| unit.alias_of.clone().unwrap_or_else(|| unit.name.clone())),
        counts,
        init_scripts: init_scripts(tree, &index)?,
        units,
    })
}
