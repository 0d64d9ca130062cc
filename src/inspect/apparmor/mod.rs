//! AppArmor's profiles: what is confined, and how strictly.

mod parse;

use schemars::JsonSchema;
use serde::Serialize;

use self::parse::Header;
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
}

/// What a profile does with what it does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileMode {
    /// Forbids it.
    Enforce,
    /// Logs it.
    Complain,
    /// Ends the program.
    Kill,
    /// Asks somebody.
    Prompt,
    /// Allows all.
    Unconfined,
    /// It is not loaded: a link below `disable/` says so.
    Disabled,
}

/// Reads the profiles in `/etc/apparmor.d`; `None` when there is no such directory. Files they include are not
/// read, so profiles declared in one of those are missing.
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
        let headers = parse::headers(&text).map_err(|reason| ReadError::malformed(&path, reason))?;
        let disabled = tree.exists(&join(b"/etc/apparmor.d/disable", name))?;
        let complain = tree.exists(&join(b"/etc/apparmor.d/force-complain", name))?;
        profiles.extend(headers.into_iter().map(|header| profile(&header, disabled, complain, &path)));
    }
    let service = unit_state(tree, "apparmor.service")?.to_string();
    Ok(Some(Apparmor { parser, service, profiles }))
}

fn profile(header: &Header, disabled: bool, complain: bool, path: &[u8]) -> Profile {
    let has = |flag: &str| header.flags.iter().any(|own| own == flag || own.starts_with(&format!("{flag}.")));
    let mode = match () {
        () if disabled => ProfileMode::Disabled,
        () if complain || has("complain") => ProfileMode::Complain,
        () if has("kill") => ProfileMode::Kill,
        () if has("unconfined") => ProfileMode::Unconfined,
        () if has("prompt") => ProfileMode::Prompt,
        () => ProfileMode::Enforce,
    };
    Profile {
        name: escape(&header.name),
        attachment: header.attachment.as_deref().map(escape),
        mode,
        flags: header.flags.iter().map(|flag| escape(flag)).collect(),
        file: show(path),
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
    let _ = parse::headers(text);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
