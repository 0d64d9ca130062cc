//! What the distribution wants enabled: the `.preset` files, as `systemctl preset` reads them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{instance, is_template};
use crate::disk::{DiskError, FileKind, Tree};
use crate::os::files::{join, names, optional, too_much};
use crate::os::fnmatch::fnmatch;

/// Where presets are, first match wins.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system-preset",
    "/run/systemd/system-preset",
    "/usr/local/lib/systemd/system-preset",
    "/usr/lib/systemd/system-preset",
    "/lib/systemd/system-preset",
];

/// The largest preset file; real ones are a few kilobytes.
const FILE_LIMIT: u64 = 256 << 10;
/// The most rules; real systems have a few hundred.
const RULE_LIMIT: usize = 10_000;
/// The longest pattern that can match: names of units are shorter than this.
const PATTERN_LIMIT: usize = 1024;

/// What `systemctl preset` would do with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Enable it.
    Enabled,
    /// Disable it.
    Disabled,
    /// Leave it as it is.
    Ignored,
}

impl Preset {
    /// systemd's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Ignored => "ignored",
        }
    }
}

/// The rules of an image, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presets(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    action: Preset,
    pattern: String,
    instances: Vec<String>,
}

impl Presets {
    /// Reads the rules of all preset files, sorted by file name; one in a directory that comes first hides one
    /// of the same name.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn read(tree: &mut dyn Tree) -> Result<Self, DiskError> {
        let mut files = BTreeMap::new();
        for directory in DIRECTORIES {
            for name in names(tree, directory.as_bytes())? {
                if name.ends_with(b".preset") {
                    let path = join(directory.as_bytes(), &name);
                    files.entry(name).or_insert(path);
                }
            }
        }
        let mut presets = Self::default();
        for path in files.values() {
            // A link to /dev/null, which leads nowhere at rest, hides a file and holds no rules.
            let is_file = optional(tree.stat(path))?.is_some_and(|stat| stat.kind == FileKind::File);
            if is_file {
                presets.append(&tree.read(path, FILE_LIMIT)?);
            }
            if presets.0.len() > RULE_LIMIT {
                return Err(too_much(path));
            }
        }
        Ok(presets)
    }

    /// Reads the text of one file. Lines that make no sense are skipped, as systemd does with a warning.
    pub fn parse(text: &[u8]) -> Self {
        let mut presets = Self::default();
        presets.append(text);
        presets
    }

    fn append(&mut self, text: &[u8]) {
        for line in String::from_utf8_lossy(text).lines().map(str::trim) {
            let Some((word, rest)) = line.split_once(char::is_whitespace) else { continue };
            let rest = rest.trim_start();
            let rule = match word {
                "enable" => {
                    let mut words = rest.split_whitespace().map(str::to_owned);
                    let Some(pattern) = words.next() else { continue };
                    let instances: Vec<String> = words.collect();
                    if !instances.is_empty() && !is_template(&pattern) {
                        continue; // Only a template can have instances; systemd skips such a line.
                    }
                    Rule { action: Preset::Enabled, pattern, instances }
                }
                "disable" => Rule { action: Preset::Disabled, pattern: rest.to_owned(), instances: vec![] },
                "ignore" => Rule { action: Preset::Ignored, pattern: rest.to_owned(), instances: vec![] },
                _ => continue,
            };
            if rule.pattern.len() <= PATTERN_LIMIT {
                self.0.push(rule);
            }
        }
    }

    /// What `systemctl preset` would do with a unit. Without a rule, it enables.
    pub fn of(&self, name: &str) -> Preset {
        let instance = instance(name);
        let found = self.0.iter().find(|rule| {
            let listed = instance.as_ref().is_some_and(|(template, instance)| {
                rule.pattern == *template && rule.instances.iter().any(|listed| listed == instance)
            });
            listed || fnmatch(rule.pattern.as_bytes(), name.as_bytes())
        });
        found.map_or(Preset::Enabled, |rule| rule.action)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::os::testing::MemTree;

    const RULES: &str = "# c\n; c\nenable a.service\ndisable b.*\nenable t@.service one two\ndisable t@.service\n\
                         disable t@*.service\nenable [xy]?.service\ndisable [!a-m]*.service\nenable q.service r\n\
                         disable  c.service  \nnonsense d.service\ndisable *.timer\n";

    fn tree() -> MemTree {
        let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
        let names = ["a", "b", "c", "d", "n", "q", "x1", "xx1", "t@", "[", "u@"];
        let tree = names.iter().fold(MemTree::new().link("/lib", "usr/lib"), |tree, name| {
            tree.file(&format!("/usr/lib/systemd/system/{name}.service"), unit)
        });
        tree.file(
            "/usr/lib/systemd/system/a.timer",
            "[Timer]\nOnBootSec=1\n[Install]\nWantedBy=timers.target\n",
        )
        .file("/usr/lib/systemd/system-preset/50-rules.preset", RULES)
        .file("/usr/lib/systemd/system-preset/10-hidden.preset", "disable *\n")
        .file("/etc/systemd/system-preset/10-hidden.preset", "")
        .file("/usr/lib/systemd/system-preset/20-masked.preset", "disable *\n")
        .link("/etc/systemd/system-preset/20-masked.preset", "/dev/null")
        .file("/usr/lib/systemd/system-preset/readme", "disable *\n")
        .dir("/etc/systemd/system")
    }

    /// `systemctl preset` is the judge: what it enables has a link afterwards.
    #[test]
    fn systemctl_presets_the_same() {
        let mut tree = tree();
        let presets = Presets::read(&mut tree).unwrap();
        for (unit, expected) in [
            ("a.service", Preset::Enabled),
            ("b.service", Preset::Disabled),
            ("c.service", Preset::Disabled),
            ("d.service", Preset::Enabled),
            ("n.service", Preset::Disabled),
            ("q.service", Preset::Disabled),
            ("x1.service", Preset::Enabled),
            ("xx1.service", Preset::Disabled),
            ("t@one.service", Preset::Enabled),
            ("t@three.service", Preset::Disabled),
            ("u@x.service", Preset::Disabled),
            ("a.timer", Preset::Disabled),
        ] {
            assert_eq!(presets.of(unit), expected, "{unit}");
            let root = tempfile::tempdir().unwrap();
            tree.write_below(root.path());
            let output = Command::new("systemctl")
                .arg(format!("--root={}", root.path().display()))
                .args(["preset", unit])
                .output()
                .unwrap();
            assert!(output.status.success(), "{unit}: {}", String::from_utf8_lossy(&output.stderr));
            let target = if unit.ends_with(".timer") { "timers" } else { "multi-user" };
            let link = root.path().join(format!("etc/systemd/system/{target}.target.wants/{unit}"));
            assert_eq!(link.symlink_metadata().is_ok(), expected == Preset::Enabled, "{unit}");
        }
    }

    #[test]
    fn newer_words() {
        let presets = Presets::parse(b"ignore a.service\nenable\n");
        assert_eq!(presets.of("a.service"), Preset::Ignored);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text: Vec<u8>, name in "[a-z@.\\[\\]*?-]{0,12}") {
            let mut presets = Presets::default();
            presets.append(&text);
            presets.append(format!("enable {name}\ndisable [{name}\n").as_bytes());
            presets.of(&name);
            prop_assert!(fnmatch(b"*", name.as_bytes()));
        }
    }
}
