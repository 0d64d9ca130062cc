//! goss files (<https://goss.readthedocs.io>): what they say of an image at rest, in tib's own checks.

mod running;

use std::path::Path;

use crate::check::{Check, PathCheck, PathKind, ServiceState, UserCheck};
use crate::error::{Diagnose, Exit, io_exit};
use crate::given;
use crate::os::yaml::Yaml;
use crate::report::{CheckGroup, CheckResult, Outcome};

pub use running::{Printed, RunningTest};

/// Keys of every test that say nothing about the image.
const IGNORED: [&str; 4] = ["title", "meta", "skip", "timeout"];

/// Why a test is not judged that is more than values to compare with.
const MATCHERS: &str = "tib knows no matchers of goss but plain values";

/// A goss file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GossError {
    /// It could not be read.
    #[error("cannot read the goss file")]
    Read(#[source] std::io::Error),
    /// It is no goss file.
    #[error("`{file}` is no goss file: {fault}")]
    Invalid {
        /// The file.
        file: String,
        /// What is wrong with it.
        fault: String,
    },
}

impl Diagnose for GossError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read(source) => io_exit(source, Exit::Recipe),
            Self::Invalid { .. } => Exit::Recipe,
        }
    }
}

/// What a goss file asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goss {
    /// What can be judged at rest.
    pub checks: Vec<Check>,
    /// What tib cannot judge: a test, and why not.
    unknown: Vec<(String, String)>,
    /// Tests of a running system.
    pub running: Vec<RunningTest>,
}

impl Goss {
    /// Reads a file, YAML or JSON.
    ///
    /// # Errors
    /// [`GossError`].
    pub fn load(path: &Path) -> Result<Self, GossError> {
        let text = given::read(path).map_err(GossError::Read)?;
        Self::parse(&text).map_err(|fault| GossError::Invalid { file: path.display().to_string(), fault })
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut goss = Self::default();
        let Yaml::Map(kinds) = Yaml::parse(text)? else { return Err("it is not a mapping".to_owned()) };
        for (kind, tests) in kinds {
            if kind == "gossfile" {
                return Err("it includes other files: give each of them with `--goss`".to_owned());
            }
            let Yaml::Map(tests) = tests else { return Err(format!("`{kind}` holds no tests")) };
            for (name, test) in tests {
                if flag(&test, "skip")? == Some(true) {
                    continue;
                }
                match kind.as_str() {
                    "package" => goss.package(&name, &test)?,
                    "file" => goss.file(&name, &test)?,
                    "user" => goss.user(&name, &test)?,
                    "group" => goss.group(&name, &test)?,
                    "service" => goss.service(&name, &test)?,
                    "kernel-param" => goss.kernel(&name, &test),
                    "matching" => {
                        goss.unknown.push((format!("matching {name}"), MATCHERS.to_owned()));
                    }
                    other => {
                        let title = format!("{kind} {name}");
                        let test = goss.plain(&title, test);
                        let Some(asked) = running::asked(other, &name, &test)? else {
                            return Err(format!("goss has no tests of `{other}`"));
                        };
                        goss.running.extend(asked.tests);
                        goss.rest(&title, &test, asked.known);
                    }
                }
            }
        }
        for check in &goss.checks {
            check.validate()?;
        }
        if goss == Self::default() {
            return Err("it holds no tests".to_owned());
        }
        Ok(goss)
    }

    /// What could not be judged, which is a failure.
    pub fn not_judged(&self) -> Vec<CheckResult> {
        let result = |(title, reason): &(String, String)| CheckResult {
            title: title.clone(),
            group: CheckGroup::Checks,
            outcome: Outcome::NotChecked { reason: reason.clone() },
            why: None,
            fix: None,
        };
        self.unknown.iter().map(result).collect()
    }

    /// Notes keys of a test that are not among those that are understood.
    fn rest(&mut self, title: &str, test: &Yaml, known: &[&str]) {
        let Yaml::Map(entries) = test else { return };
        for (key, _) in entries {
            if !known.contains(&key.as_str()) && !IGNORED.contains(&key.as_str()) {
                self.unknown.push((format!("{title}: {key}"), format!("tib does not judge `{key}` of goss")));
            }
        }
    }

    /// A test without the keys that hold matchers, which are noted.
    fn plain(&mut self, title: &str, test: Yaml) -> Yaml {
        let Yaml::Map(mut entries) = test else { return test };
        entries.retain(|(key, value)| {
            let plain = value.items().iter().all(|item| matches!(item, Yaml::Text(_)));
            if !plain && !IGNORED.contains(&key.as_str()) {
                self.unknown.push((format!("{title}: {key}"), MATCHERS.to_owned()));
            }
            plain
        });
        Yaml::Map(entries)
    }

