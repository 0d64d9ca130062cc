//! `trove-guestagent.conf` against the image it is injected into.

use std::net::IpAddr;

use super::controller::docker_network;
use super::embedded::embedded;
use super::{DATASTORES, flag};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::access::{ENTER, Identity, READ, WRITE};
use crate::os::files::{optional, read_optional};
use crate::oslo::{Config, DEFAULT, TransportUrl};
use crate::verify::agent::Subject;
use crate::verify::agent::unit::in_path;
use crate::verify::part::{Found, ReportPart, joined};

/// Passwords of guides and samples.
const EXAMPLES: [&str; 7] =
    ["RABBIT_PASS", "changeme", "guest", "openstack", "password", "secret", "stackrabbit"];

/// With `controller`, its trove.conf, if that is known too.
pub(super) fn check(
    tree: &mut dyn Tree,
    subject: &Subject,
    guest: &Config,
    controller: Option<&Config>,
    part: &mut ReportPart,
) {
    let broker = match guest.transport() {
        None => Err("there is no transport_url".to_owned()),
        Some(Err(problem)) => Err(format!("transport_url: {problem}")),
        Some(Ok(url)) => Ok(url),
    };
    part.check(
        "trove-guestagent.conf says where the broker is",
        Ok(broker.as_ref().err().cloned()),
        "without it the agent looks for RabbitMQ in its own instance",
        "set transport_url = rabbit://USER:PASSWORD@HOST:5672/VHOST in [DEFAULT]; in a password, write @ : / # as %40 %3A %2F %23",
    );
    if let Ok(url) = &broker {
        reach(tree, subject, url, controller, part);
    }
    part.check(
        "the agent may write its log where trove-guestagent.conf says",
        log(tree, subject, guest),
        "the agent ends when it cannot open its log",
        "let log_dir be /var/log/trove, or make the directory in the recipe with the agent's user as owner",
    );
    let identity = guest.get(DEFAULT, "guest_id").map(|_| "it sets guest_id".to_owned());
    part.check(
        "trove-guestagent.conf leaves the instance's id alone",
        Ok(identity),
        "it is read after guest_info.conf, so every instance would take this id and hear nothing of its own",
        "remove guest_id from trove-guestagent.conf",
    );
    part.check(
        "certificates that trove-guestagent.conf names are in the image",
        certificates(tree, subject, guest),
        "the agent cannot set up TLS to RabbitMQ, and tries for ever",
        "put the file into the image (`[[file]]` in a recipe of yours), or name the system's bundle",
    );
    if subject.container {
        part.check(
            "the tools for the file system of trove-guestagent.conf are there",
            tools(tree, guest),
            "the agent makes a file system on its volume before it sends its first message, and ends when it cannot",
            "install xfsprogs or e2fsprogs in the recipe",
        );
        let images = DATASTORES.iter().any(|datastore| guest.get(datastore, "docker_image").is_some());
        part.warn(
            "databases come from Docker Hub",
            Ok((!images).then(|| "no section of a datastore has docker_image".to_owned())),
            "every instance pulls from there, past its limits, and hangs where there is no way to it",
            "set docker_image and backup_docker_image in [mysql], [mariadb], [postgresql]",
        );
        part.warn(
            "the database's image in the image is not the one that trove-guestagent.conf names",
            embedded(tree, guest),
            "the agent pulls what it is told to, over the network, however much lies in the image",
            "embed it under the name in docker_image, or change docker_image",
        );
        part.warn(
            "docker_insecure_registries does nothing in trove-guestagent.conf",
            Ok(guest.get(DEFAULT, "docker_insecure_registries").map(|value| format!("it is {value}"))),
            "Trove makes /etc/docker/daemon.json of the controller's value",
            "set it in the controller's trove.conf",
        );
    }
    part.warn(
        "trove-guestagent.conf asks for debug output",
        flag(guest, DEFAULT, "debug").map(|on| on.then(|| "debug is on".to_owned())),
        "the agent writes passwords of databases into its log and the journal",
        "remove debug = True",
    );
    let credentials = guest.get("service_credentials", "password").filter(|password| !password.is_empty());
    part.warn(
        "trove-guestagent.conf hands out the password of Trove's service user",
        Ok(credentials.map(|_| "[service_credentials] has a password".to_owned())),
        "whoever gets into an instance has it, and with it every tenant's databases",
        "leave [service_credentials] out: agents since 2026.2 need none",
    );
}

