//! Settings by which set-uid bits mean nothing, for the agent's user and all that he starts.

use std::collections::BTreeMap;

use super::part::Found;
use super::unit::{Agent, is_on};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::UnitFile;
use crate::os::files::{base_name, glob, join, names, read_optional, show};

/// What sudo must be able to do: become another user, with that one's groups.
const CAPABILITIES: [&str; 2] = ["CAP_SETUID", "CAP_SETGID"];

/// Settings that filter system calls. To set a filter needs privileges, or `NoNewPrivileges`.
const FILTERS: [&str; 11] = [
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "PrivateDevices",
    "ProtectClock",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
];

/// As [`FILTERS`]: lists of what the filter is about.
const FILTER_LISTS: [&str; 4] =
    ["RestrictAddressFamilies", "SystemCallArchitectures", "SystemCallFilter", "SystemCallLog"];

/// The first version of systemd that sets filters before it gives its privileges away. The settings are those of version 252,
/// with which such units were booted; that 255 does otherwise is known from its source alone.
const FILTERS_FIRST: u32 = 255;

/// Where systemd looks for its own configuration, the first directory first.
const DIRECTORIES: [&str; 3] = ["/etc/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// The setting that takes sudo its power.
pub(super) fn taken(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let name = agent.name();
    let last = |key: &str| agent.unit.last("Service", key);
    for key in ["NoNewPrivileges", "DynamicUser"] {
        if let Some(value) = last(key).filter(|value| is_on(value)) {
            return Ok(Some(format!("{key}={value} in {name}")));
        }
    }
    // Its values besides yes and no say which users there are, of whom none is root outside.
    if let Some(value) =
        last("PrivateUsers").filter(|value| is_on(value) || matches!(*value, "self" | "identity" | "full"))
    {
        return Ok(Some(format!("PrivateUsers={value} in {name}")));
    }
    let bounds = agent.unit.written("Service", "CapabilityBoundingSet");
    if let Some(capability) = CAPABILITIES.into_iter().find(|capability| !may_have(&bounds, capability)) {
        return Ok(Some(format!("CapabilityBoundingSet= in {name} is without {capability}")));
    }
    if let Some(setting) = filter(agent).filter(|_| !has_privileges(agent))
        && version(tree)?.is_some_and(|version| version < FILTERS_FIRST)
    {
        return Ok(Some(format!(
            "{setting} in {name}, with which systemd before version {FILTERS_FIRST} sets NoNewPrivileges for who is not root"
        )));
    }
    manager(tree)
}

/// Whether a set of capabilities has one. Lists add up, and `~` takes away; the first list, and one behind the full set, replaces.
fn may_have(values: &[&str], capability: &str) -> bool {
    let (mut is_full, mut has) = (true, true);
    for value in values {
        let (inverted, list) = value.strip_prefix('~').map_or((false, *value), |list| (true, list));
        let is_empty = list.trim().is_empty();
        let listed = list.split_whitespace().any(|word| word.eq_ignore_ascii_case(capability));
        if is_empty || is_full {
            has = listed != inverted;
            is_full = is_empty && inverted;
        } else if inverted {
            has &= !listed;
        } else {
            has |= listed;
        }
    }
    has
}

/// A setting that filters system calls.
fn filter(agent: &Agent) -> Option<String> {
    let on = FILTERS.into_iter().find_map(|key| {
        let value = agent.unit.last("Service", key)?;
        // Of namespaces there may be a list.
        let is_list = key == "RestrictNamespaces" && !is_off(value);
        (is_on(value) || is_list).then(|| format!("{key}={value}"))
    });
    on.or_else(|| {
        FILTER_LISTS.into_iter().find_map(|key| {
            let value = agent.unit.last("Service", key).filter(|value| *value != "~")?;
            Some(format!("{key}={value}"))
        })
    })
}

fn is_off(value: &str) -> bool {
    ["0", "no", "n", "false", "f", "off"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

/// Whether the unit keeps the capability with which a filter may be set.
fn has_privileges(agent: &Agent) -> bool {
    let kept = agent.unit.written("Service", "AmbientCapabilities");
    kept.iter().any(|value| {
        value.starts_with('~')
            || value.split_whitespace().any(|word| word.eq_ignore_ascii_case("CAP_SYS_ADMIN"))
    })
}

/// The version of systemd, by the name of its own library.
fn version(tree: &mut dyn Tree) -> Result<Option<u32>, ReadError> {
    const PREFIX: &str = "libsystemd-shared-";
    for directory in ["/usr/lib/systemd", "/usr/lib64/systemd", "/usr/lib/*/systemd", "/lib/systemd"] {
        for path in glob(tree, format!("{directory}/{PREFIX}*.so").as_bytes())? {
            let name = show(base_name(&path));
            let number = name.strip_prefix(PREFIX).unwrap_or_default();
            let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
            if let Ok(version) = number[..end].parse() {
                return Ok(Some(version));
            }
        }
    }
    Ok(None)
}

/// `NoNewPrivileges` for systemd itself, and so for all that it starts.
fn manager(tree: &mut dyn Tree) -> Found {
    let mut files = Vec::new();
    for directory in DIRECTORIES {
        let path = format!("{directory}/system.conf").into_bytes();
        if tree.exists(&path)? {
            files.push(path);
            break;
        }
    }
    let mut drop_ins = BTreeMap::new();
    for directory in DIRECTORIES {
        let directory = format!("{directory}/system.conf.d").into_bytes();
        for name in names(tree, &directory)?.into_iter().filter(|name| name.ends_with(b".conf")) {
            let path = join(&directory, &name);
            drop_ins.entry(name).or_insert(path);
        }
    }
    files.extend(drop_ins.into_values());
    let mut told = None;
    for path in files {
        let Some(text) = read_optional(tree, &path)? else { continue };
        if let Some(value) = UnitFile::parse(&text).last("Manager", "NoNewPrivileges") {
            told = is_on(value).then(|| format!("NoNewPrivileges={value} in {}", show(&path)));
        }
    }
    Ok(told)
}
