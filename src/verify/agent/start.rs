//! Whether the agent's unit starts: when, with which program and configuration, and what it needs before.

use super::owner::check_user;
use super::part::{Found, ReportPart, joined};
use super::unit::{Agent, in_path, interpreter, not_executable, words};
use crate::disk::Tree;
use crate::os::access::{ENTER, Identity, READ};
use crate::os::files::{base_name, is_directory, optional, show};
use crate::os::unit::{UnitIndex, UnitState};

/// Where Trove has cloud-init write the agent's configuration.
pub(crate) const INJECTED: &str = "/etc/trove/conf.d";

/// Without these no program starts: the loader and the C library, where the distributions have them.
const LIBRARIES: [(&[u8], u32); 5] = [
    (b"/lib64/ld-linux-x86-64.so.2", ENTER),
    (b"/lib/ld-linux-aarch64.so.1", ENTER),
    (b"/lib/x86_64-linux-gnu/libc.so.6", READ),
    (b"/lib/aarch64-linux-gnu/libc.so.6", READ),
    (b"/lib64/libc.so.6", READ),
];

/// Programs with which images of developers get the agent's code from their controller.
const FROM_CONTROLLER: [&str; 4] = ["rsync", "scp", "sftp", "ssh"];

pub(crate) fn check(
    tree: &mut dyn Tree,
    index: &UnitIndex,
    agent: &Agent,
    command_line: Option<&str>,
) -> ReportPart {
    let mut part = ReportPart::default();
    let name = agent.name();
    part.check(
        format!("{name} starts at boot"),
        at_boot(tree, index, name, command_line),
        "without an agent the instance stays in BUILD and says nothing",
        "enable the unit in the recipe, for a target that the image boots into (`systemctl get-default`)",
    );
    part.check(
        format!("{name} runs as a user that exists"),
        check_user(tree, agent),
        "the unit would fail; and cloud-init gives the agent's configuration to this user",
        "make the user in the image: cloud-init writes files before it makes users",
    );
    part.check(
        format!("{name} needs no controller to start"),
        from_controller(agent),
        "it gets its code from a developer's machine at each boot, and no other cloud has that machine",
        "take an image that holds the agent's code (not one made with DEV_MODE), and a unit that starts it",
    );
    part.check(
        format!("{name} has a program that can run"),
        program(tree, agent),
        "the unit would fail, and the instance stay in BUILD",
        "install the agent again, so that its user may read and execute it, or correct ExecStart",
    );
    part.check(
        format!("what {name} runs before its agent is there"),
        before(tree, agent),
        "systemd does not start an agent whose preparation failed",
        "install what is missing, or take the line out of the unit",
    );
    part.check(
        format!("{name} reads the injected configuration"),
        configuration(tree, agent),
        "without guest_info.conf and trove-guestagent.conf the agent does not know who it is",
        "pass --config-dir=/etc/trove/conf.d and make the directory, with the agent's user as owner",
    );
    part
}

/// Whether it is enabled, and for a target that is reached.
fn at_boot(tree: &mut dyn Tree, index: &UnitIndex, name: &str, command_line: Option<&str>) -> Found {
    let state = index.state_behind(tree, name)?;
    if state != UnitState::Enabled {
        return Ok(Some(state.to_string()));
    }
    let words = command_line.unwrap_or_default().split_whitespace();
    let masked = words.clone().filter_map(|word| word.strip_prefix("systemd.mask="));
    let stem = name.strip_suffix(".service").unwrap_or(name);
    if let Some(unit) = masked.into_iter().find(|unit| *unit == name || *unit == stem) {
        return Ok(Some(format!("systemd.mask={unit} stands on the kernel's command line")));
    }
    let asked = words.filter_map(|word| word.strip_prefix("systemd.unit=")).next_back();
    let Some(goal) = index.goal(tree, asked)? else { return Ok(None) };
    let starts = index.starts(tree, &goal, name)?;
    Ok((!starts).then(|| format!("enabled, but the image boots into {goal}, and nothing there starts it")))
}