    /// Takes a text, and notes what is something else, such as a matcher.
    fn text(&mut self, title: &str, test: &Yaml, key: &str) -> Option<String> {
        match test.get(key)? {
            Yaml::Text(text) => Some(text.clone()),
            Yaml::List(_) | Yaml::Map(_) => {
                self.unknown.push((format!("{title}: {key}"), MATCHERS.to_owned()));
                None
            }
        }
    }

    fn package(&mut self, name: &str, test: &Yaml) -> Result<(), String> {
        let title = format!("package {name}");
        let installed = flag(test, "installed")?.unwrap_or(true);
        let versions = test.get("versions").map_or(&[][..], Yaml::items);
        let version = match versions {
            [] => None,
            [Yaml::Text(version)] => {
                Some(version.split_once(':').map_or(version.as_str(), |(_, rest)| rest).to_owned())
            }
            _ => {
                self.unknown.push((format!("{title}: versions"), "tib compares with one version".to_owned()));
                None
            }
        };
        self.checks.push(Check::Package { name: name.to_owned(), installed, version });
        self.rest(&title, test, &["installed", "versions"]);
        Ok(())
    }

    fn file(&mut self, name: &str, test: &Yaml) -> Result<(), String> {
        let path = test.get("path").and_then(Yaml::text).unwrap_or(name).to_owned();
        let title = format!("file {path}");
        if flag(test, "exists")? == Some(false) {
            self.checks.push(Check::Path(Box::new(PathCheck { exists: false, ..PathCheck::new(path) })));
            return Ok(());
        }
        let mut check = PathCheck::new(path.as_str());
        check.kind = match self.text(&title, test, "filetype").as_deref() {
            Some("file") => Some(PathKind::File),
            Some("directory") => Some(PathKind::Directory),
            Some("symlink") => Some(PathKind::Symlink),
            Some(other) => return Err(format!("{title}: `{other}` is no filetype")),
            None => None,
        };
        check.mode = self.text(&title, test, "mode");
        check.owner = self.text(&title, test, "owner");
        check.group = self.text(&title, test, "group");
        check.sha256 = self.text(&title, test, "sha256");
        check.target = self.text(&title, test, "linked-to");
        self.checks.push(Check::Path(Box::new(check)));
        for key in ["contents", "contains"] {
            for wanted in test.get(key).map_or(&[][..], Yaml::items) {
                let Yaml::Text(wanted) = wanted else {
                    self.unknown.push((format!("{title}: {key}"), MATCHERS.to_owned()));
                    continue;
                };
                self.content(&title, &path, wanted);
            }
        }
        let known = [
            "path",
            "exists",
            "filetype",
            "mode",
            "owner",
            "group",
            "sha256",
            "linked-to",
            "contents",
            "contains",
        ];
        self.rest(&title, test, &known);
        Ok(())
    }

    /// A pattern of goss: text, `/expression/`, and `!` in front of what must not be there.
    fn content(&mut self, title: &str, path: &str, wanted: &str) {
        let expression =
            |text: &str| text.strip_prefix('/').and_then(|text| text.strip_suffix('/')).map(str::to_owned);
        let mut check = PathCheck::new(path);
        match wanted.strip_prefix('!') {
            Some(denied) if expression(denied).is_some() => {
                let reason = "tib cannot ask that an expression does not match".to_owned();
                self.unknown.push((format!("{title}: {wanted}"), reason));
                return;
            }
            Some(denied) => check.lacks = Some(denied.to_owned()),
            None => match expression(wanted) {
                Some(expression) => check.matches = Some(expression),
                None => check.contains = Some(wanted.strip_prefix('\\').unwrap_or(wanted).to_owned()),
            },
        }
        self.checks.push(Check::Path(Box::new(check)));
    }

    fn user(&mut self, name: &str, test: &Yaml) -> Result<(), String> {
        let title = format!("user {name}");
        let mut check = UserCheck::new(name);
        check.exists = flag(test, "exists")?.unwrap_or(true);
        if check.exists {
            check.uid = self.text(&title, test, "uid").map(|text| number(&title, &text)).transpose()?;
            check.home = self.text(&title, test, "home");
            check.shell = self.text(&title, test, "shell");
            let groups = test.get("groups").map_or(&[][..], Yaml::items);
            check.groups = groups.iter().filter_map(Yaml::text).map(str::to_owned).collect();
            self.rest(&title, test, &["exists", "uid", "home", "shell", "groups"]);
        }
        self.checks.push(Check::User(Box::new(check)));
        Ok(())
    }

    fn group(&mut self, name: &str, test: &Yaml) -> Result<(), String> {
        let title = format!("group {name}");
        let exists = flag(test, "exists")?.unwrap_or(true);
        let gid = match exists {
            true => self.text(&title, test, "gid").map(|text| number(&title, &text)).transpose()?,
            false => None,
        };
        self.checks.push(Check::Group { name: name.to_owned(), exists, gid });
        self.rest(&title, test, &["exists", "gid"]);
        Ok(())
    }

