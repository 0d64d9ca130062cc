//! cloud-init, which brings the agent's configuration: does it run, from where, and would it write files.

use super::part::{Found, ReportPart, joined};
use super::settings::startable;
use super::unit::{Agent, not_executable};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::cloud_init;
use crate::os::datasource::effective_datasources;
use crate::os::files::{is_masked, optional, read_optional, show};
use crate::os::unit::{UnitIndex, UnitState};
use crate::os::yaml::Yaml;

/// The units that run the stage in which files are written: up to version 24.2, and since.
const UNITS: [&str; 2] = ["cloud-init.service", "cloud-init-network.service"];

/// Units that must not be off where they are: the stage that reads config drives, and the process behind all stages since 24.3.
const FURTHER: [&str; 2] = ["cloud-init-local.service", "cloud-init-main.service"];

const TARGET: &str = "cloud-init.target";

/// What adds the target to the boot.
const GENERATOR: &str = "cloud-init-generator";

/// Where generators are, those of the administrator first.
const GENERATORS: [&str; 4] = [
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
    "/lib/systemd/system-generators",
];

/// Where Nova has user data.
pub(crate) const SOURCES: [&str; 2] = ["ConfigDrive", "OpenStack"];

pub(crate) fn check(tree: &mut dyn Tree, index: &UnitIndex, command_line: Option<&str>) -> ReportPart {
    let mut part = ReportPart::default();
    part.check(
        "cloud-init starts at boot",
        starts(tree, index, command_line),
        "Trove hands the agent its configuration through cloud-init",
        "install and enable cloud-init, and take away what switches it off: /etc/cloud/cloud-init.disabled, \
         cloud-init=disabled in GRUB_CMDLINE_LINUX, the policy in /etc/cloud/ds-identify.cfg, a masked unit",
    );
    part.check(
        "cloud-init reads ConfigDrive and OpenStack",
        sources(tree, command_line),
        "cloud-init ignores user data of sources that are not in datasource_list",
        "set `datasource_list: [ ConfigDrive, OpenStack, None ]` in /etc/cloud/cloud.cfg.d, and name no single source in \
         /etc/cloud/ds-identify.cfg or on the kernel's command line",
    );
    part.check(
        "cloud-init writes the files it is handed",
        writes(tree),
        "guest_info.conf and trove-guestagent.conf are files of its module write-files",
        "leave `write-files` in cloud_init_modules, and set no `allow_userdata: false`",
    );
    part
}

/// The values of a parameter of the kernel's command line, in order.
fn parameters<'a>(command_line: Option<&'a str>, names: &[&str]) -> Vec<&'a str> {
    let words = command_line.unwrap_or_default().split_whitespace();
    let value = |word: &'a str| {
        let (name, value) = word.split_once('=')?;
        names.contains(&name).then_some(value)
    };
    words.filter_map(value).collect()
}

fn starts(tree: &mut dyn Tree, index: &UnitIndex, command_line: Option<&str>) -> Found {
    let mut wrong = Vec::new();
    let mut states = Vec::new();
    for unit in UNITS {
        states.push((unit, index.state_behind(tree, unit)?));
    }
    if !states.iter().any(|(_, state)| *state == UnitState::Enabled) {
        let (unit, state) =
            states.iter().find(|(_, state)| *state != UnitState::NotFound).unwrap_or(&states[0]);
        wrong.push(format!("{unit} is {state}"));
    }
    for unit in FURTHER {
        let state = index.state_behind(tree, unit)?;
        if matches!(state, UnitState::Masked | UnitState::Disabled | UnitState::Bad) {
            wrong.push(format!("{unit} is {state}"));
        }
    }
    if index.state(tree, TARGET)? == UnitState::Masked {
        wrong.push(format!("{TARGET} is masked"));
    }
    let off = switched_off(tree, command_line)?;
    for unit in UNITS.into_iter().chain(FURTHER) {
        if index.state_behind(tree, unit)? == UnitState::Enabled
            && let Some(file) = index.load(tree, unit)?
        {
            let service = Agent::new(tree, unit, file)?;
            let refused = startable(tree, index, &service, command_line)?
                // Told once is enough.
                .filter(|why| off.is_none() || !why.contains("cloud-init.disabled"));
            wrong.extend(refused.map(|why| format!("{unit}: {why}")));
            if let Some(program) = service.program(tree)? {
                wrong.extend(not_executable(tree, &program, None)?);
            }
        }
    }
    wrong.extend(generator(tree, index)?.map(|why| format!("{why}, so nothing starts {TARGET}")));
    wrong.extend(off);
    Ok(joined(&wrong))
}

