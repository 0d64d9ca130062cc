//! systemd units of an image at rest: where they are, what they say, whether they start at boot.

mod file;
mod state;
mod sysv;

pub use file::UnitFile;
pub use state::{UnitState, unit_state};

pub(super) use file::load;
pub(super) use state::resolve_alias;

use super::look::{join, optional};
use crate::disk::{DiskError, FileKind, Tree};

/// Where systemd looks for units, first match wins (`systemd-analyze unit-paths`).
const SEARCH_PATH: [&str; 12] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    CONFIG,
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    // Before /usr is merged, distributions' units are here; afterwards this is the same directory as the next.
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/generator.late",
    "/usr/local/share/systemd/system",
];

/// Where an administrator, and `systemctl enable`, put things.
const CONFIG: &str = "/etc/systemd/system";

/// How many links from unit to unit are followed, as in systemd.
const LINK_LIMIT: usize = 64;

/// A unit file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// Directory of the search path it is in, or is linked from.
    directory: &'static str,
    /// Path of the file itself, as far as its own links were followed.
    path: Vec<u8>,
    /// What kind of entry it is.
    entry: Entry,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// A file with content.
    Regular,
    /// An empty file, or a link to `/dev/null`.
    Masked,
    /// A link to a unit of another name in the search path.
    Alias(String),
}

/// Looks for a unit by its exact name.
fn find(tree: &mut dyn Tree, name: &str) -> Result<Option<Found>, DiskError> {
    for directory in SEARCH_PATH {
        let path = join(directory.as_bytes(), name.as_bytes());
        if tree.exists(&path)? {
            // A link that leads nowhere hides what comes after it, and is no unit.
            let found = classify(tree, path, name)?;
            return Ok(found.map(|(path, entry)| Found { directory, path, entry }));
        }
    }
    Ok(None)
}

/// Says what the unit file at `path` is; `None` when there is none, or a link that leads nowhere.
fn classify(
    tree: &mut dyn Tree,
    mut path: Vec<u8>,
    name: &str,
) -> Result<Option<(Vec<u8>, Entry)>, DiskError> {
    for _ in 0..LINK_LIMIT {
        let Some(stat) = optional(tree.lstat(&path))? else { return Ok(None) };
        match stat.kind {
            FileKind::File if stat.size == 0 => return Ok(Some((path, Entry::Masked))),
            FileKind::File => return Ok(Some((path, Entry::Regular))),
            FileKind::Symlink => {}
            // systemd takes a device for a mask, and nothing else for a unit.
            FileKind::Character => return Ok(Some((path, Entry::Masked))),
            _ => return Ok(None),
        }
        let target = link_target(tree, &path)?;
        if target == b"/dev/null" {
            return Ok(Some((path, Entry::Masked)));
        }
        let (directory, base) = split(&target);
        let in_search_path = SEARCH_PATH.iter().any(|known| known.as_bytes() == directory);
        if in_search_path && base != name.as_bytes() {
            return Ok(Some((path, Entry::Alias(String::from_utf8_lossy(base).into_owned()))));
        }
        path = target;
    }
    Err(DiskError::WrongKind { path: super::look::show(&path), problem: "is a loop of links".to_owned() })
}

/// What a link points to: absolute, `.` and `..` resolved by name, links in its directory resolved.
fn link_target(tree: &mut dyn Tree, path: &[u8]) -> Result<Vec<u8>, DiskError> {
    let target = tree.read_link(path)?;
    let target = if target.starts_with(b"/") { target } else { join(split(path).0, &target) };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Ok(parts.iter().fold(b"/".to_vec(), |path, part| join(&path, part)))
}

/// Directory and last part.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at.max(1)], &path[at + 1..]),
        None => (b"/", path),
    }
}

/// The name with `.service` added when it has no suffix, as `systemctl` does.
pub(super) fn full_name(name: &str) -> String {
    const SUFFIXES: [&str; 11] = [
        ".service",
        ".socket",
        ".device",
        ".mount",
        ".automount",
        ".swap",
        ".target",
        ".path",
        ".timer",
        ".slice",
        ".scope",
    ];
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// `getty@tty1.service` is an instance of `getty@.service`: its template and instance part.
fn instance(name: &str) -> Option<(String, &str)> {
    let (prefix, rest) = name.split_once('@')?;
    let (instance, suffix) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| (format!("{prefix}@.{suffix}"), instance))
}

fn is_template(name: &str) -> bool {
    name.split_once('@').is_some_and(|(_, rest)| rest.starts_with('.'))
}
