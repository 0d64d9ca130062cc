//! systemd units of an image at rest: where they are, what they say, whether they start at boot.

mod boot;
mod file;
mod index;
mod links;
mod list;
mod preset;
mod refusal;
mod state;
mod sysv;

pub use file::UnitFile;
pub use index::UnitIndex;
pub use list::{Instance, Unit, list};
pub use preset::{Preset, Presets};
pub use state::unit_state;
pub use sysv::{InitScript, init_scripts};

pub(crate) use links::dangling_links;
pub(crate) use list::names;

use std::fmt;

use serde::Serialize;

/// A unit's state, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// It starts at boot.
    Enabled,
    /// Enabled below `/run`, which a boot forgets.
    EnabledRuntime,
    /// Its file is outside the search path and linked into it, but nothing starts it.
    Linked,
    /// As [`Linked`](Self::Linked), below `/run`.
    LinkedRuntime,
    /// Another name of this unit. Its own name if it is a link to a file of another name outside the search path,
    /// which is a unit all the same.
    Alias(String),
    /// It cannot be started.
    Masked,
    /// Masked below `/run`, which a boot forgets.
    MaskedRuntime,
    /// It has no `[Install]` section: only other units start it.
    Static,
    /// Not enabled itself; enabling it enables others, or it is enabled under another name.
    Indirect,
    /// It does not start by itself.
    Disabled,
    /// A generator made it.
    Generated,
    /// It was made at run time.
    Transient,
    /// There is no such unit.
    NotFound,
    /// Its file is there and cannot be used: a link that leads nowhere, or in a circle.
    Bad,
}

impl UnitState {
    /// systemd's word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::EnabledRuntime => "enabled-runtime",
            Self::Linked => "linked",
            Self::LinkedRuntime => "linked-runtime",
            Self::Alias(_) => "alias",
            Self::Masked => "masked",
            Self::MaskedRuntime => "masked-runtime",
            Self::Static => "static",
            Self::Indirect => "indirect",
            Self::Disabled => "disabled",
            Self::Generated => "generated",
            Self::Transient => "transient",
            Self::NotFound => "not-found",
            Self::Bad => "bad",
        }
    }
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where systemd looks for units, first match wins (`systemd-analyze unit-paths`).
const SEARCH_PATH: [&str; 13] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    CONFIG,
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    // Before /usr is merged, distributions' units are here; afterwards this is the same directory as the next.
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/generator.late",
];

/// Where an administrator, and `systemctl enable`, put things.
const CONFIG: &str = "/etc/systemd/system";

/// The ends of directories that hold links to units which another unit starts.
pub(crate) const WANTS: [&str; 3] = [".wants", ".requires", ".upholds"];

/// How many links from unit to unit are followed, as in systemd.
const LINK_LIMIT: usize = 64;

/// Directory and last part.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at.max(1)], &path[at + 1..]),
        None => (b"/", path),
    }
}

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

/// The name with `.service` added when it has no suffix, as `systemctl` does.
pub(crate) fn full_name(name: &str) -> String {
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// A unit's name without its suffix, and that without its dot.
fn split_type(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or((name, ""))
}

/// Whether systemd takes a file of this name for a unit (`unit_name_is_valid`).
fn is_valid(name: &[u8]) -> bool {
    let Some(stem) = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix.as_bytes())) else {
        return false;
    };
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(byte);
    !stem.is_empty() && !stem.starts_with(b"@") && name.len() < 256 && stem.iter().all(known)
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

/// Whether systemd lets a link of one name stand for a unit of another (`unit_validate_alias_symlink_or_warn`): of the
/// same type, and instances for their template or for one that has the same instance part.
fn may_alias(name: &[u8], target: &[u8]) -> bool {
    const TYPES: [&str; 6] = [".service", ".socket", ".target", ".device", ".timer", ".path"];
    let (Ok(name), Ok(target)) = (std::str::from_utf8(name), std::str::from_utf8(target)) else {
        return false;
    };
    let suffix = |name: &str| TYPES.into_iter().find(|suffix| name.ends_with(suffix));
    if !is_valid(target.as_bytes()) || suffix(name).is_none() || suffix(name) != suffix(target) {
        return false;
    }
    match (instance(name), instance(target)) {
        (Some((_, name)), Some((_, target))) => name == target,
        (Some(_), None) => is_template(target),
        (None, Some(_)) => false,
        (None, None) => is_template(name) == is_template(target),
    }
}
