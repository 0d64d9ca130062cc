//! Kernel settings, as `systemd-sysctl` sets them at boot (sysctl.d(5)).

use std::collections::BTreeMap;

use super::{Found, show};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{join, matches, names, read_optional};

/// A file in a directory that comes first hides one of the same name. `/etc/sysctl.conf` is not read, but usually
/// linked as `/etc/sysctl.d/99-sysctl.conf`.
const DIRECTORIES: [&str; 5] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];

/// Assignments of kernel settings, by what was read last.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// In the order in which they are applied. Keys have slashes.
    entries: Vec<Setting>,
}

#[derive(Debug)]
struct Setting {
    key: String,
    /// `None`: patterns leave the key alone.
    value: Option<String>,
    file: String,
}

impl Settings {
    /// Adds what a file says. Lines that say nothing are skipped, as systemd does with a warning.
    pub(super) fn add(&mut self, file: &str, text: &[u8]) {
        for line in String::from_utf8_lossy(text).lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (key, value) = match line.split_once('=') {
                // A dash before a key means that a failure does not matter.
                Some((key, value)) => (key.trim().trim_start_matches('-'), Some(value.trim().to_owned())),
                None => match line.strip_prefix('-') {
                    Some(key) => (key, None),
                    None => continue,
                },
            };
            let key = normalized(key.trim());
            // An assignment of the same value stays where it was.
            if self.entries.iter().any(|entry| entry.key == key && entry.value == value) {
                continue;
            }
            self.entries.retain(|entry| entry.key != key);
            self.entries.push(Setting { key, value, file: file.to_owned() });
        }
    }

    /// The value that counts and the file it comes from. A key itself comes before patterns that match it.
    pub(super) fn get(&self, key: &str) -> Option<(&str, &str)> {
        let key = normalized(key);
        let exact = self.entries.iter().find(|entry| entry.key == key);
        let entry = exact.or_else(|| {
            self.entries.iter().rev().find(|entry| entry.value.is_some() && covers(&entry.key, &key))
        })?;
        Some((entry.value.as_deref()?, &entry.file))
    }
}

/// The key with slashes between its parts. If its first separator is a dot, dots separate and slashes stand for
/// dots.
fn normalized(key: &str) -> String {
    if key.find(['.', '/']).is_some_and(|at| key[at..].starts_with('.')) {
        let swap = |c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        };
        return key.chars().map(swap).collect();
    }
    key.to_owned()
}

fn covers(pattern: &str, key: &str) -> bool {
    let (pattern, key): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), key.split('/').collect());
    pattern.len() == key.len() && pattern.iter().zip(&key).all(|(p, k)| matches(p.as_bytes(), k.as_bytes()))
}

pub(super) fn check(tree: &mut dyn Tree, key: &str, wanted: &str) -> Found {
    let settings = read(tree)?;
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    Ok(match settings.get(key) {
        None => Some("no file sets it".to_owned()),
        Some((value, _)) if words(value) == words(wanted) => None,
        Some((value, file)) => Some(format!("{file} sets it to `{value}`")),
    })
}

fn read(tree: &mut dyn Tree) -> Result<Settings, ReadError> {
    let mut files = BTreeMap::new();
    for directory in DIRECTORIES {
        for name in names(tree, directory.as_bytes())? {
            if name.ends_with(b".conf") {
                let path = join(directory.as_bytes(), &name);
                files.entry(name).or_insert(path);
            }
        }
    }
    let mut settings = Settings::default();
    for path in files.into_values() {
        // A link to nowhere, or to /dev/null, hides others and says nothing.
        if tree.canonicalize(&path).is_ok_and(|path| path == b"/dev/null") {
            continue;
        }
        if let Some(text) = read_optional(tree, &path)? {
            settings.add(&show(&path), &text);
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::os::testing::MemTree;

    fn tree() -> MemTree {
        MemTree::new()
            .file(
                "/usr/lib/sysctl.d/50-default.conf",
                "# vendor\nkernel.sysrq = 438\nnet.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n",
            )
            .file("/usr/lib/sysctl.d/60-hidden.conf", "vm.swappiness = 1\n")
            .link("/etc/sysctl.d/60-hidden.conf", "/dev/null")
            .file("/run/sysctl.d/70-run.conf", "vm/overcommit_memory=1\n")
            .file(
                "/etc/sysctl.d/10-first.conf",
                "kernel.sysrq=0\nnet.ipv4.tcp_rmem = 4096\t87380   6291456\nbroken\n",
            )
            .link("/etc/sysctl.d/99-sysctl.conf", "../sysctl.conf")
            .file("/etc/sysctl.conf", "-net/ipv4/conf/eth0.100/rp_filter = 0\n;net.ipv4.ip_forward = 1\n")
            .file("/etc/sysctl.d/README", "kernel.panic = 1\n")
    }

    #[test]
    fn the_value_that_counts() {
        for (key, value, expected) in [
            ("kernel.sysrq", "438", None),
            ("kernel/sysrq", "0", Some("/usr/lib/sysctl.d/50-default.conf sets it to `438`")),
            ("net.ipv4.tcp_rmem", "4096 87380 6291456", None),
            ("net.ipv4.conf.eth0.rp_filter", "2", None),
            ("net.ipv4.conf.all.rp_filter", "2", Some("no file sets it")),
            ("net/ipv4/conf/eth0.100/rp_filter", "0", None),
            ("net.ipv4.conf.eth0/100.rp_filter", "0", None),
            ("vm.swappiness", "1", Some("no file sets it")),
            ("vm.overcommit_memory", "1", None),
            ("net.ipv4.ip_forward", "1", Some("no file sets it")),
            ("kernel.panic", "1", Some("no file sets it")),
        ] {
            assert_eq!(check(&mut tree(), key, value).unwrap().as_deref(), expected, "{key}");
        }
        let unlinked =
            tree().without("/etc/sysctl.d/99-sysctl.conf").file("/etc/sysctl.conf", "kernel.panic=1\n");
        assert!(
            check(&mut unlinked.clone(), "kernel.panic", "1").unwrap().is_some(),
            "systemd does not read it"
        );
        assert!(check(&mut tree().broken("/run/sysctl.d"), "kernel.sysrq", "438").is_err());
    }

    #[test]
    fn systemd_reads_the_same_files_in_the_same_order() {
        let root = tempfile::tempdir().unwrap();
        let tree = tree().without("/etc/sysctl.d/60-hidden.conf").file("/etc/sysctl.d/60-hidden.conf", "");
        tree.write_below(root.path());
        let output = std::process::Command::new("systemd-analyze")
            .args(["--no-pager", "cat-config", "sysctl.d", "--root"])
            .arg(root.path())
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        // What it shows is one file after the other; read as one, it says what all of them say.
        let mut shown = Settings::default();
        shown.add("all", output.as_bytes());
        let mut tree = tree;
        let found = read(&mut tree).unwrap();
        let list = |settings: &Settings| {
            settings.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect::<Vec<_>>()
        };
        assert!(list(&shown).len() > 5, "{output}");
        assert_eq!(list(&found), list(&shown));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, key in "[a-z./*]{0,12}") {
            let mut settings = Settings::default();
            settings.add("f", &bytes);
            let _ = settings.get(&key);
        }
    }
}
