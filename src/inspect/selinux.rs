//! SELinux at rest: what the next boot will do.

use schemars::JsonSchema;
use serde::Serialize;

use super::boot::boot;
use crate::check::SelinuxMode;
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{escape, join, names, optional, read_optional, show};
use crate::os::selinux::{CONFIG, Config, label_of};

/// How SELinux starts.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Selinux {
    /// What it will do at the next boot; none when nothing says it.
    pub mode: Option<SelinuxMode>,
    /// `SELINUX` of `/etc/selinux/config`; none when no line sets it to something libselinux knows.
    pub configured: Option<SelinuxMode>,
    /// What stands on the command line of the boot loader's default entry and counts before that: `selinux=0`,
    /// `enforcing=0`, `enforcing=1`.
    pub kernel_argument: Option<String>,
    /// `SELINUXTYPE`: the name of the policy.
    pub policy: Option<String>,
    /// The policy's compiled file with the highest version.
    pub policy_file: Option<String>,
    /// That version.
    pub policy_version: Option<u32>,
    /// Whether all files are labelled anew at the next boot.
    pub autorelabel: bool,
    /// Whether files are labelled.
    pub labels: Labels,
}

/// What was found of labels on files every system has.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Labels {
    /// How many files were looked at.
    pub checked: usize,
    /// Those of them without a label.
    pub missing: Vec<String>,
}

/// Looks at SELinux's configuration; `None` when there is none.
///
/// # Errors
/// [`ReadError::Disk`]; what is wrong with the boot loader's configuration.
pub(crate) fn selinux(tree: &mut dyn Tree) -> Result<Option<Selinux>, ReadError> {
    let Some(text) = read_optional(tree, CONFIG.as_bytes())? else { return Ok(None) };
    let Config { mode: configured, policy } = Config::parse(&text);
    let entries = boot(tree, None)?.entries;
    let default = entries.iter().find(|entry| entry.default).map(|entry| entry.command_line.as_str());
    let (mode, argument) = at_boot(configured, default.unwrap_or_default());
    let newest = match &policy {
        Some(policy) => newest(tree, policy)?,
        None => None,
    };
    let autorelabel = tree.exists(b"/.autorelabel")?;
    let labels = look_at_labels(tree)?;
    Ok(Some(Selinux {
        mode,
        configured,
        kernel_argument: argument.map(escape),
        policy: policy.as_deref().map(escape),
        policy_version: newest.as_ref().map(|(version, _)| *version),
        policy_file: newest.map(|(_, file)| show(&file)),
        autorelabel,
        labels,
    }))
}

/// The mode with a kernel command line, and the argument of it that counts. The kernel takes the last `selinux=`,
/// libselinux the first `enforcing=`, which cannot turn on what is disabled.
fn at_boot(configured: Option<SelinuxMode>, command_line: &str) -> (Option<SelinuxMode>, Option<&str>) {
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok();
    let is_zero = |text: &str| number(text).unwrap_or(0) == 0;
    let of_kernel = command_line.split_whitespace().take_while(|word| *word != "--");
    let off = of_kernel.filter(|word| word.starts_with("selinux=")).last();
    if let Some(word) = off.filter(|word| is_zero(word.trim_start_matches("selinux="))) {
        return (Some(SelinuxMode::Disabled), Some(word));
    }
    let mut words = command_line.split_whitespace();
    let enforcing = words.find_map(|word| Some((word, word.strip_prefix("enforcing=")?)));
    match enforcing.filter(|_| configured != Some(SelinuxMode::Disabled)) {
        Some((word, value)) if is_zero(value) => (Some(SelinuxMode::Permissive), Some(word)),
        Some((word, _)) => (Some(SelinuxMode::Enforcing), Some(word)),
        None => (configured, None),
    }
}

/// The compiled policy with the highest version, `policy.33` and the like.
fn newest(tree: &mut dyn Tree, policy: &str) -> Result<Option<(u32, Vec<u8>)>, ReadError> {
    let directory = format!("/etc/selinux/{policy}/policy").into_bytes();
    let versions = names(tree, &directory)?.into_iter().filter_map(|name| {
        let version = std::str::from_utf8(&name).ok()?.strip_prefix("policy.")?.parse().ok()?;
        Some((version, join(&directory, &name)))
    });
    Ok(versions.max())
}