/// Whether an instance gets to the brokers.
fn reach(
    tree: &mut dyn Tree,
    subject: &Subject,
    url: &TransportUrl,
    controller: Option<&Config>,
    part: &mut ReportPart,
) {
    let local: Vec<_> =
        url.brokers.iter().filter(|broker| broker.is_local()).map(|broker| broker.host.clone()).collect();
    part.check(
        "the broker of trove-guestagent.conf is not the instance itself",
        Ok(joined(&local)),
        "the address means the instance, where no RabbitMQ runs",
        "name RabbitMQ's address in the management network",
    );
    if subject.container {
        part.check(
            "the broker's address is outside docker's network",
            docker_network(tree, controller).map(|network| inside(network, url)),
            "docker takes this network for its containers, and the agent's packets never leave the instance",
            "set docker_bridge_network_ip in the controller's trove.conf, or `bip` in /etc/docker/daemon.json of the image",
        );
    }
    let named = url.brokers.iter().find(|broker| broker.address().is_none() && !broker.is_local());
    part.warn(
        "the broker has a name, and the image no resolver",
        resolver(tree).map(|there| named.filter(|_| !there).map(|broker| broker.host.clone())),
        "nothing tells the agent the broker's address",
        "write the address itself, or leave `dns` in the line `hosts:` of /etc/nsswitch.conf",
    );
    let example = url
        .brokers
        .iter()
        .any(|broker| broker.password.as_deref().is_some_and(|password| EXAMPLES.contains(&password)));
    part.warn(
        "the broker's password is one of an example",
        Ok(example.then(|| url.to_string())),
        "anybody who reaches the broker may order every agent about",
        "choose a password",
    );
}

/// The brokers whose addresses are in docker's network.
fn inside(network: Option<String>, url: &TransportUrl) -> Option<String> {
    let network = network?;
    let found = url
        .brokers
        .iter()
        .filter(|broker| broker.address().is_some_and(|address| contains(&network, address)));
    joined(&found.map(|broker| format!("{} is in {network}", broker.host)).collect::<Vec<_>>())
}

/// Whether an address is in an IPv4 network such as `172.17.0.1/16`.
fn contains(network: &str, address: IpAddr) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits), IpAddr::V4(address)) =
        (base.parse::<std::net::Ipv4Addr>(), bits.parse::<u32>(), address)
    else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32u32.saturating_sub(bits)).unwrap_or(0);
    u32::from(base) & mask == u32::from(address) & mask
}

/// Whether anything resolves names: images for networks without a resolver leave it out here.
fn resolver(tree: &mut dyn Tree) -> Result<bool, ReadError> {
    let text = read_optional(tree, b"/etc/nsswitch.conf")?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let Some(hosts) = text.lines().find_map(|line| line.trim().strip_prefix("hosts:")) else {
        return Ok(true);
    };
    Ok(hosts.split_whitespace().any(|word| matches!(word, "dns" | "resolve")))
}

fn log(tree: &mut dyn Tree, subject: &Subject, guest: &Config) -> Found {
    let directory = guest.get(DEFAULT, "log_dir").or_else(|| guest.get(DEFAULT, "logdir"));
    let file = guest.get(DEFAULT, "log_file").or_else(|| guest.get(DEFAULT, "logfile"));
    let path = match (directory, file) {
        (_, Some(file)) if file.starts_with('/') => file,
        (Some(directory), Some(file)) => format!("{}/{file}", directory.trim_end_matches('/')),
        (Some(directory), None) => format!("{}/trove-guestagent.log", directory.trim_end_matches('/')),
        _ => return Ok(None),
    };
    let Some(user) = Identity::find(tree, subject.agent.user())? else { return Ok(None) };
    let directory = path.rsplit_once('/').map_or("/", |(directory, _)| directory);
    if subject.agent.hands_over(directory) {
        return Ok(None);
    }
    Ok(match optional(tree.stat(directory.as_bytes()))? {
        None => Some(format!("{directory} does not exist")),
        Some(_) if optional(tree.stat(path.as_bytes()))?.is_some() => {
            user.obstacle(tree, path.as_bytes(), WRITE)?
        }
        Some(_) => user.obstacle(tree, directory.as_bytes(), WRITE | ENTER)?,
    })
}

fn certificates(tree: &mut dyn Tree, subject: &Subject, guest: &Config) -> Found {
    const KEYS: [&str; 6] = [
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_key_file",
        "kombu_ssl_ca_certs",
        "kombu_ssl_certfile",
        "kombu_ssl_keyfile",
    ];
    let user = Identity::find(tree, subject.agent.user())?;
    let mut wrong = Vec::new();
    for key in KEYS {
        let Some(path) = guest.get("oslo_messaging_rabbit", key).filter(|path| path.starts_with('/')) else {
            continue;
        };
        if optional(tree.stat(path.as_bytes()))?.is_none() {
            wrong.push(format!("{key}: {path} does not exist"));
        } else if let Some(user) = &user {
            wrong.extend(user.obstacle(tree, path.as_bytes(), READ)?);
        }
    }
    Ok(joined(&wrong))
}

fn tools(tree: &mut dyn Tree, guest: &Config) -> Found {
    let kind = guest.get(DEFAULT, "volume_fstype").unwrap_or_else(|| "ext4".to_owned());
    let tool = format!("mkfs.{kind}");
    Ok(in_path(tree, &tool)?
        .is_none()
        .then(|| format!("volume_fstype is {kind}, and {tool} is not installed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        for (network, address, expected) in [
            ("172.17.0.1/16", "172.17.9.9", true),
            ("172.17.0.1/16", "172.18.0.1", false),
            ("10.0.0.0/0", "1.2.3.4", true),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("10.0.0.1/99", "10.0.0.2", false),
            ("fd00::/8", "10.0.0.2", false),
            ("10.0.0.1", "10.0.0.1", false),
            ("172.17.0.1/16", "::1", false),
        ] {
            assert_eq!(contains(network, address.parse().unwrap()), expected, "{network} {address}");
        }
    }
}
