//! All units of an image, as `systemctl --root=IMAGE list-unit-files` lists them, and more about each.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::UnitState;
use super::file::{self, UnitFile, drop_in_names};
use super::index::{Entry, Node, UnitIndex};
use super::preset::{Preset, Presets};
use super::{is_template, is_valid};
use crate::disk::{DiskError, Tree};
use crate::os::ReadError;
use crate::os::files::{join, show, too_much};

/// A unit file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Unit {
    /// Its name with suffix, such as `ssh.service`.
    pub name: String,
    /// What systemd would do with it at boot, in systemd's words.
    #[schemars(extend("enum" = STATES))]
    pub state: String,
    /// What `systemctl preset` would make of it; absent where a preset does not apply.
    pub preset: Option<Preset>,
    /// Its entry in the search path.
    pub path: String,
    /// What it is, in its own words.
    pub description: Option<String>,
    /// The unit it is another name of.
    pub alias_of: Option<String>,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Units in whose `.wants` directories it is linked.
    pub wanted_by: Vec<String>,
    /// Units in whose `.requires` directories it is linked.
    pub required_by: Vec<String>,
    /// Units in whose `.upholds` directories it is linked.
    pub upheld_by: Vec<String>,
    /// Files that add to it, in the order in which they count.
    pub drop_ins: Vec<String>,
    /// A template's instances that something is linked to start.
    pub instances: Vec<Instance>,
    /// Why its state is `bad`.
    pub problem: Option<String>,
}

/// An instance of a template, such as `getty@tty1.service`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// As [`Unit::state`].
    #[schemars(extend("enum" = STATES))]
    pub state: String,
    /// Units that want or require it.
    pub wanted_by: Vec<String>,
}

/// Every word a state can be.
const STATES: [&str; 13] = [
    "enabled",
    "enabled-runtime",
    "linked",
    "linked-runtime",
    "alias",
    "masked",
    "masked-runtime",
    "static",
    "indirect",
    "disabled",
    "generated",
    "transient",
    "bad",
];

/// Drop-ins of all units together; real systems have a hundred.
const DROP_IN_LIMIT: usize = 100_000;

/// All units, sorted by name.
///
/// # Errors
/// [`ReadError::Disk`] when a directory of the search path or a unit's file cannot be read. A unit that is
/// only bad itself, a loop of links for example, is listed as such.
pub fn list(tree: &mut dyn Tree, index: &UnitIndex) -> Result<Vec<Unit>, ReadError> {
    let presets = Presets::read(tree)?;
    let names = names(index);
    let mut units = Vec::with_capacity(names.len());
    let mut drop_ins = 0;
    for (name, directory) in names {
        let unit = unit(tree, index, &presets, name, directory)?;
        // One directory can add to every unit there is.
        drop_ins += unit.drop_ins.len();
        if drop_ins > DROP_IN_LIMIT {
            return Err(too_much(format!("{name}.d").as_bytes()).into());
        }
        units.push(unit);
    }
    let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for unit in &units {
        if let Some(target) = &unit.alias_of {
            aliases.entry(target.clone()).or_default().push(unit.name.clone());
        }
    }
    for unit in &mut units {
        unit.aliases = aliases.remove(&unit.name).unwrap_or_default();
    }
    Ok(units)
}

/// The names of all units, each with the first directory that has it.
pub(crate) fn names(index: &UnitIndex) -> BTreeMap<&str, &'static str> {
    let mut names = BTreeMap::new();
    for directory in index.directories() {
        for (name, node) in &directory.content.entries {
            let is_unit = matches!(node, Node::File { .. } | Node::Link(_)) && is_valid(name);
            if let (true, Ok(name)) = (is_unit, std::str::from_utf8(name)) {
                names.entry(name).or_insert(directory.path);
            }
        }
    }
    names
}

fn unit(
    tree: &mut dyn Tree,
    index: &UnitIndex,
    presets: &Presets,
    name: &str,
    directory: &str,
) -> Result<Unit, ReadError> {
    let (state, file, problem) = examine(tree, index, name)?;
    // As `systemctl` does: a preset says nothing about units that cannot be enabled.
    let preset = match &state {
        UnitState::Alias(_) | UnitState::Static | UnitState::Generated | UnitState::Transient => None,
        _ => Some(presets.of(name)),
    };
    let mut instances = Vec::new();
    if is_template(name) {
        for instance in index.instances_of(name) {
            let (state, ..) = examine(tree, index, &instance)?;
            let mut wanted_by = index.users_of(&instance, ".wants");
            wanted_by.extend(index.users_of(&instance, ".requires"));
            instances.push(Instance { name: instance, state: state.name().to_owned(), wanted_by });
        }
    }
    let names = drop_in_names(name);
    let drop_ins = match state {
        UnitState::Alias(_) | UnitState::Masked | UnitState::MaskedRuntime => Vec::new(),
        _ => index.drop_ins(names.iter().map(String::as_str)),
    };
    Ok(Unit {
        name: name.to_owned(),
        state: state.name().to_owned(),
        preset,
        path: show(&join(directory.as_bytes(), name.as_bytes())),
        description: file.and_then(|file| file.last("Unit", "Description").map(str::to_owned)),
        alias_of: match state {
            UnitState::Alias(target) if target != name => Some(target),
            _ => None,
        },
        aliases: Vec::new(),
        wanted_by: index.users_of(name, ".wants"),
        required_by: index.users_of(name, ".requires"),
        upheld_by: index.users_of(name, ".upholds"),
        drop_ins: drop_ins.iter().map(|path| show(path)).collect(),
        instances,
        problem,
    })
}

/// The state of a unit, what its files say if they were read, and why it is bad.
fn examine(
    tree: &mut dyn Tree,
    index: &UnitIndex,
    name: &str,
) -> Result<(UnitState, Option<UnitFile>, Option<String>), ReadError> {
    let examined = index.follow(tree, name).and_then(|followed| {
        let Some((resolved, found)) = followed else {
            return Ok((UnitState::Bad, None, Some("leads nowhere".to_owned())));
        };
        let (state, mut file) = index.state_of(tree, name, &resolved, &found)?;
        // Another name of a unit says what the unit is all the same.
        if file.is_none() && found.entry == Entry::Regular {
            file = Some(file::read(tree, &found.path, &[])?);
        }
        Ok((state, file, None))
    });
    match examined {
        Err(DiskError::WrongKind { problem, .. }) => Ok((UnitState::Bad, None, Some(problem))),
        Err(error @ DiskError::NotDirectory(_)) => Ok((UnitState::Bad, None, Some(error.to_string()))),
        other => Ok(other?),
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
