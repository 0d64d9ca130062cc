//! Whether a unit starts at boot, as `systemctl --root=IMAGE is-enabled` would say without running anything.
//!
//! This follows `src/shared/install.c` of systemd: which file counts, and which links to it count.

use std::fmt;

use serde::Serialize;

use super::file::{self, UnitFile};
use super::{CONFIG, Entry, Found, LINK_LIMIT, SEARCH_PATH, find, full_name, instance, is_template, sysv};
use crate::disk::{DiskError, FileKind, Tree};
use crate::verify::VerifyError;
use crate::verify::look::{base_name, join, names, optional};

/// A unit's state, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// It starts at boot.
    Enabled,
    /// Enabled below `/run`, which a boot forgets.
    EnabledRuntime,
    /// Its file is outside the search path and linked into it, but nothing starts it.
    Linked,
    /// As [`Linked`](Self::Linked), below `/run`.
    LinkedRuntime,
    /// Another name of this unit.
    Alias(String),
    /// It cannot be started.
    Masked,
    /// Masked below `/run`, which a boot forgets.
    MaskedRuntime,
    /// It has no `[Install]` section: only other units start it.
    Static,
    /// Not enabled itself; enabling it enables others, or it is enabled under another name.
    Indirect,
    /// It does not start by itself.
    Disabled,
    /// A generator made it.
    Generated,
    /// It was made at run time.
    Transient,
    /// There is no such unit.
    NotFound,
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enabled => "enabled",
            Self::EnabledRuntime => "enabled-runtime",
            Self::Linked => "linked",
            Self::LinkedRuntime => "linked-runtime",
            Self::Alias(_) => "alias",
            Self::Masked => "masked",
            Self::MaskedRuntime => "masked-runtime",
            Self::Static => "static",
            Self::Indirect => "indirect",
            Self::Disabled => "disabled",
            Self::Generated => "generated",
            Self::Transient => "transient",
            Self::NotFound => "not-found",
        })
    }
}

/// The state of a unit; `.service` is added to a name without suffix. A service that exists as an init script
/// only is enabled when a run level of a normal boot links to it.
///
/// # Errors
/// [`VerifyError::Disk`]; a loop of links or aliases is one too.
pub fn unit_state(tree: &mut dyn Tree, name: &str) -> Result<UnitState, VerifyError> {
    let name = full_name(name);
    let Some((resolved, found)) = follow(tree, &name)? else {
        return Ok(sysv::state(tree, &name)?.unwrap_or(UnitState::NotFound));
    };
    if found.entry == Entry::Masked {
        let runtime = found.directory.starts_with("/run/");
        return Ok(if runtime { UnitState::MaskedRuntime } else { UnitState::Masked });
    }
    if base_name(&found.path) != name.as_bytes() && instance(&resolved).is_none() && resolved != name {
        return Ok(UnitState::Alias(resolved));
    }
    match found.directory {
        "/run/systemd/generator" | "/run/systemd/generator.early" | "/run/systemd/generator.late" => {
            return Ok(UnitState::Generated);
        }
        "/run/systemd/transient" => return Ok(UnitState::Transient),
        _ => {}
    }
    let template = instance(&resolved).map(|(template, _)| template);
    let unit = file::read(tree, &found.path, &resolved, template.as_deref())?;
    let install = Install::of(&unit, &resolved);
    if let Some(state) = linked_state(tree, &resolved, &found, Some(&install))? {
        return Ok(state);
    }
    Ok(if linked_state(tree, &resolved, &found, None)?.is_some() {
        UnitState::Indirect
    } else if install.rules {
        UnitState::Disabled
    } else if install.also {
        UnitState::Indirect
    } else {
        UnitState::Static
    })
}

/// The state that counts for a unit: that of the unit itself where the name is an alias.
///
/// # Errors
/// As [`unit_state`].
pub(in crate::verify) fn resolve_alias(tree: &mut dyn Tree, name: &str) -> Result<UnitState, VerifyError> {
    match unit_state(tree, name)? {
        UnitState::Alias(target) => unit_state(tree, &target),
        state => Ok(state),
    }
}

/// Follows aliases to the unit itself: its name and its file.
fn follow(tree: &mut dyn Tree, name: &str) -> Result<Option<(String, Found)>, DiskError> {
    let mut name = name.to_owned();
    for _ in 0..LINK_LIMIT {
        let mut found = find(tree, &name)?;
        if let (None, Some((template, _))) = (&found, instance(&name)) {
            found = find(tree, &template)?;
        }
        let Some(found) = found else { return Ok(None) };
        let Entry::Alias(target) = &found.entry else { return Ok(Some((name, found))) };
        name = match (instance(&name), target.split_once("@.")) {
            // An instance of an alias is that instance of the template behind it.
            (Some((_, instance)), Some((prefix, suffix))) => format!("{prefix}@{instance}.{suffix}"),
            _ => target.clone(),
        };
    }
    Err(DiskError::WrongKind { path: name, problem: "is a loop of aliases".to_owned() })
}

