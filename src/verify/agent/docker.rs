//! What runs the database's containers: docker, or podman in its place.

use super::part::{Found, ReportPart, joined};
use super::settings::startable;
use super::unit::{Agent, in_path, not_executable};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::access::Identity;
use crate::os::files::read_optional;
use crate::os::unit::{UnitIndex, UnitState};
use crate::os::{gid_of, groups};

const DOCKER: &str = "docker.service";
const SOCKET: &str = "docker.socket";
const PODMAN: &str = "podman.socket";
const HOSTNIC: &str = "docker-hostnic.socket";
const SETTINGS: &str = "/etc/docker/daemon.json";

/// docker's own network unless it is told otherwise.
pub(crate) const BRIDGE: &str = "172.17.0.1/16";

/// Whether the image has something that runs containers for the agent.
pub(crate) fn is_there(tree: &mut dyn Tree, index: &UnitIndex) -> Result<bool, ReadError> {
    for unit in [DOCKER, PODMAN] {
        if index.state(tree, unit)? != UnitState::NotFound {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the network driver for instances of their own network card starts when it is asked for.
pub(crate) fn hostnic(tree: &mut dyn Tree, index: &UnitIndex) -> Result<UnitState, ReadError> {
    index.state_behind(tree, HOSTNIC)
}

pub(crate) fn check(
    tree: &mut dyn Tree,
    index: &UnitIndex,
    agent: &Agent,
    command_line: Option<&str>,
) -> ReportPart {
    let mut part = ReportPart::default();
    part.check(
        "docker starts at boot",
        starts(tree, index),
        "the agent asks docker before it asks RabbitMQ, and ends where nothing answers",
        "install docker and enable docker.service in the recipe (podman.socket where podman stands in for it)",
    );
    let user = agent.user();
    if user != "root" {
        part.check(
            format!("{user} may use docker"),
            may_use(tree, index, user),
            "docker's socket is for root and its group alone, so the agent ends at its first question",
            "put the agent's user into the group: `groups = [\"docker\"]` of its [[user]] in the recipe",
        );
    }
    part.check(
        "docker finds what it needs to start",
        needs(tree, index, command_line),
        "docker ends, and the agent with it",
        "install iptables, enable what docker.service requires, and say nothing twice, there and in /etc/docker/daemon.json",
    );
    part.check(
        "docker's network driver for Trove starts when it is asked for",
        hostnic_starts(tree, index),
        "instances whose network is kept apart get no network in their container, and hang",
        "enable docker-hostnic.socket in the recipe",
    );
    match network(tree, index) {
        Ok(Some(network)) => part.facts.push(("Docker's network", network)),
        Ok(None) => {}
        Err(error) => part.check(
            "docker's settings can be read",
            Err(error),
            "docker does not start with settings it cannot read",
            "correct or remove /etc/docker/daemon.json",
        ),
    }
    part
}

fn starts(tree: &mut dyn Tree, index: &UnitIndex) -> Found {
    let mut states = Vec::new();
    for unit in [DOCKER, SOCKET, PODMAN] {
        let state = index.state_behind(tree, unit)?;
        if state == UnitState::Enabled {
            let blocked = unit == SOCKET && states.contains(&format!("{DOCKER} is masked"));
            if !blocked {
                return Ok(None);
            }
        }
        states.push(format!("{unit} is {state}"));
    }
    states.retain(|state| !state.ends_with(UnitState::NotFound.name()));
    Ok(joined(&states).or_else(|| Some("neither docker nor podman is installed".to_owned())))
}

fn may_use(tree: &mut dyn Tree, index: &UnitIndex, user: &str) -> Found {
    // Who does not exist is told elsewhere.
    let Some(identity) = Identity::find(tree, user)? else { return Ok(None) };
    let mut group = "docker".to_owned();
    for unit in [SOCKET, PODMAN] {
        if index.state_behind(tree, unit)? == UnitState::Enabled
            && let Some(named) =
                index.load(tree, unit)?.and_then(|unit| unit.last("Socket", "SocketGroup").map(str::to_owned))
        {
            group = named;
            break;
        }
    }
    Ok(match gid_of(&groups(tree)?, &group) {
        None => Some(format!("there is no group {group}")),
        Some(gid) if !identity.gids.contains(&gid) => Some(format!("{user} is not in the group {group}")),
        Some(_) => None,
    })
}

fn needs(tree: &mut dyn Tree, index: &UnitIndex, command_line: Option<&str>) -> Found {
    let Some(unit) = index.load(tree, DOCKER)? else { return Ok(None) };
    let mut wrong = Vec::new();
    let service = Agent::new(tree, DOCKER, unit)?;
    // Whether it is started is told elsewhere; podman may stand in for it.
    if index.state_behind(tree, DOCKER)? == UnitState::Enabled {
        wrong.extend(startable(tree, index, &service, command_line)?);
        if let Some(program) = service.program(tree)? {
            wrong.extend(not_executable(tree, &program, None)?);
        }
    }
    let settings = settings(tree).unwrap_or_default();
    wrong.extend(given_twice(&service.command(), &settings));
    let spared = settings.get("iptables") == Some(&serde_json::Value::Bool(false))
        || settings.get("firewall-backend").and_then(|value| value.as_str()) == Some("nftables");
    if !spared && in_path(tree, "iptables")?.is_none() {
        wrong.push("iptables is not installed".to_owned());
    }
    Ok(joined(&wrong))
}

/// What dockerd is told on its command line and in its settings, which it does not take: a list of several values has one name
/// there and another here.
fn given_twice(command: &[String], settings: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    for word in command.iter().skip(1).filter(|word| word.starts_with('-')) {
        let name = match word.trim_start_matches('-').split('=').next().unwrap_or_default() {
            "H" | "host" => "hosts",
            _ if word.starts_with("-H") => "hosts",
            "label" => "labels",
            "D" => "debug",
            "l" => "log-level",
            "s" => "storage-driver",
            "storage-opt" => "storage-opts",
            "exec-opt" => "exec-opts",
            "authorization-plugin" => "authorization-plugins",
            "registry-mirror" => "registry-mirrors",
            "insecure-registry" => "insecure-registries",
            name => name,
        };
        if settings.contains_key(name) {
            wrong.push(format!("{SETTINGS} has `{name}`, and {DOCKER} gives {word}"));
        }
    }
    wrong
}

fn hostnic_starts(tree: &mut dyn Tree, index: &UnitIndex) -> Found {
    let state = hostnic(tree, index)?;
    // An image without it is right where networks are not kept apart.
    Ok((!matches!(state, UnitState::Enabled | UnitState::NotFound)).then(|| format!("{HOSTNIC} is {state}")))
}

fn settings(tree: &mut dyn Tree) -> Result<serde_json::Map<String, serde_json::Value>, ReadError> {
    let Some(text) = read_optional(tree, SETTINGS.as_bytes())? else { return Ok(Default::default()) };
    if text.trim_ascii().is_empty() {
        return Ok(Default::default());
    }
    serde_json::from_slice(&text).map_err(|error| ReadError::malformed(SETTINGS, error.to_string()))
}

/// The network of docker's bridge, which addresses outside cannot share. `None` if docker makes none.
pub(crate) fn bridge(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    let settings = settings(tree)?;
    let text = |key: &str| settings.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    if text("bridge").as_deref() == Some("none") {
        return Ok(None);
    }
    let pools = settings.get("default-address-pools").and_then(|pools| pools.get(0)?.get("base")?.as_str());
    Ok(Some(text("bip").or_else(|| pools.map(str::to_owned)).unwrap_or_else(|| BRIDGE.to_owned())))
}

fn network(tree: &mut dyn Tree, index: &UnitIndex) -> Result<Option<String>, ReadError> {
    if index.state(tree, DOCKER)? == UnitState::NotFound {
        return Ok(None);
    }
    Ok(Some(match bridge(tree)? {
        None => format!("none, by {SETTINGS}"),
        Some(network) if network == BRIDGE => {
            format!("{network}, docker's default; instances reach nothing else that has such an address")
        }
        Some(network) => format!("{network}, by {SETTINGS}"),
    }))
}