    fn service(&mut self, name: &str, test: &Yaml) -> Result<(), String> {
        let title = format!("service {name}");
        let unit = if name.contains('.') { name.to_owned() } else { format!("{name}.service") };
        if let Some(enabled) = flag(test, "enabled")? {
            let state = if enabled { ServiceState::Enabled } else { ServiceState::Disabled };
            self.checks.push(Check::Unit { name: unit.clone(), exists: true, state: Some(state) });
        }
        if let Some(running) = flag(test, "running")? {
            self.running.push(running::service(&title, &unit, running));
        }
        self.rest(&title, test, &["enabled", "running"]);
        Ok(())
    }

    fn kernel(&mut self, key: &str, test: &Yaml) {
        let title = format!("kernel-param {key}");
        if let Some(value) = self.text(&title, test, "value") {
            self.running.push(running::kernel(&title, key, &value));
            self.checks.push(Check::Sysctl { key: key.to_owned(), value });
        }
        self.rest(&title, test, &["value"]);
    }
}

/// A flag; nothing if there is no such key.
fn flag(test: &Yaml, key: &str) -> Result<Option<bool>, String> {
    match test.get(key) {
        None => Ok(None),
        Some(Yaml::Text(text)) if text == "true" => Ok(Some(true)),
        Some(Yaml::Text(text)) if text == "false" => Ok(Some(false)),
        Some(_) => Err(format!("`{key}` is neither true nor false")),
    }
}

/// The texts of a key, of which there may be one without a list.
fn texts<'a>(test: &'a Yaml, key: &str) -> impl Iterator<Item = &'a str> {
    test.get(key).map_or(&[][..], Yaml::items).iter().filter_map(Yaml::text)
}

fn number(title: &str, text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{title}: `{text}` is no number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tests_of_goss_become_checks() {
        let goss = Goss::parse(
            b"package:\n  sudo: {installed: true, versions: ['1:1.9']}\n  telnetd: {installed: false}\n\
              file:\n  /etc/hosts: {exists: true, mode: '0644', owner: root, contents: ['localhost', '!evil', '/^127/']}\n\
              \x20 /etc/motd: {exists: false}\nuser:\n  ubuntu: {exists: true, uid: 1000, groups: [docker]}\n\
              group:\n  docker: {exists: true}\nservice:\n  ssh: {enabled: true, running: true}\n\
              kernel-param:\n  net.ipv4.ip_forward: {value: '1'}\nport:\n  tcp:22: {listening: true}\n",
        )
        .unwrap();
        insta::assert_json_snapshot!(goss.checks);
        let running: Vec<_> = goss.running.iter().map(|test| (test.title.as_str(), test.at_rest)).collect();
        let expected = [
            ("service ssh runs", false),
            ("kernel-param net.ipv4.ip_forward is 1", true),
            ("port tcp:22 is listening", false),
        ];
        assert_eq!(running, expected);
        assert_eq!(goss.not_judged(), []);
    }

    #[test]
    fn json_is_read_and_what_cannot_be_judged_fails() {
        let goss = Goss::parse(
            br#"{"file": {"/x": {"exists": true, "size": {"gt": 0}, "owner": {"not": "root"}, "contents": ["!/a/"]}},
                 "package": {"a": {"installed": true, "versions": ["1", "2"]}, "b": {"installed": true, "skip": true}}}"#,
        )
        .unwrap();
        let titles: Vec<_> = goss.not_judged().into_iter().map(|result| result.title).collect();
        assert_eq!(titles, ["file /x: owner", "file /x: !/a/", "file /x: size", "package a: versions"]);
        assert!(goss.not_judged().iter().all(|result| !result.passed()));
        assert_eq!(goss.checks.len(), 2);
    }

    #[test]
    fn mistakes() {
        for (text, expected) in [
            ("", "it holds no tests"),
            ("- a", "not a mapping"),
            ("files: {/x: {exists: true}}", "goss has no tests of `files`"),
            ("gossfile: {other.yaml: {}}", "give each of them"),
            ("file: {/x: {exists: maybe}}", "neither true nor false"),
            ("file: {/x: {exists: true, mode: 'rwx'}}", "octal digits"),
            ("file: {/x: {exists: true, filetype: pipe}}", "no filetype"),
            ("user: {a: {exists: true, uid: many}}", "is no number"),
            ("a: [", "not YAML"),
        ] {
            let fault = Goss::parse(text.as_bytes()).unwrap_err();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,120}") {
            let _ = Goss::parse(text.as_bytes());
        }
    }
}
