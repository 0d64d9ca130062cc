//! Whether the first process is one that starts the units, and whether it may.

use super::part::Found;
use crate::disk::Tree;
use crate::inspect::{InitKind, init};
use crate::os::files::{base_name, is_directory, is_masked, optional, show};
use crate::os::unit::UnitIndex;

/// Parameters of the kernel's command line that choose another first process.
const INIT: &str = "init=";
/// Programs that are a first process and start no service.
const SHELLS: [&[u8]; 8] = [b"sh", b"bash", b"dash", b"ash", b"ksh", b"zsh", b"busybox", b"sulogin"];
/// Words with which systemd, or what is in an initial RAM disk, waits for a person at the console.
const STOPS: [&str; 11] =
    ["single", "s", "S", "-s", "1", "-b", "emergency", "rescue", "rd.emergency", "rd.rescue", "rd.break"];
/// What the first process mounts the kernel's own file systems on, where a root is still read-only.
const POINTS: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
/// Without these nothing is started.
const TARGETS: [&str; 4] = ["basic.target", "sysinit.target", "multi-user.target", "local-fs.target"];

pub(super) fn check(tree: &mut dyn Tree, command_line: Option<&str>) -> Found {
    let parameters: Vec<&str> = command_line.unwrap_or_default().split_whitespace().collect();
    let is_stop = |word: &&&str| {
        STOPS.contains(word)
            || **word == "break"
            || word.starts_with("break=")
            || word.starts_with("rd.break=")
    };
    if let Some(word) = parameters.iter().find(is_stop) {
        return Ok(Some(format!(
            "`{word}` on the kernel's command line stops the boot for a person at the console"
        )));
    }
    if let Some(program) = parameters.iter().rev().find_map(|word| word.strip_prefix(INIT)) {
        // Somebody has decided, as Debian had its users do it when systemd was new.
        let Some(path) = optional(tree.canonicalize(program.as_bytes()))? else {
            return Ok(Some(format!("the kernel is told to start {program}, which does not exist")));
        };
        if SHELLS.contains(&base_name(&path)) {
            return Ok(Some(format!("the kernel is told to start {program}, which starts no unit")));
        }
        return Ok(None);
    }
    let init = init::init(tree)?;
    if init.kind == InitKind::Missing {
        return Ok(Some("there is no /sbin/init".to_owned()));
    }
    let has_systemd = init::has_systemd(tree)?;
    if init.kind != InitKind::Systemd && has_systemd {
        return Ok(Some(format!("/sbin/init is {}, and systemd is only beside it", init.kind.name())));
    }
    if let Some(found) = cannot_run(tree, "/sbin/init")? {
        return Ok(Some(found));
    }
    let mut missing = Vec::new();
    for point in POINTS {
        if !is_directory(tree, point.as_bytes())? {
            missing.push(point);
        }
    }
    // A tree without any of them is no system that is started.
    if !missing.is_empty() && missing.len() < POINTS.len() {
        return Ok(Some(format!("there is no directory {}", missing.join(", "))));
    }
    if init.kind == InitKind::Systemd { targets(tree, &parameters) } else { Ok(None) }
}

fn cannot_run(tree: &mut dyn Tree, program: &str) -> Found {
    let Some(path) = optional(tree.canonicalize(program.as_bytes()))? else { return Ok(None) };
    let stat = tree.lstat(&path)?;
    let path = show(&path);
    Ok(if stat.size == 0 {
        Some(format!("{path} is empty"))
    } else if stat.mode & 0o111 == 0 {
        Some(format!("{path} is not executable"))
    } else {
        None
    })
}

/// Whether systemd finds the targets that it boots into: without one it goes into rescue mode.
fn targets(tree: &mut dyn Tree, parameters: &[&str]) -> Found {
    for directory in ["/etc/systemd/system", "/run/systemd/system"] {
        for target in TARGETS {
            if is_masked(tree, format!("{directory}/{target}").as_bytes())? {
                return Ok(Some(format!("{target} is masked")));
            }
        }
    }
    let masked = parameters.iter().filter_map(|word| word.strip_prefix("systemd.mask="));
    if let Some(target) = masked.into_iter().find(|unit| TARGETS.contains(unit) || *unit == "default.target")
    {
        return Ok(Some(format!("systemd.mask={target} stands on the kernel's command line")));
    }
    if parameters.iter().any(|word| word.starts_with("systemd.unit=")) {
        return Ok(None);
    }
    let default = "/etc/systemd/system/default.target";
    if is_masked(tree, default.as_bytes())? {
        return Ok(Some("default.target is masked".to_owned()));
    }
    let Some(target) = optional(tree.read_link(default.as_bytes()))? else { return Ok(None) };
    // systemd takes the name of what a link leads to.
    let name = show(base_name(&target));
    let index = UnitIndex::read(tree)?;
    let is_known =
        optional(tree.stat(default.as_bytes()))?.is_some() || index.goal(tree, Some(&name))?.is_some();
    Ok((!is_known).then(|| format!("default.target is a link to {}, which does not exist", show(&target))))
}
