//! Whether a unit starts at boot, as `systemctl --root=IMAGE is-enabled` would say without running anything.
//!
//! This follows `src/shared/install.c` of systemd: which file counts, and which links to it count.

use std::collections::HashSet;

use super::file::{self, UnitFile};
use super::index::{Content, Directory, Entry, Found, Node, UnitIndex};
use super::{CONFIG, LINK_LIMIT, UnitState, full_name, instance, is_template, sysv};
use crate::disk::{DiskError, Tree};
use crate::os::ReadError;
use crate::os::files::base_name;

/// The state of a unit; `.service` is added to a name without suffix. A service that exists as an init script
/// only is enabled when a run level of a normal boot links to it.
///
/// # Errors
/// [`ReadError::Disk`]; a loop of links or aliases is one too.
pub fn unit_state(tree: &mut dyn Tree, name: &str) -> Result<UnitState, ReadError> {
    UnitIndex::read(tree)?.state(tree, name)
}

impl UnitIndex {
    /// As [`unit_state`]: for one who asks for more than one unit.
    ///
    /// # Errors
    /// As [`unit_state`].
    pub fn state(&self, tree: &mut dyn Tree, name: &str) -> Result<UnitState, ReadError> {
        let name = full_name(name);
        match self.follow(tree, &name)? {
            Some((resolved, found)) => Ok(self.state_of(tree, &name, &resolved, &found)?.0),
            None => Ok(sysv::state(tree, &name)?.unwrap_or(UnitState::NotFound)),
        }
    }

    /// The state that counts for a unit: that of the unit itself where the name is an alias.
    ///
    /// # Errors
    /// As [`unit_state`].
    pub(crate) fn state_behind(&self, tree: &mut dyn Tree, name: &str) -> Result<UnitState, ReadError> {
        match self.state(tree, name)? {
            UnitState::Alias(target) if target == full_name(name) => {
                let is_wanted = |known: &&Directory| known.content.wanted.contains_key(target.as_bytes());
                let wanted = self.directories().iter().filter(is_wanted).any(|known| known.path == CONFIG);
                Ok(if wanted { UnitState::Enabled } else { UnitState::Linked })
            }
            UnitState::Alias(target) => self.state(tree, &target),
            state => Ok(state),
        }
    }

    /// The state of a unit that was found, and what its files say where they had to be read.
    pub(crate) fn state_of(
        &self,
        tree: &mut dyn Tree,
        name: &str,
        resolved: &str,
        found: &Found,
    ) -> Result<(UnitState, Option<UnitFile>), DiskError> {
        if found.entry == Entry::Masked {
            let runtime = found.directory.starts_with("/run/");
            return Ok((if runtime { UnitState::MaskedRuntime } else { UnitState::Masked }, None));
        }
        if base_name(&found.path) != name.as_bytes() && instance(resolved).is_none() {
            return Ok((UnitState::Alias(resolved.to_owned()), None));
        }
        let template = instance(resolved).map(|(template, _)| template);
        let names = std::iter::once(resolved).chain(template.as_deref());
        let unit = file::read(tree, &found.path, &self.drop_ins(names))?;
        let state = match found.directory {
            "/run/systemd/generator" | "/run/systemd/generator.early" | "/run/systemd/generator.late" => {
                UnitState::Generated
            }
            "/run/systemd/transient" => UnitState::Transient,
            _ => self.installed(resolved, found, &Install::of(&unit, resolved)),
        };
        Ok((state, Some(unit)))
    }

    /// What the links to a unit, or without any its `[Install]` section, make of it.
    fn installed(&self, name: &str, found: &Found, install: &Install) -> UnitState {
        if let Some(state) = self.linked_state(name, found, Some(install)) {
            state
        } else if self.linked_state(name, found, None).is_some() {
            UnitState::Indirect
        } else if install.rules {
            UnitState::Disabled
        } else if install.also {
            UnitState::Indirect
        } else {
            UnitState::Static
        }
    }