/// What is wrong with the generator that adds the target to the boot. systemd runs the first of its name that may be executed.
fn generator(tree: &mut dyn Tree, index: &UnitIndex) -> Found {
    let mut wrong = None;
    for directory in GENERATORS {
        let path = format!("{directory}/{GENERATOR}");
        if is_masked(tree, path.as_bytes())? {
            return Ok(Some(format!("{path} is a link to /dev/null")));
        }
        let Some(stat) = optional(tree.stat(path.as_bytes()))? else { continue };
        match (stat.mode & 0o111, stat.size) {
            (0, _) => wrong = Some(format!("{path} is not executable (mode {:04o})", stat.mode)),
            (_, 0) => return Ok(Some(format!("{path} is empty"))),
            _ => return Ok(None),
        }
    }
    let is_needed =
        index.load(tree, TARGET)?.is_some() && index.state_behind(tree, TARGET)? != UnitState::Enabled;
    Ok(wrong.or_else(|| is_needed.then(|| format!("there is no {GENERATOR}"))))
}

/// What switches it off as a whole. The command line decides before files do, and a file that switches it on before one that
/// switches it off.
fn switched_off(tree: &mut dyn Tree, command_line: Option<&str>) -> Found {
    const ENABLED: &str = "/etc/cloud/cloud-init.enabled";
    const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
    match parameters(command_line, &["cloud-init"]).last() {
        Some(&"disabled") => {
            return Ok(Some("cloud-init=disabled stands on the kernel's command line".to_owned()));
        }
        Some(&"enabled") => {}
        _ if tree.exists(ENABLED.as_bytes())? => {}
        _ if tree.exists(DISABLED.as_bytes())? => return Ok(Some(format!("{DISABLED} is there"))),
        _ => {}
    }
    let (policy, place) = match parameters(command_line, &["ci.di.policy"]).last() {
        Some(policy) => (Some((*policy).to_owned()), "ci.di.policy on the kernel's command line"),
        None => (identify(tree, "policy")?, "policy in /etc/cloud/ds-identify.cfg"),
    };
    let off = policy.is_some_and(|policy| policy.split(',').next() == Some("disabled"));
    Ok(off.then(|| format!("{place} is `disabled`")))
}

/// A value of ds-identify's own settings.
fn identify(tree: &mut dyn Tree, key: &str) -> Result<Option<String>, ReadError> {
    let text = read_optional(tree, b"/etc/cloud/ds-identify.cfg")?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let values = lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() == key);
    let value =
        values.into_iter().next_back().map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_owned());
    Ok(value.filter(|value| !value.is_empty()))
}

/// The sources that are tried, and who says so; `None` for all that cloud-init knows.
pub(crate) fn tried(
    tree: &mut dyn Tree,
    command_line: Option<&str>,
) -> Result<Option<(Vec<String>, String)>, ReadError> {
    if let Some(name) = parameters(command_line, &["ci.ds", "ci.datasource", "ds"]).last() {
        let name = name.split(';').next().unwrap_or_default().to_owned();
        return Ok(Some((vec![name], "the kernel's command line".to_owned())));
    }
    if let Some(name) = identify(tree, "datasource")? {
        return Ok(Some((vec![name], "/etc/cloud/ds-identify.cfg".to_owned())));
    }
    Ok(effective_datasources(tree)?.map(|found| (found.list, show(&found.file))))
}

fn sources(tree: &mut dyn Tree, command_line: Option<&str>) -> Found {
    // Without a list cloud-init tries all it knows, these among them.
    let Some((list, place)) = tried(tree, command_line)? else { return Ok(None) };
    let complete = SOURCES.iter().all(|source| list.iter().any(|name| name == source));
    Ok((!complete).then(|| format!("[{}] in {place}", list.join(", "))))
}

fn writes(tree: &mut dyn Tree) -> Found {
    const KEY: &str = "cloud_init_modules";
    const SWITCH: &str = "allow_userdata";
    // cloud-init drops all user data then, and says so at debug level only.
    let switch = cloud_init::settings(tree, &[SWITCH])?;
    let value = switch.get(SWITCH).map(|value| value.text().unwrap_or_default().to_owned());
    let yes = |value: &str| ["true", "1", "on", "yes"].iter().any(|yes| value.eq_ignore_ascii_case(yes));
    if let Some(value) = value.filter(|value| !yes(value)) {
        return Ok(Some(format!("{SWITCH} is {value}, so it throws away what it is handed")));
    }
    let settings = cloud_init::settings(tree, &[KEY])?;
    // Without a list nothing of cloud-init is configured here, and its own default has the module.
    let Some(modules) = settings.get(KEY) else { return Ok(None) };
    let name = |module: &Yaml| module.items().first().and_then(Yaml::text).map(|name| name.replace('_', "-"));
    let is_there = modules.items().iter().any(|module| name(module).as_deref() == Some("write-files"));
    Ok((!is_there).then(|| format!("{KEY} has no write-files")))
}
