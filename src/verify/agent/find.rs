//! Finding the guest agent of an image, by its unit.

use super::unit::Agent;
use super::venv::Venv;
use crate::disk::{DiskError, Tree};
use crate::os::unit;
use crate::os::unit::UnitState;
use crate::os::{ReadError, UnitIndex};

/// Names under which guest agents are installed, in the order in which they are looked for.
const UNITS: [&str; 5] = [
    "guest-agent.service",
    "trove-guestagent.service",
    "trove-guest.service",
    "trove-guest-agent.service",
    "openstack-trove-guestagent.service",
];

/// Part of the names of other units that are looked into for an agent.
const HINTS: [&str; 3] = ["trove", "guest", "agent"];

impl Agent {
    /// Finds it: with `venv`, the virtual environment that a recipe puts its agent into, by what its unit runs there;
    /// otherwise by the name of its unit, or by a program that is called like an agent.
    pub(crate) fn find(
        tree: &mut dyn Tree,
        index: &UnitIndex,
        venv: Option<&str>,
    ) -> Result<Option<Self>, ReadError> {
        match venv {
            Some(venv) => Self::in_venv(tree, index, venv),
            None => Self::called_like_one(tree, index),
        }
    }

    fn in_venv(tree: &mut dyn Tree, index: &UnitIndex, venv: &str) -> Result<Option<Self>, ReadError> {
        let venv = Venv::new(tree, venv)?;
        let names = unit::names(index);
        let known = UNITS.into_iter().filter(|name| names.contains_key(name));
        for name in known.chain(names.keys().copied().filter(|name| name.ends_with(".service"))) {
            let found = Self::read(tree, index, name, |agent, tree| venv.runs(tree, agent))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn called_like_one(tree: &mut dyn Tree, index: &UnitIndex) -> Result<Option<Self>, ReadError> {
        for name in UNITS {
            if index.state(tree, name)? != UnitState::NotFound {
                let unit = index.load(tree, name)?.unwrap_or_default();
                return Ok(Some(Self::new(tree, name, unit)?));
            }
        }
        let hinted = |name: &&str| name.ends_with(".service") && HINTS.iter().any(|hint| name.contains(hint));
        for name in unit::names(index).into_keys().filter(hinted) {
            let found = Self::read(tree, index, name, |agent, tree| agent.runs_agent(tree))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Reads a unit, if it is one and `wanted`. One that is bad itself, a loop of links for example, is not.
    fn read(
        tree: &mut dyn Tree,
        index: &UnitIndex,
        name: &str,
        wanted: impl FnOnce(&Self, &mut dyn Tree) -> Result<bool, ReadError>,
    ) -> Result<Option<Self>, ReadError> {
        let examine = || -> Result<Option<Self>, ReadError> {
            let Some(unit) = index.load(tree, name)? else { return Ok(None) };
            // The unit that it is another name of is looked at itself.
            if matches!(index.state(tree, name)?, UnitState::Alias(target) if target != name) {
                return Ok(None);
            }
            let found = Self::new(tree, name, unit)?;
            Ok(wanted(&found, tree)?.then_some(found))
        };
        match examine() {
            Err(ReadError::Disk(DiskError::WrongKind { .. } | DiskError::NotDirectory(_))) => Ok(None),
            found => found,
        }
    }
}
