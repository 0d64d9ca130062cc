//! How programs read their configuration files: what includes what, and what holds under a condition only.

use std::collections::BTreeSet;

use super::lines::{assignments, folded};
use super::values;
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{absolute, is_masked, join, names};
use crate::os::fnmatch::glob;
use crate::shown::show;

/// The longest configuration file that is read.
const FILE_LIMIT: u64 = 4 << 20;
/// How deeply files may include each other; sshd's own limit, and the largest of all.
const DEPTH: usize = 16;
/// Files that are read for one check.
const FILES: usize = 1000;

/// A program whose files tib knows to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// OpenSSH's server: `Include`, `Match`, the first value counts. sshd_config(5), `servconf.c`.
    Sshd,
    /// MySQL and MariaDB: `!include`, `!includedir`, the last value counts.
    MySql,
    /// `PostgreSQL`: `include`, `include_if_exists`, `include_dir`, the last value counts.
    Postgres,
    /// Redis and Valkey: `include`, the last value counts.
    Redis,
    /// Any other: nothing is included.
    Any,
}

/// An assignment that counts, as far as its file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) file: Vec<u8>,
    pub(super) section: Option<String>,
    pub(super) key: String,
    pub(super) value: String,
    /// It comes before all others wherever it stands: below `Match all` of sshd.
    pub(super) over: bool,
}

/// Keys of sshd of which several lines add up.
const ADD_UP: [&str; 11] = [
    "acceptenv",
    "allowgroups",
    "allowusers",
    "denygroups",
    "denyusers",
    "hostcertificate",
    "hostkey",
    "listenaddress",
    "port",
    "setenv",
    "subsystem",
];

/// Older names of sshd's keys, and what they mean (`keywords` in `servconf.c`).
const FORMER: [(&str, &str); 9] = [
    ("challengeresponseauthentication", "kbdinteractiveauthentication"),
    ("dsaauthentication", "pubkeyauthentication"),
    ("hostbasedacceptedkeytypes", "hostbasedacceptedalgorithms"),
    ("hostdsakey", "hostkey"),
    ("keepalive", "tcpkeepalive"),
    ("pubkeyacceptedkeytypes", "pubkeyacceptedalgorithms"),
    ("reversemappingcheck", "usedns"),
    ("skeyauthentication", "kbdinteractiveauthentication"),
    ("verifyreversemapping", "usedns"),
];

impl Program {
    /// The program that reads files of these names.
    pub(super) fn of(files: &[Vec<u8>]) -> Self {
        let is = |path: &[u8]| {
            let text = String::from_utf8_lossy(path).into_owned();
            let name = text.rsplit('/').next().unwrap_or_default();
            let below = |directory: &str| text.split('/').any(|part| part == directory);
            if name == "sshd_config" || below("sshd_config.d") {
                Self::Sshd
            } else if (name.ends_with(".cnf") && (below("mysql") || below("my.cnf.d"))) || name == "my.cnf" {
                Self::MySql
            } else if name.ends_with(".conf")
                && (below("postgresql") || below("pgsql") || name == "postgresql.conf")
            {
                Self::Postgres
            } else if name.ends_with(".conf") && (name.starts_with("redis") || name.starts_with("valkey")) {
                Self::Redis
            } else {
                Self::Any
            }
        };
        let mut programs = files.iter().map(|path| is(path));
        let first = programs.next().unwrap_or(Self::Any);
        if programs.all(|program| program == first) { first } else { Self::Any }
    }

    /// A key, folded, by the name that the program knows it by today.
    pub(super) fn key(self, key: &str) -> String {
        let key = folded(key);
        let today = FORMER.iter().find(|(former, _)| self == Self::Sshd && *former == key);
        today.map_or(key, |(_, today)| (*today).to_owned())
    }

    /// Whether several lines of a key of [`Self::key`] add up.
    pub(super) fn adds_up(self, key: &str) -> bool {
        self == Self::Sshd && ADD_UP.contains(&key)
    }

