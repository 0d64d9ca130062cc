//! The package database of an image.

use super::files::{join, names, read_optional};
use super::release::family;
use super::{Package, ReadError, rpm};
use crate::disk::{DiskError, Tree};
use crate::distro::Family;

const STATUS: &[u8] = b"/var/lib/dpkg/status";

/// A package that is there, but not ready: dpkg was interrupted, or failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unfinished {
    pub(crate) name: String,
    /// In dpkg's words: `unpacked`, `half-configured`, …
    pub(crate) state: String,
}

/// Whose database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Dpkg,
    Rpm,
}

/// A package database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) manager: Manager,
    /// Sorted by name.
    pub(crate) installed: Vec<Package>,
    pub(crate) unfinished: Vec<Unfinished>,
}

/// The installed packages, sorted by name.
///
/// # Errors
/// [`ReadError::Unsupported`] for an image without a package database, and for an RPM database that was being
/// changed; [`ReadError::Malformed`] for a damaged one, [`ReadError::Disk`].
pub fn packages(tree: &mut dyn Tree) -> Result<Vec<Package>, ReadError> {
    Ok(database(tree)?.installed)
}

/// The package database of the system. A tool for the other kind of packages may have one, too: without packages it
/// does not count, and with some the distribution decides.
///
/// # Errors
/// As [`packages`].
pub(crate) fn database(tree: &mut dyn Tree) -> Result<Database, ReadError> {
    let dpkg = dpkg(tree)?;
    let is_empty = dpkg.as_ref().is_none_or(|found| found.stanzas == 0);
    let is_of_rpm = is_empty || matches!(family(tree)?, Some(Family::Rhel | Family::Suse));
    let rpm = if is_of_rpm { rpm::packages(tree)? } else { None };
    let mut found = match (dpkg, rpm) {
        (Some(dpkg), None) => dpkg.database(),
        (Some(dpkg), Some(rpm)) if rpm.is_empty() => dpkg.database(),
        (_, Some(installed)) => Database { manager: Manager::Rpm, installed, unfinished: Vec::new() },
        (None, None) => {
            return Err(ReadError::Unsupported {
                what: "the installed packages",
                reason: "the image has neither a dpkg nor an RPM database".to_owned(),
            });
        }
    };
    found.installed.sort_unstable();
    found.installed.dedup();
    Ok(found)
}

/// dpkg's database; `None` where there is none.
fn dpkg(tree: &mut dyn Tree) -> Result<Option<Dpkg>, ReadError> {
    const PARTS: &[u8] = b"/var/lib/dpkg/status.d";
    let mut found: Option<Dpkg> = None;
    // Images made without running dpkg keep one stanza a file, without a Status field.
    let parts = names(tree, PARTS)?.into_iter().filter(|name| !name.ends_with(b".md5sums"));
    let parts = parts.map(|name| join(PARTS, &name));
    if let Some(text) = dpkg_status(tree)? {
        let read = found.get_or_insert_default().read(text.as_bytes());
        read.map_err(|reason| ReadError::malformed(STATUS, reason))?;
    }
    for path in parts {
        if let Some(text) = read_optional(tree, &path)? {
            let read = found.get_or_insert_default().read(&text);
            read.map_err(|reason| ReadError::malformed(&path, reason))?;
        }
    }
    Ok(found)
}

/// The text of dpkg's status file, with what dpkg has noted since and not written into it: it writes the file anew at its
/// end, and was stopped before (`modstatdb` in dpkg's `dbmodify.c`). `None` where there is no such file.
///
/// # Errors
/// [`DiskError`].
pub(crate) fn dpkg_status(tree: &mut dyn Tree) -> Result<Option<String>, DiskError> {
    const UPDATES: &[u8] = b"/var/lib/dpkg/updates";
    let Some(status) = read_optional(tree, STATUS)? else { return Ok(None) };
    let status = String::from_utf8_lossy(&status).into_owned();
    // dpkg's own have numbers for names, and all the same length.
    let mut updates = names(tree, UPDATES)?;
    updates.retain(|name| name.iter().all(u8::is_ascii_digit));
    updates.sort_unstable();
    if updates.is_empty() {
        return Ok(Some(status));
    }
    let mut stanzas: Vec<_> = stanzas(&status).map(str::to_owned).collect();
    for name in updates {
        let text = read_optional(tree, &join(UPDATES, &name))?.unwrap_or_default();
        for newer in self::stanzas(&String::from_utf8_lossy(&text)) {
            let package = package_of(newer);
            match stanzas.iter_mut().find(|stanza| package_of(stanza) == package) {
                Some(older) => newer.clone_into(older),
                None => stanzas.push(newer.to_owned()),
            }
        }
    }
    Ok(Some(stanzas.join("\n\n") + "\n"))
}

