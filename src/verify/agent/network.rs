//! Who asks for the instance's address: one program, and one that keeps what it got.

use super::part::{Found, ReportPart};
use super::unit::in_path;
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::glob;
use crate::os::unit::{UnitIndex, UnitState};

/// Services that configure network cards by themselves.
const MANAGERS: [(&str, &str); 4] = [
    ("systemd-networkd.service", "systemd-networkd"),
    ("NetworkManager.service", "NetworkManager"),
    ("dhcpcd.service", "dhcpcd"),
    ("networking.service", "ifupdown"),
];

pub(crate) fn check(tree: &mut dyn Tree, index: &UnitIndex) -> ReportPart {
    let mut part = ReportPart::default();
    part.warn(
        "more than one program asks for addresses",
        several(tree, index),
        "they take each other's addresses and routes away, the agent's way to RabbitMQ among them",
        "leave one of them enabled: systemd-networkd or NetworkManager",
    );
    part.warn(
        "dhclient keeps the instance's address",
        dhclient(tree, index),
        "operators have seen it lose its lease after hours, with the routes of option 121, and the agent with them its way to \
         RabbitMQ",
        "use systemd-networkd or NetworkManager",
    );
    part
}

fn enabled(tree: &mut dyn Tree, index: &UnitIndex) -> Result<Vec<&'static str>, ReadError> {
    let mut found = Vec::new();
    for (unit, name) in MANAGERS {
        if index.state_behind(tree, unit)? != UnitState::Enabled {
            continue;
        }
        let works = match name {
            // Without configuration it leaves cards alone; cloud-init writes one where it finds no ifupdown.
            "systemd-networkd" => configures(tree)? || !ifupdown(tree)?,
            "ifupdown" => ifupdown(tree)?,
            _ => true,
        };
        if works {
            found.push(name);
        }
    }
    Ok(found)
}

fn ifupdown(tree: &mut dyn Tree) -> Result<bool, ReadError> {
    Ok(in_path(tree, "ifup")?.is_some())
}

fn configures(tree: &mut dyn Tree) -> Result<bool, ReadError> {
    for pattern in ["/etc/systemd/network/*.network", "/etc/netplan/*.yaml"] {
        if !glob(tree, pattern.as_bytes())?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn several(tree: &mut dyn Tree, index: &UnitIndex) -> Found {
    let found = enabled(tree, index)?;
    Ok((found.len() > 1).then(|| found.join(", ")).map(|names| format!("{names} are enabled")))
}

fn dhclient(tree: &mut dyn Tree, index: &UnitIndex) -> Found {
    let found = enabled(tree, index)?;
    let alone = found == ["ifupdown"] && in_path(tree, "dhclient")?.is_some();
    Ok(alone.then(|| "ifupdown and dhclient are what sets up the network".to_owned()))
}