/// Files of every system, of several types. One without a label means the image was changed without SELinux.
fn look_at_labels(tree: &mut dyn Tree) -> Result<Labels, ReadError> {
    const FILES: [&[u8]; 10] = [
        b"/",
        b"/etc",
        b"/etc/passwd",
        b"/etc/shadow",
        b"/etc/ssh/sshd_config",
        b"/root",
        b"/usr/bin/bash",
        b"/usr/lib/systemd/systemd",
        b"/usr/sbin/sshd",
        b"/var/log",
    ];
    let mut labels = Labels { checked: 0, missing: Vec::new() };
    for path in FILES {
        if optional(tree.lstat(path))?.is_none() {
            continue;
        }
        labels.checked += 1;
        if label_of(&tree.xattrs(path)?).is_none() {
            labels.missing.push(show(path));
        }
    }
    Ok(labels)
}

/// For the fuzzer: reads any text as the configuration.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    at_boot(Config::parse(text).mode, &String::from_utf8_lossy(text));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn the_command_line_counts() {
        use SelinuxMode::{Disabled, Enforcing, Permissive};
        for (configured, line, mode, argument) in [
            (Some(Enforcing), "root=/dev/vda1 ro quiet", Some(Enforcing), None),
            (Some(Enforcing), "ro selinux=0", Some(Disabled), Some("selinux=0")),
            (Some(Enforcing), "selinux=0 selinux=1", Some(Enforcing), None),
            (Some(Enforcing), "selinux=1 -- selinux=0", Some(Enforcing), None),
            (Some(Enforcing), "enforcing=0 enforcing=1", Some(Permissive), Some("enforcing=0")),
            (Some(Permissive), "xenforcing=0 enforcing=1", Some(Enforcing), Some("enforcing=1")),
            (Some(Disabled), "enforcing=1", Some(Disabled), None),
            (None, "enforcing=0", Some(Permissive), Some("enforcing=0")),
            (None, "", None, None),
        ] {
            assert_eq!(at_boot(configured, line), (mode, argument), "{configured:?} {line}");
        }
    }

    #[test]
    fn the_default_entry_is_the_one_that_counts() {
        let grub =
            "set default=\"1\"\nmenuentry 'a' {\nlinux /a ro\n}\nmenuentry 'b' {\nlinux /b ro selinux=0\n}\n";
        let mut tree = MemTree::new()
            .file("/etc/selinux/config", "SELINUX=enforcing\n")
            .file("/boot/grub2/grub.cfg", grub);
        let found = selinux(&mut tree).unwrap().unwrap();
        assert_eq!(
            (found.mode, found.configured),
            (Some(SelinuxMode::Disabled), Some(SelinuxMode::Enforcing))
        );
        assert_eq!(found.kernel_argument.as_deref(), Some("selinux=0"));
    }

    #[test]
    fn policy_files_and_labels() {
        let tree = MemTree::new()
            .file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n")
            .file("/etc/selinux/targeted/policy/policy.9", "")
            .file("/etc/selinux/targeted/policy/policy.33", "")
            .file("/etc/selinux/targeted/policy/policy.kern", "")
            .file("/.autorelabel", "")
            .file("/etc/passwd", "");
        let mut tree = tree.xattr("/", "security.selinux", "system_u:object_r:root_t:s0\0").xattr(
            "/etc",
            "security.selinux",
            "system_u:object_r:etc_t:s0\0",
        );
        let found = selinux(&mut tree).unwrap().unwrap();
        assert_eq!(found.policy_file.as_deref(), Some("/etc/selinux/targeted/policy/policy.33"));
        assert_eq!((found.policy_version, found.autorelabel), (Some(33), true));
        assert_eq!(found.labels, Labels { checked: 3, missing: vec!["/etc/passwd".to_owned()] });

        assert_eq!(selinux(&mut MemTree::new()).unwrap(), None);
        for broken in ["/etc/selinux/targeted", "/etc/passwd"] {
            assert!(selinux(&mut tree.clone().broken(broken)).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            any_text(&bytes);
        }
    }
}