fn program(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let Some(program) = agent.program(tree)? else { return Ok(Some("no ExecStart".to_owned())) };
    let user = Identity::find(tree, agent.user())?;
    if let Some(problem) = not_executable(tree, &program, user.as_ref())? {
        return Ok(Some(problem));
    }
    if let Some(interpreter) = interpreter(tree, &program)?
        && let Some(problem) = not_executable(tree, &interpreter, user.as_ref())?
    {
        return Ok(Some(format!("{} is a script, and {problem}", show(&program))));
    }
    let Some(user) = user else { return Ok(None) };
    for (path, wanted) in LIBRARIES {
        if optional(tree.stat(path))?.is_some()
            && let Some(obstacle) = user.obstacle(tree, path, wanted)?
        {
            return Ok(Some(obstacle));
        }
    }
    Ok(None)
}

fn from_controller(agent: &Agent) -> Found {
    let mut wrong = Vec::new();
    for key in ["ExecStartPre", "ExecStart"] {
        for line in agent.unit.all("Service", key) {
            let words = words(line);
            let base = |word: &str| String::from_utf8_lossy(base_name(word.as_bytes())).into_owned();
            let found =
                words.iter().map(|word| base(word)).find(|word| FROM_CONTROLLER.contains(&word.as_str()));
            wrong.extend(found.map(|program| format!("{key} runs {program}")));
        }
    }
    wrong.dedup();
    Ok(joined(&wrong))
}

fn before(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let mut wrong = Vec::new();
    for line in agent.before() {
        let words = words(line);
        let mut programs: Vec<&str> = words.iter().map(String::as_str).take(1).collect();
        // Behind sudo, or somewhere in a line of a shell.
        let further = words.iter().skip(1).map(String::as_str);
        match programs.first().map(|program| base_name(program.as_bytes())) {
            Some(b"sudo") => programs.extend(further.skip_while(|word| word.starts_with('-')).take(1)),
            Some(b"sh" | b"bash" | b"dash") => {
                programs.extend(further.filter(|word| matches!(*word, "sudo" | "curl" | "wget" | "chown")));
            }
            _ => {}
        }
        if let [program @ ("/bin/false" | "/usr/bin/false" | "false"), ..] = programs[..] {
            wrong.push(format!("{program} always fails"));
            continue;
        }
        for program in programs.into_iter().filter(|program| !program.contains(['%', '$', '='])) {
            match in_path(tree, program)? {
                None => wrong.push(format!("{program} is not installed")),
                Some(path) => wrong.extend(not_executable(tree, &path, None)?),
            }
        }
    }
    for file in agent.unit.all("Service", "EnvironmentFile") {
        // Trove may inject what is in its own directory.
        let may_come =
            file.starts_with('-') || file.starts_with("/etc/trove/") || file.contains(['*', '?', '%']);
        if !may_come && optional(tree.stat(file.as_bytes()))?.is_none() {
            wrong.push(format!("EnvironmentFile {file} does not exist"));
        }
    }
    wrong.dedup();
    Ok(joined(&wrong))
}

fn configuration(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let (directories, files) = (agent.option(tree, "--config-dir")?, agent.option(tree, "--config-file")?);
    let user = Identity::find(tree, agent.user())?;
    let mut wrong = Vec::new();
    let below_injected = |path: &str| path.strip_prefix(INJECTED).is_some_and(|rest| rest.starts_with('/'));
    let reads_directory = directories.iter().any(|path| path.trim_end_matches('/') == INJECTED);
    if !reads_directory && files.iter().filter(|path| below_injected(path)).count() < 2 {
        wrong.push(format!("neither --config-dir={INJECTED} nor both files in it are passed"));
    }
    for path in directories.iter().map(String::as_str).chain([INJECTED]) {
        if !is_directory(tree, path.as_bytes())? {
            wrong.push(format!("{path} is no directory"));
        } else if let Some(user) = &user {
            // What is handed over to him before the agent starts he may read, if he comes so far.
            let (path, wanted) = match agent.hands_over("/etc/trove") {
                true => ("/etc", ENTER),
                false => (path, READ | ENTER),
            };
            wrong.extend(user.obstacle(tree, path.as_bytes(), wanted)?);
        }
    }
    // What cloud-init writes is not there yet.
    for path in files.iter().filter(|path| !below_injected(path)) {
        if optional(tree.stat(path.as_bytes()))?.is_none() {
            wrong.push(format!("{path} does not exist"));
        } else if let Some(user) = &user {
            wrong.extend(user.obstacle(tree, path.as_bytes(), READ)?);
        }
    }
    wrong.dedup();
    Ok(joined(&wrong))
}
