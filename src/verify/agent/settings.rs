//! Settings of the agent's unit that keep it from starting, or from what it needs to do.

use super::part::{Found, ReportPart, joined};
use super::unit::{Agent, interpreter};
use crate::disk::fstab::{self, FstabEntry};
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{names, optional, read_optional, show};
use crate::os::fnmatch::glob;
use crate::os::unit::{UnitIndex, UnitState};
use crate::os::{gid_of, groups, users};

/// What is there in a running instance only, or is written when it boots.
const AT_BOOT: [&str; 9] =
    ["/run", "/proc", "/sys", "/dev", "/tmp", "/var", "/etc/trove", "/etc/machine-id", "/mnt"];

/// Dependencies without which a unit is not started.
const NEEDS: [&str; 3] = ["Requires", "Requisite", "BindsTo"];

/// Kinds of units that no generator makes of what an image does not show.
const KINDS: [&str; 5] = [".service", ".socket", ".target", ".timer", ".path"];

pub(crate) fn check(tree: &mut dyn Tree, index: &UnitIndex, agent: &Agent) -> ReportPart {
    let mut part = ReportPart::default();
    let name = agent.name();
    part.check(
        format!("systemd can start {name}"),
        startable(tree, index, agent),
        "systemd does not start a unit that it refuses, whose conditions do not hold, or that needs what is not there",
        "correct the setting in the unit or its drop-in, or make what it names in the recipe",
    );
    part.check(
        format!("{name} may run its program where it lies"),
        places(tree, agent),
        "the unit would fail at its program, and the instance stay in BUILD",
        "move the program, or take the setting out of the unit or of /etc/fstab",
    );
    part
}

/// Why systemd would not start a unit, whose program is looked at elsewhere.
pub(super) fn startable(tree: &mut dyn Tree, index: &UnitIndex, agent: &Agent) -> Found {
    let mut wrong: Vec<String> = agent.unit.refusal().map(str::to_owned).into_iter().collect();
    wrong.extend(working_directory(tree, agent)?);
    let known = groups(tree)?;
    for group in agent.unit.words("Service", "SupplementaryGroups") {
        if gid_of(&known, group).is_none() && group.parse::<u32>().is_err() && !group.contains('%') {
            wrong.push(format!("SupplementaryGroups={group}, and there is no such group"));
        }
    }
    for kind in ["Condition", "Assert"] {
        wrong.extend(conditions(tree, agent, kind)?);
    }
    for setting in NEEDS {
        for other in agent.unit.words("Unit", setting) {
            if !KINDS.iter().any(|kind| other.ends_with(kind)) || other.contains('%') {
                continue;
            }
            let state = index.state_behind(tree, other)?;
            if matches!(state, UnitState::NotFound | UnitState::Masked | UnitState::Bad) {
                wrong.push(format!("{setting}={other}, which is {state}"));
            }
        }
    }
    Ok(joined(&wrong))
}

fn working_directory(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let Some(path) = agent.unit.last("Service", "WorkingDirectory").filter(|path| !path.starts_with('-'))
    else {
        return Ok(None);
    };
    let path = match path {
        "~" => users(tree)?.into_iter().find(|user| user.name == agent.user()).map(|user| user.home),
        path => Some(path.to_owned()),
    }
    .unwrap_or_default();
    if path.is_empty() || path.contains('%') || is_at_boot(&path) {
        return Ok(None);
    }
    let stat = optional(tree.stat(path.as_bytes()))?;
    Ok(match stat.map(|stat| stat.kind) {
        Some(FileKind::Directory) => None,
        Some(_) => Some(format!("WorkingDirectory={path} is no directory")),
        None => Some(format!("WorkingDirectory={path} does not exist")),
    })
}

fn is_at_boot(path: &str) -> bool {
    AT_BOOT
        .iter()
        .any(|place| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Conditions that cannot hold. Of those with `|` one has to, of the others all. What is not known at rest may hold.
fn conditions(tree: &mut dyn Tree, agent: &Agent, kind: &str) -> Result<Vec<String>, ReadError> {
    const ABOUT: [&str; 8] = [
        "PathExists",
        "PathExistsGlob",
        "PathIsDirectory",
        "PathIsSymbolicLink",
        "FileNotEmpty",
        "DirectoryNotEmpty",
        "FileIsExecutable",
        "Virtualization",
    ];
    let (mut wrong, mut any, mut alternatives) = (Vec::new(), false, Vec::new());
    for about in ABOUT {
        let key = format!("{kind}{about}");
        for line in agent.unit.all("Unit", &key) {
            let (triggers, value) = match line.strip_prefix('|') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, line),
            };
            let (negated, plain) = match value.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, value),
            };
            let holds = holds(tree, about, plain, negated)?.unwrap_or(true);
            let shown = format!("{key}={line} does not hold");
            match (triggers, holds) {
                (true, true) => any = true,
                (true, false) => alternatives.push(shown),
                (false, true) => {}
                (false, false) => wrong.push(shown),
            }
        }
    }
    // Another that is not looked at may be the one that holds.
    let prefix = |line: &&str| line.starts_with('|');
    let others = [
        "KernelCommandLine",
        "Host",
        "Architecture",
        "Security",
        "FirstBoot",
        "KernelVersion",
        "User",
        "Memory",
        "CPUs",
    ];
    any |= others.iter().any(|about| agent.unit.all("Unit", &format!("{kind}{about}")).iter().any(prefix));
    if !any {
        wrong.extend(alternatives);
    }
    Ok(wrong)
}