    /// A setting as one of `key`, if it is.
    pub(super) fn sets(self, setting: Setting, key: &str) -> Option<Setting> {
        let name = self.key(&setting.key);
        if name == key {
            return Some(setting);
        }
        if self != Self::MySql {
            return None;
        }
        let name = name.strip_prefix("loose_").unwrap_or(&name);
        if name == key {
            return Some(setting);
        }
        let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.strip_prefix(prefix) == Some(key));
        let value = if is(&["skip_", "disable_"]) {
            "0"
        } else if is(&["enable_"]) {
            "1"
        } else {
            return None;
        };
        setting.value.is_empty().then(|| Setting { value: value.to_owned(), ..setting })
    }

    /// A value as it is compared.
    pub(super) fn value(self, value: &str) -> String {
        let (yes, no): (&[&str], &[&str]) = match self {
            Self::Sshd => (&["yes"], &["no"]),
            Self::Postgres => (&["on", "true", "yes", "1"], &["off", "false", "no", "0"]),
            Self::MySql => (&["on", "true", "1"], &["off", "false", "0"]),
            Self::Redis => (&["yes"], &["no"]),
            Self::Any => (&[], &[]),
        };
        let is_one = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
        match (yes.first(), no.first()) {
            (Some(yes_word), _) if is_one(yes) => (*yes_word).to_owned(),
            (_, Some(no_word)) if is_one(no) => (*no_word).to_owned(),
            _ if self == Self::Sshd && is_one(&["without-password"]) => "prohibit-password".to_owned(),
            _ if self == Self::Sshd && is_one(&["prohibit-password"]) => "prohibit-password".to_owned(),
            _ => value.to_owned(),
        }
    }
}

/// Reads files, and those that they include, where they include them.
pub(super) struct Reading<'a> {
    tree: &'a mut dyn Tree,
    program: Program,
    read: BTreeSet<Vec<u8>>,
    found: Vec<Setting>,
    count: usize,
}

/// Where in sshd's files a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// It holds for everybody.
    Global,
    /// It holds for everybody, over what is said elsewhere.
    All,
    /// It holds for some only.
    Some,
}

impl<'a> Reading<'a> {
    pub(super) fn new(tree: &'a mut dyn Tree, program: Program) -> Self {
        Self { tree, program, read: BTreeSet::new(), found: Vec::new(), count: 0 }
    }

    /// All assignments of `files`, which are in the order in which the program reads them.
    pub(super) fn read(mut self, files: &[Vec<u8>]) -> Result<Vec<Setting>, ReadError> {
        // sshd reads one file, and of others what that includes.
        let main = files.iter().find(|path| self.program == Program::Sshd && path.ends_with(b"/sshd_config"));
        if let Some(main) = main {
            self.file(main, Scope::Global, 0)?;
            return Ok(self.found);
        }
        for file in files {
            // It was read where another includes it.
            if !self.read.contains(file) {
                self.file(file, Scope::Global, 0)?;
            }
        }
        if self.program == Program::Postgres {
            self.altered(files)?;
        }
        Ok(self.found)
    }

