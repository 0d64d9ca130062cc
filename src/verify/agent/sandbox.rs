//! What systemd has to find before it can set up the surroundings of the agent's unit, and what these hide from it.

use super::at_boot::{is_at_boot, is_made, is_within};
use super::start::INJECTED;
use super::unit::Agent;
use crate::disk::Tree;
use crate::inspect::apparmor::apparmor;
use crate::os::ReadError;
use crate::os::files::optional;

/// Settings that are paths, each of which has to be there unless `-` stands before it.
const PATHS: [&str; 15] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "ReadWritePaths",
    "ReadOnlyPaths",
    "InaccessiblePaths",
    "ExecPaths",
    "NoExecPaths",
    "ReadWriteDirectories",
    "ReadOnlyDirectories",
    "InaccessibleDirectories",
    "RootDirectory",
    "RootImage",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "NetworkNamespacePath",
];

/// What must be there for the unit's mounts, root, credentials and profile, and is not.
pub(super) fn missing(tree: &mut dyn Tree, agent: &Agent) -> Result<Vec<String>, ReadError> {
    let mut wrong = Vec::new();
    let own_root = ["RootDirectory", "RootImage"];
    let has_own = own_root.iter().any(|key| agent.unit.last("Service", key).is_some());
    let made = agent.unit.words("Service", "ConfigurationDirectory");
    let is_made_by_unit = |path: &str| made.iter().any(|name| is_within(path, &format!("/etc/{name}")));
    // With a root of its own, the other paths are looked for there.
    for key in PATHS.into_iter().filter(|key| !has_own || own_root.contains(key)) {
        let values = match key {
            // One path each, which may have spaces.
            "RootDirectory" | "RootImage" | "NetworkNamespacePath" => {
                agent.unit.last("Service", key).into_iter().collect()
            }
            "LoadCredential" | "LoadCredentialEncrypted" => agent.unit.all("Service", key),
            _ => agent.unit.words("Service", key),
        };
        for value in values {
            let path = match key {
                "LoadCredential" | "LoadCredentialEncrypted" => {
                    value.split_once(':').map_or("", |(_, path)| path)
                }
                "BindPaths" | "BindReadOnlyPaths" => value.split(':').next().unwrap_or(value),
                _ => value,
            };
            let signs = path.chars().take_while(|sign| matches!(sign, '-' | '+')).count();
            let (signs, path) = path.split_at(signs);
            let is_known =
                path.starts_with('/') && !path.contains(['%', '"', '\'', '\\']) && !is_at_boot(path);
            if is_known
                && !signs.contains('-')
                && !is_made_by_unit(path)
                && optional(tree.stat(path.as_bytes()))?.is_none()
                && !is_made(tree, path)?
            {
                wrong.push(format!("{key}={value}, and {path} does not exist"));
            }
        }
    }
    wrong.extend(profile(tree, agent)?);
    Ok(wrong)
}

/// A profile that AppArmor does not know: systemd does not start the unit.
fn profile(tree: &mut dyn Tree, agent: &Agent) -> Result<Option<String>, ReadError> {
    let Some(name) = agent.unit.last("Service", "AppArmorProfile") else { return Ok(None) };
    if name.starts_with('-') || name.contains('%') || name == "unconfined" {
        return Ok(None);
    }
    // Where AppArmor is not installed, the kernel may not have it, and systemd does not look at the setting.
    let Some(apparmor) = apparmor(tree)? else { return Ok(None) };
    let is_there = apparmor.profiles.iter().any(|profile| profile.name == name);
    Ok((!is_there)
        .then(|| format!("AppArmorProfile={name}, and there is no such profile in /etc/apparmor.d")))
}

/// What the agent reads and calls beside its program.
pub(super) fn needed(agent: &Agent) -> Vec<&'static str> {
    let mut paths = vec![INJECTED, "/etc/passwd"];
    if agent.user() != "root" {
        paths.extend(["/usr/bin/sudo", "/etc/sudoers", "/etc/sudoers.d"]);
    }
    paths
}

/// The setting that hides a path from a unit.
pub(super) fn hidden(agent: &Agent, path: &str) -> Option<String> {
    hidden_by(agent, path, &["InaccessiblePaths", "InaccessibleDirectories", "TemporaryFileSystem"])
}

/// The setting that hides a program from a unit, or lets it not execute it.
pub(super) fn not_executed(agent: &Agent, path: &str) -> Option<String> {
    hidden(agent, path).or_else(|| hidden_by(agent, path, &["NoExecPaths"]))
}

fn hidden_by(agent: &Agent, path: &str, keys: &[&str]) -> Option<String> {
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
    // The place in the unit's own view, if that is another.
    let inside = |place: &str| place.split(':').take(2).last().is_some_and(is_below);
    if shown.into_iter().any(inside) {
        return None;
    }
    for key in keys {
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
