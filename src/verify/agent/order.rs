//! When the agent starts, and what happens when it ends too early.

use super::part::{Found, ReportPart};
use super::unit::Agent;
use crate::disk::Tree;
use crate::os::UnitFile;
use crate::os::unit::UnitIndex;

/// The stages of cloud-init that have written the files, or come later.
const STAGES: [&str; 4] = ["cloud-init", "cloud-init-network", "cloud-config", "cloud-final"];

/// What every service is after unless it says `DefaultDependencies=no`.
const DEFAULT: [&str; 2] = ["sysinit.target", "basic.target"];

const DOCKER: [&str; 2] = ["docker.service", "docker.socket"];

pub(crate) fn check(tree: &mut dyn Tree, index: &UnitIndex, agent: &Agent, container: bool) -> ReportPart {
    let mut part = ReportPart::default();
    let name = agent.name();
    part.check(
        format!("{name} starts after cloud-init"),
        order(tree, index, agent),
        "cloud-init writes the configuration; an agent that is faster starts without it",
        "add After=cloud-init.service cloud-init-network.service to [Unit]",
    );
    part.warn(
        &format!("{name} gives up soon"),
        Ok(gives_up(&agent.unit, container)),
        "an agent that ends before docker, its volume or the network is ready is not started again, and the instance stays in \
         BUILD",
        "set Restart=always and RestartSec=10 in [Service] and StartLimitIntervalSec=0 in [Unit]",
    );
    part
}

fn order(tree: &mut dyn Tree, index: &UnitIndex, agent: &Agent) -> Found {
    let after = agent.unit.words("Unit", "After");
    let stem = |name: &str| name.rsplit_once('.').map_or(name.to_owned(), |(stem, _)| stem.to_owned());
    if !after.iter().any(|name| STAGES.contains(&stem(name).as_str())) && !is_before(tree, index, agent)? {
        return Ok(Some(format!("After={}", after.join(" "))));
    }
    // systemd breaks a circle by dropping a start job, perhaps the agent's.
    const TARGET: &str = "multi-user.target";
    if agent.unit.words("Install", "WantedBy").contains(&TARGET) {
        for name in after {
            let other = index.load(tree, name)?.unwrap_or_default();
            if other.words("Unit", "After").contains(&TARGET) {
                return Ok(Some(format!(
                    "a circle: it is after {name}, which is after {TARGET}, which waits for it"
                )));
            }
        }
    }
    Ok(None)
}

/// Whether cloud-init itself is before something that the agent is after, as on Debian's family, where it is before
/// `sysinit.target`.
fn is_before(tree: &mut dyn Tree, index: &UnitIndex, agent: &Agent) -> Result<bool, crate::os::ReadError> {
    let mut after = agent.unit.words("Unit", "After");
    if agent.unit.last("Unit", "DefaultDependencies") != Some("no") {
        after.extend(DEFAULT);
    }
    for stage in ["cloud-init.service", "cloud-init-network.service"] {
        let unit = index.load(tree, stage)?.unwrap_or_default();
        if unit.words("Unit", "Before").iter().any(|name| after.contains(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why an agent that ends is not started again, if so. An agent that waits for docker has nothing that fails at once.
fn gives_up(unit: &UnitFile, container: bool) -> Option<String> {
    match unit.last("Service", "Restart") {
        None | Some("no") => return Some("it has no Restart=".to_owned()),
        Some(_) => {}
    }
    let waits = unit.words("Unit", "After").iter().any(|name| DOCKER.contains(name));
    if !container || waits {
        return None;
    }
    let setting = |names: &[(&str, &str)]| names.iter().find_map(|(section, key)| unit.last(section, key));
    let interval = setting(&[
        ("Unit", "StartLimitIntervalSec"),
        ("Unit", "StartLimitInterval"),
        ("Service", "StartLimitInterval"),
    ]);
    let burst = setting(&[("Unit", "StartLimitBurst"), ("Service", "StartLimitBurst")]);
    let interval = interval.map_or(Some(10.0), seconds)?;
    let burst: f64 = burst.map_or(Some(5.0), |burst| burst.parse().ok())?;
    let pause = unit.last("Service", "RestartSec").map_or(Some(0.1), seconds)?;
    let limited = interval > 0.0 && burst > 0.0 && pause * burst < interval;
    limited.then(|| {
        format!(
            "{burst} starts in {interval} s and no more, {pause} s apart, and it does not wait for docker"
        )
    })
}

/// A time as systemd writes it; `None` for what it has no limit in, or this does not read.
fn seconds(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "" | "s" | "sec" | "second" | "seconds" => 1.0,
                "ms" | "msec" => 0.001,
                "m" | "min" | "minute" | "minutes" => 60.0,
                "h" | "hr" | "hour" | "hours" => 3600.0,
                _ => return None,
            };
        rest = rest[end..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_systemds() {
        for (text, expected) in [
            ("10", Some(10.0)),
            ("500ms", Some(0.5)),
            ("1min 30s", Some(90.0)),
            ("0", Some(0.0)),
            ("infinity", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn who_gives_up() {
        for (unit, container, expected) in [
            ("[Service]\n", false, true),
            ("[Service]\nRestart=no\n", true, true),
            ("[Service]\nRestart=always\n", true, true),
            ("[Service]\nRestart=always\n", false, false),
            ("[Service]\nRestart=always\nRestartSec=10\n", true, false),
            ("[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\n", true, false),
            ("[Unit]\nAfter=docker.service\n[Service]\nRestart=on-failure\n", true, false),
        ] {
            assert_eq!(gives_up(&UnitFile::parse(unit.as_bytes()), container).is_some(), expected, "{unit}");
        }
    }
}