/// Texts between empty lines.
fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(|stanza| stanza.trim_matches('\n')).filter(|stanza| !stanza.trim().is_empty())
}

/// Which package a stanza is of: its name and its architecture.
fn package_of(stanza: &str) -> (Option<&str>, Option<&str>) {
    let field = |wanted: &str| {
        let fields = stanza.lines().filter_map(|line| line.split_once(':'));
        let mut ours = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        ours.next().map(|(_, value)| value.trim())
    };
    (field("Package"), field("Architecture"))
}

/// Reads dpkg's database. Packages that are not ready (unpacked, half configured) and those that are gone but for
/// their configuration files are left out.
///
/// # Errors
/// What is wrong with the text, for a person.
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn parse_dpkg(text: &[u8]) -> Result<Vec<Package>, String> {
    let mut found = Dpkg::default();
    found.read(text)?;
    Ok(found.installed)
}

/// What dpkg's files say.
#[derive(Default)]
struct Dpkg {
    stanzas: usize,
    installed: Vec<Package>,
    unfinished: Vec<Unfinished>,
}

impl Dpkg {
    fn database(self) -> Database {
        Database { manager: Manager::Dpkg, installed: self.installed, unfinished: self.unfinished }
    }

    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(text);
        let mut stanza = Stanza::default();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                self.add(std::mem::take(&mut stanza), number)?;
            } else if !line.starts_with([' ', '\t']) {
                let (field, value) =
                    line.split_once(':').ok_or_else(|| format!("line {} is not a field", number + 1))?;
                stanza.set(field, value.trim());
            }
        }
        self.add(stanza, text.lines().count())
    }

    fn add(&mut self, stanza: Stanza, line: usize) -> Result<(), String> {
        if !stanza.seen {
            return Ok(());
        }
        self.stanzas += 1;
        let name =
            stanza.name.ok_or_else(|| format!("the stanza that ends at line {line} names no package"))?;
        let state =
            stanza.status.as_deref().map(|status| status.split_whitespace().nth(2).unwrap_or_default());
        match state {
            // With triggers still to run a package is configured and works.
            Some("installed" | "triggers-pending" | "triggers-awaited") | None => {
                let version = stanza.version.ok_or_else(|| format!("package {name} has no version"))?;
                // In KiB.
                let size = stanza.size.and_then(|size| size.parse::<u64>().ok()?.checked_mul(1024));
                let arch = stanza.arch.unwrap_or_default();
                self.installed.push(Package { name, version, arch, installed_size: size });
            }
            Some("not-installed" | "config-files") => {}
            Some(state) => self.unfinished.push(Unfinished { name, state: state.to_owned() }),
        }
        Ok(())
    }
}

#[derive(Default)]
struct Stanza {
    seen: bool,
    name: Option<String>,
    version: Option<String>,
    arch: Option<String>,
    status: Option<String>,
    size: Option<String>,
}

impl Stanza {
    fn set(&mut self, field: &str, value: &str) {
        self.seen = true;
        let slot = match field.to_ascii_lowercase().as_str() {
            "package" => &mut self.name,
            "version" => &mut self.version,
            "architecture" => &mut self.arch,
            "status" => &mut self.status,
            "installed-size" => &mut self.size,
            _ => return,
        };
        *slot = Some(value.to_owned());
    }
}

#[cfg(test)]
#[path = "packages_tests.rs"]
mod tests;
