//! How programs read their configuration files: what includes what, and what holds under a condition only.

use std::collections::BTreeSet;

use super::lines::{assignments, folded};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{absolute, glob, is_masked, join, names};
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

/// Whether several lines of an sshd key add up.
pub(super) fn adds_up(key: &str) -> bool {
    ADD_UP.contains(&key)
}

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

    /// A setting as one of `key`, if it is.
    pub(super) fn sets(self, setting: Setting, key: &str) -> Option<Setting> {
        let name = folded(&setting.key);
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
        let negated = ["skip_", "disable_"].iter().any(|prefix| name.strip_prefix(prefix) == Some(key));
        (negated && setting.value.is_empty()).then(|| Setting { value: "0".to_owned(), ..setting })
    }

    /// A value as it is compared.
    pub(super) fn value(self, value: &str) -> String {
        if self != Self::Sshd {
            return value.to_owned();
        }
        match value.to_ascii_lowercase().as_str() {
            "yes" | "true" => "yes".to_owned(),
            "no" | "false" => "no".to_owned(),
            "prohibit-password" | "without-password" => "prohibit-password".to_owned(),
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
        Ok(self.found)
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
        let text = self.tree.read(path, FILE_LIMIT)?;
        if self.program == Program::Sshd {
            return self.sshd(path, &text, scope, depth);
        }
        for line in assignments(&text) {
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
            match line.key.to_ascii_lowercase().as_str() {
                "match" if outer == Scope::Some => {}
                "match" if line.value.eq_ignore_ascii_case("all") => scope = Scope::All,
                "match" => scope = Scope::Some,
                "include" => {
                    for pattern in line.value.split_whitespace().map(|word| word.trim_matches('"')) {
                        let pattern = if pattern.starts_with('/') {
                            pattern.to_owned()
                        } else {
                            format!("/etc/ssh/{pattern}")
                        };
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
                    value: line.value,
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
