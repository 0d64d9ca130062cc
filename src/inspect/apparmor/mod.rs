//! AppArmor's profiles: what is confined, and how strictly.

mod parse;

use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use self::parse::{Header, headers};
use crate::check::{ProfileMode, rules};
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{escape, join, names, optional, read_optional, show};
use crate::os::unit::unit_state;

const DIRECTORY: &[u8] = b"/etc/apparmor.d";

/// AppArmor at rest.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Apparmor {
    /// Whether the parser is there that loads profiles.
    pub parser: bool,
    /// State of `apparmor.service`, which loads them at boot, as `systemctl is-enabled` says it.
    pub service: String,
    /// The profiles, those within others included, by file.
    pub profiles: Vec<Profile>,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// Its name; `PARENT//NAME` within another.
    pub name: String,
    /// The programs it is for; none when only other profiles lead to it.
    pub attachment: Option<String>,
    /// What it does with what it does not allow.
    pub mode: ProfileMode,
    /// All its flags, as written.
    pub flags: Vec<String>,
    /// The file it is in.
    pub file: String,
    /// The rules of a site, in the files of `local/` that it includes.
    pub local: Vec<String>,
    /// Whether it is within another profile.
    #[serde(skip)]
    pub(crate) nested: bool,
}

/// Reads the profiles in `/etc/apparmor.d`; `None` when there is no such directory. Of what they include
/// only files in `local/` are read, so profiles declared in others are missing.
///
/// # Errors
/// [`ReadError::Malformed`] for a file whose blocks do not end, [`ReadError::Disk`].
pub(crate) fn apparmor(tree: &mut dyn Tree) -> Result<Option<Apparmor>, ReadError> {
    let files = names(tree, DIRECTORY)?;
    let parser = tree.exists(b"/usr/sbin/apparmor_parser")? || tree.exists(b"/sbin/apparmor_parser")?;
    if files.is_empty() && !parser {
        return Ok(None);
    }
    let mut profiles = Vec::new();
    for name in files.iter().filter(|name| !is_leftover(name)) {
        let path = join(DIRECTORY, name);
        if optional(tree.stat(&path))?.is_none_or(|stat| stat.kind != FileKind::File) {
            continue;
        }
        let Some(text) = read_optional(tree, &path)? else { continue };
        let headers = headers(&text).map_err(|reason| ReadError::malformed(&path, reason))?;
        // The parser follows these links: one that leads nowhere counts for nothing.
        let disabled = optional(tree.stat(&join(b"/etc/apparmor.d/disable", name)))?.is_some();
        let complain = optional(tree.stat(&join(b"/etc/apparmor.d/force-complain", name)))?.is_some();
        for header in headers {
            let local = additions(tree, &header)?;
            profiles.push(profile(&header, &local, disabled, complain, &path));
        }
    }
    let service = unit_state(tree, "apparmor.service")?.to_string();
    Ok(Some(Apparmor { parser, service, profiles }))
}

/// The rules in the files of `local/` that a profile includes.
fn additions(tree: &mut dyn Tree, header: &Header) -> Result<Vec<String>, ReadError> {
    let mut found = Vec::new();
    for name in header.local() {
        let path = join(b"/etc/apparmor.d/local", name.as_bytes());
        if optional(tree.stat(&path))?.is_some_and(|stat| stat.kind == FileKind::File) {
            let text = read_optional(tree, &path)?.unwrap_or_default();
            found.extend(rules(&String::from_utf8_lossy(&text)));
        }
    }
    Ok(found)
}

fn profile(header: &Header, local: &[String], disabled: bool, complain: bool, path: &[u8]) -> Profile {
    let mode = match header.mode() {
        _ if disabled => ProfileMode::Disabled,
        _ if complain => ProfileMode::Complain,
        mode => mode,
    };
    Profile {
        name: escape(&header.name),
        attachment: header.attachment.as_deref().map(escape),
        mode,
        flags: header.flags.iter().map(|flag| escape(flag)).collect(),
        file: show(path),
        nested: header.nested,
        local: local.iter().map(|rule| escape(rule)).collect(),
    }
}

/// Files of editors and package managers that the parser leaves out.
fn is_leftover(name: &[u8]) -> bool {
    const ENDINGS: [&[u8]; 14] = [
        b".dpkg-new",
        b".dpkg-old",
        b".dpkg-dist",
        b".dpkg-bak",
        b".dpkg-remove",
        b".pacsave",
        b".pacnew",
        b".rpmnew",
        b".rpmsave",
        b".orig",
        b".rej",
        b".swp",
        b"~",
        b",v",
    ];
    name.starts_with(b".") || name == b"README" || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// For the fuzzer: reads any text as a file of profiles.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    let _ = headers(text);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