    /// What `ALTER SYSTEM` wrote into the data directory comes after `postgresql.conf` and all that it includes.
    fn altered(&mut self, files: &[Vec<u8>]) -> Result<(), ReadError> {
        let Some(main) = files.iter().find(|path| path.ends_with(b"/postgresql.conf")) else { return Ok(()) };
        let data = self.found.iter().rfind(|setting| folded(&setting.key) == "data_directory");
        let data = data.map_or(".", |setting| &setting.value).to_owned();
        let path = join(&relative(main, &data), b"postgresql.auto.conf");
        if self.tree.exists(&path)? && !self.read.contains(&path) {
            self.file(&path, Scope::Global, 0)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &[u8], scope: Scope, depth: usize) -> Result<(), ReadError> {
        self.count += 1;
        if depth > DEPTH || self.count > FILES {
            return Err(undecided(path, "files include each other without end"));
        }
        self.read.insert(path.to_vec());
        if is_masked(self.tree, path)? {
            return Ok(());
        }
        // MySQL and MariaDB say so, and go on without it.
        if self.program == Program::MySql && self.tree.stat(path)?.mode & 0o002 != 0 {
            return Ok(());
        }
        let text = self.tree.read(path, FILE_LIMIT)?;
        if self.program == Program::Sshd {
            return self.sshd(path, &text, scope, depth);
        }
        for line in assignments(&text) {
            let line = match self.program {
                Program::MySql => values::mysql(line),
                Program::Postgres => values::postgres(line),
                _ => line,
            };
            let included = match (self.program, line.key.to_ascii_lowercase().as_str()) {
                (Program::MySql, "!includedir") => self.directory(line.value.as_bytes(), b".cnf")?,
                (Program::MySql, "!include") => self.there(line.value.as_bytes())?,
                (Program::Postgres, "include_dir") => {
                    self.directory(&relative(path, &line.value), b".conf")?
                }
                (Program::Postgres, "include_if_exists") => self.there(&relative(path, &line.value))?,
                (Program::Postgres, "include") => vec![relative(path, &line.value)],
                (Program::Redis, "include") if line.value.starts_with('/') => {
                    glob(self.tree, line.value.as_bytes())?
                }
                (Program::Redis, "include") => {
                    return Err(undecided(
                        path,
                        "it includes a file below a directory that its unit chooses",
                    ));
                }
                _ => {
                    let (section, key, value) = (line.section, line.key, line.value);
                    self.found.push(Setting { file: path.to_vec(), section, key, value, over: false });
                    continue;
                }
            };
            for file in included {
                self.file(&file, scope, depth + 1)?;
            }
        }
        Ok(())
    }

    /// `Match` holds until the end of its file, and `Include` takes it along.
    fn sshd(&mut self, path: &[u8], text: &[u8], outer: Scope, depth: usize) -> Result<(), ReadError> {
        let mut scope = outer;
        for line in assignments(text) {
            let words = values::sshd(&line.rest);
            let is_all = words.len() == 1 && words[0].eq_ignore_ascii_case("all");
            match line.key.to_ascii_lowercase().as_str() {
                "match" if outer == Scope::Some => {}
                "match" if is_all => scope = Scope::All,
                "match" => scope = Scope::Some,
                "include" => {
                    for pattern in words {
                        let pattern =
                            if pattern.starts_with('/') { pattern } else { format!("/etc/ssh/{pattern}") };
                        for file in glob(self.tree, pattern.as_bytes())? {
                            self.file(&file, scope, depth + 1)?;
                        }
                    }
                }
                _ if scope == Scope::Some => {}
                _ => self.found.push(Setting {
                    file: path.to_vec(),
                    section: line.section,
                    key: line.key,
                    value: words.join(" "),
                    over: scope == Scope::All,
                }),
            }
        }
        Ok(())
    }

    /// The files of a directory that end so, by name; hidden ones do not count.
    fn directory(&mut self, path: &[u8], suffix: &[u8]) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut found = names(self.tree, path)?;
        found.retain(|name| name.ends_with(suffix) && !name.starts_with(b"."));
        found.sort_unstable();
        Ok(found.iter().map(|name| join(path, name)).collect())
    }

    /// A file, if it is there.
    fn there(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, ReadError> {
        Ok(if self.tree.exists(path)? { vec![path.to_vec()] } else { Vec::new() })
    }
}

/// A path that is relative to the directory of the file it stands in.
fn relative(file: &[u8], path: &str) -> Vec<u8> {
    let end = file.iter().rposition(|&byte| byte == b'/').unwrap_or_default();
    absolute(&file[..end], path.as_bytes())
}

fn undecided(path: &[u8], reason: &str) -> ReadError {
    ReadError::Unsupported { what: "the configuration", reason: format!("{}: {reason}", show(path)) }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