/// Whether a condition holds, turned around if it is `negated`; `None` if that is not known at rest.
fn holds(tree: &mut dyn Tree, about: &str, value: &str, negated: bool) -> Result<Option<bool>, ReadError> {
    if about == "Virtualization" {
        // An instance is a virtual machine, and no container.
        const CONTAINERS: [&str; 7] =
            ["container", "docker", "podman", "lxc", "lxc-libvirt", "systemd-nspawn", "private-users"];
        let holds = match value.to_ascii_lowercase().as_str() {
            "yes" | "true" | "1" | "on" | "vm" => true,
            "no" | "false" | "0" | "off" => false,
            other if CONTAINERS.contains(&other) => false,
            _ => return Ok(None),
        };
        return Ok(Some(holds != negated));
    }
    if !value.starts_with('/') || value.contains('%') || is_at_boot(value) {
        return Ok(None);
    }
    let path = value.as_bytes();
    let stat = optional(tree.stat(path))?;
    let kind = stat.as_ref().map(|stat| stat.kind);
    let found = match about {
        "PathExists" => stat.is_some(),
        "PathExistsGlob" => !glob(tree, path)?.is_empty(),
        "PathIsDirectory" => kind == Some(FileKind::Directory),
        "PathIsSymbolicLink" => {
            optional(tree.lstat(path))?.is_some_and(|stat| stat.kind == FileKind::Symlink)
        }
        "FileNotEmpty" => stat.is_some_and(|stat| stat.kind == FileKind::File && stat.size > 0),
        "DirectoryNotEmpty" => !names(tree, path)?.is_empty(),
        "FileIsExecutable" => stat.is_some_and(|stat| stat.kind == FileKind::File && stat.mode & 0o111 != 0),
        _ => return Ok(None),
    };
    Ok(Some(found != negated))
}

/// Where the program and its interpreter lie: hidden from the unit, or where nothing may be executed.
fn places(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let Some(program) = agent.program(tree)? else { return Ok(None) };
    let mut paths = vec![program.clone()];
    if optional(tree.stat(&program))?.is_some_and(|stat| stat.kind == FileKind::File) {
        paths.extend(interpreter(tree, &program)?);
    }
    let entries = entries(tree)?;
    let mut wrong = Vec::new();
    for path in paths {
        let Some(real) = optional(tree.canonicalize(&path))? else { continue };
        let path = show(&real);
        wrong.extend(hidden(agent, &path).map(|setting| format!("{path} is hidden by {setting}")));
        if let Some(entry) = forbidding(&entries, &path, "noexec", "exec", &["user", "users"]) {
            wrong.push(format!("{path} lies on {}, which /etc/fstab mounts with noexec", point(entry)));
        }
    }
    wrong.dedup();
    Ok(joined(&wrong))
}

/// The setting that hides a path from a unit.
fn hidden(agent: &Agent, path: &str) -> Option<String> {
    let is_below = |place: &str| {
        let place = place.trim_start_matches(['-', '+']).trim_end_matches('/');
        path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let homes = agent.unit.last("Service", "ProtectHome").unwrap_or_default();
    if matches!(homes, "yes" | "true" | "1" | "on" | "tmpfs")
        && ["/home", "/root", "/run/user"].into_iter().any(is_below)
    {
        return Some(format!("ProtectHome={homes}"));
    }
    let shown = ["BindPaths", "BindReadOnlyPaths", "ExecPaths"];
    let shown = shown.iter().flat_map(|key| agent.unit.words("Service", key));
    if shown.into_iter().any(|place| is_below(place.split(':').next_back().unwrap_or(place))) {
        return None;
    }
    for key in ["InaccessiblePaths", "InaccessibleDirectories", "TemporaryFileSystem", "NoExecPaths"] {
        let place = agent.unit.words("Service", key).into_iter().find(|place| {
            let place = place.split(':').next().unwrap_or(place);
            is_below(place)
        });
        if let Some(place) = place {
            return Some(format!("{key}={place}"));
        }
    }
    None
}

/// What `/etc/fstab` mounts when the system boots.
pub(super) fn entries(tree: &mut dyn Tree) -> Result<Vec<FstabEntry>, ReadError> {
    let text = read_optional(tree, b"/etc/fstab")?.unwrap_or_default();
    let mut entries = fstab::parse(&String::from_utf8_lossy(&text));
    entries.retain(|entry| !entry.later);
    Ok(entries)
}

/// The file system that a path without links lies on, if its options say `no` and not `yes` behind that; `implying` are options
/// that mean `no` as well.
pub(super) fn forbidding<'a>(
    entries: &'a [FstabEntry],
    path: &str,
    no: &str,
    yes: &str,
    implying: &[&str],
) -> Option<&'a FstabEntry> {
    let lies_on =
        |entry: &&FstabEntry| path.strip_prefix(&entry.point).is_some_and(|rest| rest.starts_with('/'));
    let entry = entries.iter().filter(lies_on).max_by_key(|entry| entry.point.len())?;
    let mut forbidden = false;
    for option in entry.options.iter().map(String::as_str) {
        if option == yes {
            forbidden = false;
        } else if option == no || implying.contains(&option) {
            forbidden = true;
        }
    }
    forbidden.then_some(entry)
}

/// Where an entry is mounted.
pub(super) fn point(entry: &FstabEntry) -> &str {
    if entry.point.is_empty() { "/" } else { &entry.point }
}
