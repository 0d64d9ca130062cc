//! The controller's `trove.conf` against the image: what it makes of an instance, the image must bear.

use super::{Asked, flag};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::unit::UnitState;
use crate::os::yaml::Yaml;
use crate::os::{gid_of, groups, uid_of, users};
use crate::oslo::{Config, DEFAULT};
use crate::verify::agent::Subject;
use crate::verify::agent::start::INJECTED;
use crate::verify::agent::{cloud, docker, kernel};
use crate::verify::part::{Found, ReportPart, joined};

/// Seconds that an instance takes at least where it pulls its database's image.
const SHORT: u64 = 600;

pub(super) fn check(tree: &mut dyn Tree, asked: &Asked, controller: &Config, part: &mut ReportPart) {
    let subject = asked.subject;
    part.check(
        "the image has the owner that trove.conf gives injected files",
        owner(tree, controller),
        "cloud-init writes files before it makes users, and stops at an owner that it does not know, so the agent gets no \
         configuration",
        &format!("set `injected_config_owner = {}` in trove.conf, or make the user in the recipe", subject.agent.user()),
    );
    part.check(
        "the image takes its configuration from where trove.conf puts it",
        source(tree, asked, controller),
        "cloud-init finds no user data, and the agent no configuration",
        "add the source to datasource_list, or change use_nova_server_config_drive",
    );
    part.check(
        "the agent reads the files where trove.conf has them written",
        location(tree, subject, controller),
        "the agent starts without the files, and does not know who it is",
        "leave injected_config_location and guest_info at their defaults, /etc/trove/conf.d and guest_info.conf",
    );
    if subject.container {
        containers(tree, subject, controller, part);
    }
    let timeout = controller.get(DEFAULT, "usage_timeout").and_then(|value| value.trim().parse::<u64>().ok());
    part.warn(
        "trove.conf gives instances little time",
        Ok(timeout.filter(|&timeout| timeout < SHORT).map(|timeout| format!("usage_timeout is {timeout} s"))),
        "an instance that still pulls its database's image is called failed",
        "leave usage_timeout at its default, 1800",
    );
    part.warn(
        "trove.conf lets instances hang in BUILD for ever",
        Ok((controller.flag(DEFAULT, "update_status_on_fail") == Ok(Some(false)))
            .then(|| "update_status_on_fail is off".to_owned())),
        "Trove does not call an instance failed whose agent never answers",
        "remove update_status_on_fail",
    );
}

fn owner(tree: &mut dyn Tree, controller: &Config) -> Found {
    let user = controller.get(DEFAULT, "injected_config_owner").unwrap_or_else(|| "ubuntu".to_owned());
    let group = controller.get(DEFAULT, "injected_config_group").unwrap_or_else(|| "root".to_owned());
    let mut wrong = Vec::new();
    if uid_of(&users(tree)?, &user).is_none() {
        wrong.push(format!("no user {user} (injected_config_owner)"));
    }
    if gid_of(&groups(tree)?, &group).is_none() {
        wrong.push(format!("no group {group} (injected_config_group)"));
    }
    Ok(joined(&wrong))
}

fn source(tree: &mut dyn Tree, asked: &Asked, controller: &Config) -> Found {
    let drive = flag(controller, DEFAULT, "use_nova_server_config_drive")?;
    let wanted = if drive { "ConfigDrive" } else { "OpenStack" };
    if let Some((list, place)) = cloud::tried(tree, asked.command_line)?
        && !list.iter().any(|name| name == wanted)
    {
        let setting = if drive { "on" } else { "off" };
        return Ok(Some(format!(
            "use_nova_server_config_drive is {setting}, and {place} has [{}] without {wanted}",
            list.join(", ")
        )));
    }
    Ok(if drive { kernel::lacking(tree)? } else { None })
}

