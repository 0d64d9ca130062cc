//! Conditions of the agent's unit that cannot hold in an instance.

use super::at_boot::is_at_boot;
use super::python::machine;
use super::unit::Agent;
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{names, optional};
use crate::os::fnmatch::glob;

/// Conditions that cannot hold, with the command line that the boot loader gives the kernel. Of those with `|` one has to, of the others all. What is not known at rest may hold.
pub(super) fn failing(
    tree: &mut dyn Tree,
    agent: &Agent,
    command_line: Option<&str>,
    kind: &str,
) -> Result<Vec<String>, ReadError> {
    const ABOUT: [&str; 11] = [
        "PathExists",
        "PathExistsGlob",
        "PathIsDirectory",
        "PathIsSymbolicLink",
        "FileNotEmpty",
        "DirectoryNotEmpty",
        "FileIsExecutable",
        "Virtualization",
        "User",
        "Architecture",
        "KernelCommandLine",
    ];
    let (mut wrong, mut any, mut alternatives) = (Vec::new(), false, Vec::new());
    for about in ABOUT {
        let key = format!("{kind}{about}");
        for line in agent.unit.all("Unit", &key) {
            let (triggers, value) = match line.strip_prefix('|') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, line),
            };
            let (negated, plain) = match value.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, value),
            };
            let holds = holds(tree, command_line, about, plain)?.is_none_or(|holds| holds != negated);
            let shown = format!("{key}={line} does not hold");
            match (triggers, holds) {
                (true, true) => any = true,
                (true, false) => alternatives.push(shown),
                (false, true) => {}
                (false, false) => wrong.push(shown),
            }
        }
    }
    // Another that is not looked at may be the one that holds.
    let prefix = |line: &&str| line.starts_with('|');
    let others = ["Host", "Security", "FirstBoot", "KernelVersion", "Memory", "CPUs"];
    any |= others.iter().any(|about| agent.unit.all("Unit", &format!("{kind}{about}")).iter().any(prefix));
    if !any {
        wrong.extend(alternatives);
    }
    Ok(wrong)
}

/// Whether a condition holds; `None` if that is not known at rest.
fn holds(
    tree: &mut dyn Tree,
    command_line: Option<&str>,
    about: &str,
    value: &str,
) -> Result<Option<bool>, ReadError> {
    if value.contains('%') {
        return Ok(None);
    }
    match about {
        "Virtualization" => return Ok(virtualization(value)),
        // systemd asks this of itself, and not of the unit's user.
        "User" => return Ok(Some(matches!(value, "root" | "0" | "@system"))),
        "Architecture" => return architecture(tree, value),
        "KernelCommandLine" => return Ok(kernel_has(command_line, value)),
        _ => {}
    }
    if !value.starts_with('/') || is_at_boot(value) {
        return Ok(None);
    }
    let path = value.as_bytes();
    let stat = optional(tree.stat(path))?;
    let kind = stat.as_ref().map(|stat| stat.kind);
    Ok(Some(match about {
        "PathExists" => stat.is_some(),
        "PathExistsGlob" => !glob(tree, path)?.is_empty(),
        "PathIsDirectory" => kind == Some(FileKind::Directory),
        "PathIsSymbolicLink" => {
            optional(tree.lstat(path))?.is_some_and(|stat| stat.kind == FileKind::Symlink)
        }
        "FileNotEmpty" => stat.is_some_and(|stat| stat.kind == FileKind::File && stat.size > 0),
        "DirectoryNotEmpty" => !names(tree, path)?.is_empty(),
        "FileIsExecutable" => stat.is_some_and(|stat| stat.kind == FileKind::File && stat.mode & 0o111 != 0),
        _ => return Ok(None),
    }))
}

/// An instance is a virtual machine of QEMU's, with KVM or without, and no container.
fn virtualization(value: &str) -> Option<bool> {
    const OTHERS: [&str; 23] = [
        "container",
        "docker",
        "podman",
        "lxc",
        "lxc-libvirt",
        "systemd-nspawn",
        "private-users",
        "acrn",
        "amazon",
        "apple",
        "bhyve",
        "bochs",
        "google",
        "microsoft",
        "oracle",
        "parallels",
        "powervm",
        "qnx",
        "sre",
        "uml",
        "vmware",
        "xen",
        "zvm",
    ];
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "on" | "vm" => Some(true),
        "no" | "false" | "0" | "off" => Some(false),
        other if OTHERS.contains(&other) => Some(false),
        _ => None,
    }
}

/// The processor that the image's programs are for, by its first Python.
fn architecture(tree: &mut dyn Tree, value: &str) -> Result<Option<bool>, ReadError> {
    let own = match machine(tree, b"/usr/bin/python3")? {
        "x86_64" => "x86-64",
        "aarch64" => "arm64",
        _ => return Ok(None),
    };
    Ok(Some(value == "native" || value == own))
}

/// Whether the kernel's command line has a word: with `=` this very one, else one of this name.
fn kernel_has(command_line: Option<&str>, value: &str) -> Option<bool> {
    // What boot loaders add themselves.
    const ADDED: [&str; 2] = ["BOOT_IMAGE", "initrd"];
    let name = value.split('=').next().unwrap_or(value);
    if ADDED.contains(&name) {
        return None;
    }
    let mut words = command_line?.split_whitespace();
    Some(words.any(|word| word == value || !value.contains('=') && word.split('=').next() == Some(value)))
}
