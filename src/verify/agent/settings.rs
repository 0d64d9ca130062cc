//! Settings of the agent's unit that keep it from starting, or from what it needs to do.

use super::at_boot::{entries, is_at_boot, is_mounted};
use super::conditions::failing;
use super::part::{Found, ReportPart, joined};
use super::sandbox::{hidden, missing, needed, not_executed};
use super::unit::{Agent, interpreter};
use crate::disk::fstab::FstabEntry;
use crate::disk::{FileKind, Tree};
use crate::os::files::{optional, show};
use crate::os::unit::{UnitIndex, UnitState};
use crate::os::{gid_of, groups, users};

/// Dependencies without which a unit is not started.
const NEEDS: [&str; 3] = ["Requires", "Requisite", "BindsTo"];

/// Kinds of units that no generator makes of what an image does not show.
const KINDS: [&str; 5] = [".service", ".socket", ".target", ".timer", ".path"];

pub(crate) fn check(
    tree: &mut dyn Tree,
    index: &UnitIndex,
    agent: &Agent,
    command_line: Option<&str>,
) -> ReportPart {
    let mut part = ReportPart::default();
    let name = agent.name();
    part.check(
        format!("systemd can start {name}"),
        startable(tree, index, agent, command_line),
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
pub(super) fn startable(
    tree: &mut dyn Tree,
    index: &UnitIndex,
    agent: &Agent,
    command_line: Option<&str>,
) -> Found {
    let mut wrong: Vec<String> = agent.unit.refusal().map(str::to_owned).into_iter().collect();
    wrong.extend(working_directory(tree, agent)?);
    let known = groups(tree)?;
    for group in agent.unit.words("Service", "SupplementaryGroups") {
        if gid_of(&known, group).is_none() && group.parse::<u32>().is_err() && !group.contains('%') {
            wrong.push(format!("SupplementaryGroups={group}, and there is no such group"));
        }
    }
    for kind in ["Condition", "Assert"] {
        wrong.extend(failing(tree, agent, command_line, kind)?);
    }
    wrong.extend(missing(tree, agent)?);
    for setting in NEEDS {
        for other in agent.unit.words("Unit", setting) {
            let is_mount = other.ends_with(".mount");
            if !(is_mount || KINDS.iter().any(|kind| other.ends_with(kind))) || other.contains('%') {
                continue;
            }
            let state = index.state_behind(tree, other)?;
            if matches!(state, UnitState::NotFound | UnitState::Masked | UnitState::Bad)
                && !(is_mount && state == UnitState::NotFound && is_mounted(tree, other)?)
            {
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

/// Where the program, its interpreter and what the agent needs lie: hidden from the unit, or where nothing may be executed.
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
        wrong.extend(not_executed(agent, &path).map(|setting| format!("{path} is hidden by {setting}")));
        if let Some(entry) = forbidding(&entries, &path, "noexec", "exec", &["user", "users"]) {
            wrong.push(format!("{path} lies on {}, which /etc/fstab mounts with noexec", point(entry)));
        }
    }
    for path in needed(agent) {
        let real = optional(tree.canonicalize(path.as_bytes()))?.map(|real| show(&real));
        let setting = hidden(agent, path).or_else(|| hidden(agent, &real?));
        wrong.extend(setting.map(|setting| format!("{path} is hidden by {setting}")));
    }
    wrong.dedup();
    Ok(joined(&wrong))
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
