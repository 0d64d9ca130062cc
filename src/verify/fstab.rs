//! Whether a system can mount at boot what its `/etc/fstab` asks for: systemd waits a minute and a half for what is not
//! there, and then ends in emergency mode, without an agent.

use super::part::{Found, joined};
use super::volumes::is_missing;
use crate::disk::fstab::{self, FstabEntry};
use crate::disk::{Layout, Tree};
use crate::os::files::read_optional;
use crate::report::{CheckGroup, CheckResult};

/// Options with which a boot does not wait for a mount.
const NOT_WAITED_FOR: [&str; 4] =
    ["_netdev", "x-systemd.automount", "x-systemd.wanted-by", "x-systemd.required-by"];

/// The checks of `/etc/fstab`; none where it asks for nothing.
pub(super) fn check(tree: &mut dyn Tree, layout: &Layout, command_line: Option<&str>) -> Vec<CheckResult> {
    let text = match read_optional(tree, b"/etc/fstab") {
        Ok(text) => String::from_utf8_lossy(&text.unwrap_or_default()).into_owned(),
        Err(error) => return vec![mounts(Err(error.into()))],
    };
    let entries = fstab::parse(&text);
    if entries.is_empty() {
        return Vec::new();
    }
    let missing: Vec<String> = entries
        .iter()
        .filter(|entry| is_waited_for(entry) && is_missing(layout, &entry.spec))
        .map(|entry| {
            format!("/etc/fstab mounts `{}` at {}, which the image does not have", entry.name, at(entry))
        })
        .collect();
    let mut results = vec![mounts(Ok(joined(&missing)))];
    if let Some(root) = entries.iter().find(|entry| entry.point.is_empty()) {
        let found = read_only(tree, root, &text, command_line);
        results.push(
            result("its root can be written to", found)
                .why("no service can write anything, the guest agent and cloud-init included")
                .fix("take `ro` out of the options of / in /etc/fstab"),
        );
    }
    results
}

fn at(entry: &FstabEntry) -> &str {
    if entry.point.is_empty() { "/" } else { &entry.point }
}

fn is_waited_for(entry: &FstabEntry) -> bool {
    let asked = entry.options.iter().any(|option| option == "comment=systemd.automount");
    !entry.optional && !entry.later && !asked && entry.options_named(&NOT_WAITED_FOR).next().is_none()
}

fn mounts(found: Found) -> CheckResult {
    result("what it mounts at boot is there", found)
        .why("systemd waits 90 seconds for it, and the boot ends in emergency mode")
        .fix("correct the name in /etc/fstab (`tib inspect --only disk` lists those there are), or add `nofail` to the options")
}

/// Whether the root stays read-only, and nothing that may be meant to be written to lies over it.
fn read_only(tree: &mut dyn Tree, root: &FstabEntry, text: &str, command_line: Option<&str>) -> Found {
    let mode = root.options.iter().rfind(|option| matches!(option.as_str(), "ro" | "rw"));
    if mode.is_none_or(|mode| mode == "rw") {
        return Ok(None);
    }
    // An image with a root that is not meant to change has another place for what does.
    let fields = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let has_var = fields
        .filter_map(|line| line.split_whitespace().nth(1))
        .any(|point| point.trim_end_matches('/') == "/var");
    let overlaid = command_line.unwrap_or_default().split_whitespace().any(|word| {
        ["overlayroot=", "systemd.volatile=", "boot=live"].iter().any(|known| word.starts_with(known))
    });
    if has_var || overlaid || tree.exists(b"/etc/overlayroot.conf")? {
        return Ok(None);
    }
    Ok(Some("/etc/fstab mounts / with `ro`".to_owned()))
}

fn result(title: &str, found: Found) -> CheckResult {
    CheckResult::new(CheckGroup::Image, title, found)
}

#[cfg(test)]
#[path = "fstab_tests.rs"]
mod tests;