    /// Follows aliases to the unit itself: its name and its file.
    pub(crate) fn follow(
        &self,
        tree: &mut dyn Tree,
        name: &str,
    ) -> Result<Option<(String, Found)>, DiskError> {
        let mut name = name.to_owned();
        for _ in 0..LINK_LIMIT {
            let mut found = self.find(tree, &name)?;
            if let (None, Some((template, _))) = (&found, instance(&name)) {
                found = self.find(tree, &template)?;
            }
            let Some(found) = found else { return Ok(None) };
            let Entry::Alias(target) = &found.entry else { return Ok(Some((name, found))) };
            let next = match (instance(&name), target.split_once("@.")) {
                // An instance of an alias is that instance of the template behind it.
                (Some((_, instance)), Some((prefix, suffix))) => format!("{prefix}@{instance}.{suffix}"),
                _ => target.clone(),
            };
            if next == name {
                // An instance may be a link to its own template.
                return Ok(self.follow(tree, target)?.map(|(_, found)| (name, found)));
            }
            name = next;
        }
        Err(DiskError::WrongKind { path: name, problem: "is a loop of aliases".to_owned() })
    }

    /// Looks for links to a unit. With `install`, only links of the names it would make count.
    fn linked_state(&self, name: &str, found: &Found, install: Option<&Install>) -> Option<UnitState> {
        let mut runtime = false;
        let mut vendor = false;
        let mut own_link = None;
        // Links of the unit's own name in directories that come after the unit's are hidden by it.
        let mut hidden = false;
        for Directory { path: directory, content } in self.directories() {
            let is_runtime = directory.starts_with("/run/");
            match links(content, name, hidden, install) {
                Links::Wanted if *directory == CONFIG => return Some(UnitState::Enabled),
                Links::Wanted if is_runtime => runtime = true,
                Links::Wanted => vendor = true,
                Links::OwnName if *directory == CONFIG => own_link = Some(UnitState::Linked),
                Links::OwnName if is_runtime && own_link.is_none() => {
                    own_link = Some(UnitState::LinkedRuntime);
                }
                Links::OwnName | Links::None => {}
            }
            let inside = found.path.strip_prefix(directory.as_bytes());
            hidden |= inside.is_some_and(|rest| rest.starts_with(b"/"));
        }
        if runtime {
            Some(UnitState::EnabledRuntime)
        } else if vendor && instance(name).is_some() {
            Some(UnitState::Static)
        } else {
            own_link
        }
    }
}

/// What `[Install]` asks for.
struct Install {
    /// Names of links that `systemctl enable` would make, the unit's own included.
    names: HashSet<Vec<u8>>,
    rules: bool,
    also: bool,
}

impl Install {
    fn of(unit: &UnitFile, name: &str) -> Self {
        let aliases = unit.words("Install", "Alias");
        let rules = !aliases.is_empty()
            || ["WantedBy", "RequiredBy", "UpheldBy"]
                .iter()
                .any(|key| !unit.words("Install", key).is_empty());
        let mut names = HashSet::from([name.as_bytes().to_vec()]);
        names.extend(aliases.iter().map(|alias| expand(alias, name).into_bytes()));
        if let (true, Some(default)) = (is_template(name), unit.last("Install", "DefaultInstance")) {
            names.insert(name.replacen("@.", &format!("@{default}."), 1).into_bytes());
        }
        Self { names, rules, also: !unit.words("Install", "Also").is_empty() }
    }
}

/// Expands the specifiers that make sense in an alias.
fn expand(text: &str, name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    text.replace("%i", instance)
        .replace("%I", instance)
        .replace("%p", prefix)
        .replace("%P", prefix)
        .replace("%n", name)
        .replace("%N", stem)
}

enum Links {
    /// Something links to the unit so that it is started.
    Wanted,
    /// The unit's own file is a link.
    OwnName,
    None,
}

/// The links to a unit in one directory of the search path.
fn links(content: &Content, name: &str, hidden: bool, install: Option<&Install>) -> Links {
    let known = |link: &[u8]| install.is_none_or(|install| install.names.contains(link));
    let wanted = if is_template(name) {
        // A template is wanted as one of its instances: the default one when it is enabled itself.
        content.wanted_instances(name).any(|(link, _)| known(link.as_bytes()))
    } else {
        content.wanted.contains_key(name.as_bytes())
    };
    if wanted {
        return Links::Wanted;
    }
    let pointed = content.by_target.get(name.as_bytes()).map_or(&[][..], Vec::as_slice);
    if pointed.iter().any(|link| link != name.as_bytes() && known(link)) {
        return Links::Wanted;
    }
    let own = matches!(content.entries.get(name.as_bytes()), Some(Node::Link(_)));
    match own && !hidden {
        true if pointed.iter().any(|link| link == name.as_bytes()) => Links::OwnName,
        true if known(name.as_bytes()) => Links::Wanted,
        _ => Links::None,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