fn location(tree: &mut dyn Tree, subject: &Subject, controller: &Config) -> Found {
    let location = controller.get(DEFAULT, "injected_config_location").unwrap_or_else(|| INJECTED.to_owned());
    let info = controller.get(DEFAULT, "guest_info").unwrap_or_else(|| "guest_info.conf".to_owned());
    let location = location.trim_end_matches('/');
    let info = if info.contains('/') { info } else { format!("{location}/{info}") };
    let directories = subject.agent.option(tree, "--config-dir")?;
    let files = subject.agent.option(tree, "--config-file")?;
    let mut wrong = Vec::new();
    for path in [info, format!("{location}/trove-guestagent.conf")] {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let by_directory = path.ends_with(".conf")
            && directories.iter().any(|known| known.trim_end_matches('/') == directory);
        if !by_directory && !files.contains(&path) {
            wrong.push(format!("{} does not read {path}", subject.agent.name()));
        }
    }
    Ok(joined(&wrong))
}

/// Whether Trove gives the containers of an instance a network card of their own.
fn isolates(controller: &Config) -> bool {
    // Trove's own default is on.
    let apart = controller.flag("network", "network_isolation") != Ok(Some(false));
    // That takes another network to manage instances by.
    let managed = ["management_networks", "default_neutron_networks"];
    apart && managed.iter().any(|key| !controller.list(DEFAULT, key).is_empty())
}

/// The network that trove.conf gives docker's bridge.
fn bridge_of(controller: &Config) -> Option<String> {
    controller.get(DEFAULT, "docker_bridge_network_ip").filter(|network| !network.is_empty())
}

/// The network that docker takes for its containers in an instance; `None` if it takes none.
pub(super) fn docker_network(
    tree: &mut dyn Tree,
    controller: Option<&Config>,
) -> Result<Option<String>, ReadError> {
    match controller {
        Some(controller) if isolates(controller) => Ok(None),
        Some(controller) if bridge_of(controller).is_some() => Ok(bridge_of(controller)),
        _ => docker::bridge(tree),
    }
}

fn containers(tree: &mut dyn Tree, subject: &Subject, controller: &Config, part: &mut ReportPart) {
    let isolates = isolates(controller);
    part.check(
        "the image can keep networks apart as trove.conf asks",
        match (isolates, docker::hostnic(tree, &subject.index)) {
            (false, _) | (true, Ok(UnitState::Enabled)) => Ok(None),
            (true, Ok(state)) => Ok(Some(format!("docker-hostnic.socket is {state}"))),
            (true, Err(error)) => Err(error),
        },
        "the database's container gets no network, and the instance never becomes healthy",
        "build the image with Trove's docker plugin and enable docker-hostnic.socket, or set network_isolation = False in \
         [network]",
    );
    let replaces = !controller.list(DEFAULT, "docker_insecure_registries").is_empty()
        || bridge_of(controller).is_some()
        || isolates;
    part.warn(
        "Trove replaces the image's settings of docker",
        tree.exists(b"/etc/docker/daemon.json")
            .map(|there| (there && replaces).then(|| "/etc/docker/daemon.json is in the image".to_owned()))
            .map_err(Into::into),
        "with docker_insecure_registries, docker_bridge_network_ip or network_isolation it writes the whole file anew",
        "say in trove.conf what is in the file",
    );
    part.warn(
        "docker takes a network that tenants may have",
        docker_network(tree, Some(controller))
            .map(|network| network.filter(|network| network == docker::BRIDGE)),
        "instances reach no client and no broker with an address of this network",
        "set docker_bridge_network_ip in trove.conf to a network that nobody uses",
    );
}

/// Files that Trove merges into an instance's user data: mappings, or they are left out without a word to the user.
pub(super) fn check_cloudinit(files: &[(String, Vec<u8>)], part: &mut ReportPart) {
    let mut wrong = Vec::new();
    for (name, text) in files {
        match Yaml::parse(text) {
            Ok(Yaml::Map(_)) => {}
            Ok(_) => wrong.push(format!("{name} is no mapping")),
            Err(reason) => wrong.push(format!("{name}: {reason}")),
        }
    }
    part.warn(
        "Trove leaves files of cloudinit_location out",
        Ok(joined(&wrong)),
        "only #cloud-config files can be merged with the agent's own; scripts and multipart messages cannot",
        "write them as #cloud-config, with runcmd or write_files",
    );
}