/// What `[Install]` asks for.
struct Install {
    /// Names of links that `systemctl enable` would make, the unit's own included.
    names: Vec<String>,
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
        let mut names = vec![name.to_owned()];
        names.extend(aliases.iter().map(|alias| expand(alias, name)));
        if let (true, Some(default)) = (is_template(name), unit.last("Install", "DefaultInstance")) {
            names.push(name.replacen("@.", &format!("@{default}."), 1));
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

/// Looks for links to a unit. With `install`, only links of the names it would make count.
fn linked_state(
    tree: &mut dyn Tree,
    name: &str,
    found: &Found,
    install: Option<&Install>,
) -> Result<Option<UnitState>, DiskError> {
    let mut runtime = false;
    let mut vendor = false;
    let mut own_link = None;
    // Links of the unit's own name in directories that come after the unit's are hidden by it.
    let mut hidden = false;
    for directory in SEARCH_PATH {
        let is_runtime = directory.starts_with("/run/");
        match search_directory(tree, directory, name, hidden, install)? {
            Links::Wanted if directory == CONFIG => return Ok(Some(UnitState::Enabled)),
            Links::Wanted if is_runtime => runtime = true,
            Links::Wanted => vendor = true,
            Links::OwnName if directory == CONFIG => own_link = Some(UnitState::Linked),
            Links::OwnName if is_runtime && own_link.is_none() => own_link = Some(UnitState::LinkedRuntime),
            Links::OwnName | Links::None => {}
        }
        let inside = found.path.strip_prefix(directory.as_bytes());
        hidden |= inside.is_some_and(|rest| rest.starts_with(b"/"));
    }
    Ok(if runtime {
        Some(UnitState::EnabledRuntime)
    } else if vendor && instance(name).is_some() {
        Some(UnitState::Static)
    } else {
        own_link
    })
}

enum Links {
    /// Something links to the unit so that it is started.
    Wanted,
    /// The unit's own file is a link.
    OwnName,
    None,
}

fn search_directory(
    tree: &mut dyn Tree,
    directory: &str,
    name: &str,
    hidden: bool,
    install: Option<&Install>,
) -> Result<Links, DiskError> {
    let entries = names(tree, directory.as_bytes())?;
    for entry in &entries {
        let wants = [".wants", ".requires", ".upholds"].iter().any(|end| entry.ends_with(end.as_bytes()));
        if !wants {
            continue;
        }
        let wants = join(directory.as_bytes(), entry);
        for link in wanted_names(tree, &wants, name, install)? {
            let link = join(&wants, &link);
            if optional(tree.lstat(&link))?.is_some_and(|stat| stat.kind == FileKind::Symlink) {
                return Ok(Links::Wanted);
            }
        }
    }
    let mut own_name = false;
    for entry in &entries {
        let path = join(directory.as_bytes(), entry);
        if optional(tree.lstat(&path))?.is_none_or(|stat| stat.kind != FileKind::Symlink) {
            continue;
        }
        let target = tree.read_link(&path)?;
        let named = !hidden && entry == name.as_bytes();
        let pointed = base_name(&target) == name.as_bytes();
        if named && pointed {
            own_name = true;
        } else if (named || pointed)
            && install.is_none_or(|install| install.names.iter().any(|known| known.as_bytes() == entry))
        {
            return Ok(Links::Wanted);
        }
    }
    Ok(if own_name { Links::OwnName } else { Links::None })
}

/// The names a link in a `.wants` directory may have to count for a unit.
fn wanted_names(
    tree: &mut dyn Tree,
    wants: &[u8],
    name: &str,
    install: Option<&Install>,
) -> Result<Vec<Vec<u8>>, DiskError> {
    if !is_template(name) {
        return Ok(vec![name.as_bytes().to_vec()]);
    }
    // A template is wanted as one of its instances: the default one when it is enabled itself.
    let is_instance = |link: &[u8]| {
        let link = String::from_utf8_lossy(link);
        instance(&link).is_some_and(|(template, _)| template == name)
            && install.is_none_or(|install| install.names.iter().any(|known| *known == link))
    };
    Ok(names(tree, wants)?.into_iter().filter(|link| is_instance(link)).collect())
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
