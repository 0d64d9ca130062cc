//! What can be wrong with a check before any image is looked at.

use regex::bytes::{Regex, RegexBuilder};

use super::{ApparmorCheck, Check, ConfigCheck, PathCheck, UserCheck, VersionWanted, rules};
use crate::shown::escape;
use crate::valid;

/// The most memory a regular expression may take once it is compiled.
const PATTERN_LIMIT: usize = 1 << 20;

/// Compiles a check's regular expression: bytes, `^` and `$` at each line.
///
/// # Errors
/// A fragment that says what is wrong with it.
pub fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .multi_line(true)
        .size_limit(PATTERN_LIMIT)
        .dfa_size_limit(PATTERN_LIMIT)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("the regular expression `{text}` is too large"),
            error => {
                // The message shows the expression over several lines; the last says what is wrong.
                let message = error.to_string();
                let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("`{text}` is not a regular expression: {reason}")
            }
        })
}

impl Check {
    /// Refuses values that no image could make sense of: at load time, so that a check never fails for a slip of
    /// the pen.
    ///
    /// # Errors
    /// A fragment that says what is wrong.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Package { name, installed, version } => {
                valid::package(name.clone(), false)?;
                if !installed && version.is_some() {
                    return Err("a package that is not installed has no `version`".to_owned());
                }
                version.as_deref().map_or(Ok(()), |version| VersionWanted::parse(version).map(drop))
            }
            Self::Path(check) => path(check),
            Self::Unit { name, exists, state } => {
                name_of("unit", name)?;
                match (exists, state) {
                    (false, Some(_)) => Err("a unit that does not exist has no `state`".to_owned()),
                    _ => Ok(()),
                }
            }
            Self::User(check) => user(check),
            Self::Group { name, exists, gid } => {
                name_of("group", name)?;
                match (exists, gid) {
                    (false, Some(_)) => Err("a group that does not exist has no `gid`".to_owned()),
                    _ => Ok(()),
                }
            }
            Self::Sudo { who, allowed, password } => {
                name_of("user or group", who.strip_prefix('%').unwrap_or(who))?;
                match (allowed, password) {
                    (false, Some(_)) => Err("`password` means nothing with `allowed = false`".to_owned()),
                    _ => Ok(()),
                }
            }
            Self::Sysctl { key, value } => {
                valid::word(key.clone(), valid::SYSCTL)?;
                if key.contains('*') {
                    return Err(format!("`{key}` is a pattern, not a kernel setting"));
                }
                valid::line(value.clone(), "value").map(drop)
            }
            Self::Config(check) => config(check),
            Self::WorldWritable { below, except } | Self::Links { below, except } => {
                if below.is_empty() {
                    return Err("`below` is empty: nothing would be looked at".to_owned());
                }
                absolute(below)?;
                paths(except)
            }
            Self::Setuid { allow } => paths(allow),
            Self::Datasources { names } if names.is_empty() => {
                Err("`names` is empty: nothing would be looked for".to_owned())
            }
            Self::SelinuxLabel { path, label } => {
                absolute([path])?;
                valid::selinux_label(label.clone()).map(drop)
            }
            Self::Apparmor(check) => apparmor(check),
            Self::Listens(listens) if listens.port == 0 => Err("0 is no port".to_owned()),
            Self::Listens(_) | Self::IdFree { .. } | Self::Datasources { .. } | Self::UnitLinks {} => Ok(()),
        }
    }
}

fn path(check: &PathCheck) -> Result<(), String> {
    absolute([&check.path])?;
    if check.path.contains(['*', '?']) {
        let others = "those of config, world-writable, setuid and links may be patterns";
        return Err(format!("`{}` is a pattern, not a path; {others}", check.path));
    }
    if !check.exists && *check != (PathCheck { exists: false, ..PathCheck::new(check.path.as_str()) }) {
        return Err("a path that does not exist has no further keys".to_owned());
    }
    for (key, text, fits) in [
        ("matches", &check.matches, "every"),
        ("contains", &check.contains, "every"),
        ("lacks", &check.lacks, "no"),
    ] {
        if text.as_ref().is_some_and(String::is_empty) {
            return Err(format!("`{key}` is empty: it fits {fits} file"));
        }
    }
    check.mode.as_deref().map_or(Ok(()), |mode| valid::mode(mode).map(drop))?;
    if let Some(digest) = &check.sha256
        && (digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(format!("sha256 `{}` is not 64 hexadecimal digits", escape(digest)));
    }
    check.matches.as_deref().map_or(Ok(()), |text| pattern(text).map(drop))
}

fn user(check: &UserCheck) -> Result<(), String> {
    name_of("user", &check.name)?;
    if !check.exists && *check != (UserCheck { exists: false, ..UserCheck::new(check.name.as_str()) }) {
        return Err("a user that does not exist has no further keys".to_owned());
    }
    Ok(())
}

fn apparmor(check: &ApparmorCheck) -> Result<(), String> {
    valid::line(check.profile.clone(), "profile")?;
    if check.profile.trim().is_empty() {
        return Err("`profile` is empty".to_owned());
    }
    if !check.exists
        && *check != (ApparmorCheck { exists: false, ..ApparmorCheck::new(check.profile.as_str()) })
    {
        return Err("a profile that does not exist has no further keys".to_owned());
    }
    match &check.local {
        Some(text) if rules(text).next().is_none() => Err("`local` has no rule".to_owned()),
        _ => Ok(()),
    }
}

fn config(check: &ConfigCheck) -> Result<(), String> {
    if check.path.is_empty() {
        return Err("`path` is empty: nothing would be looked at".to_owned());
    }
    paths(&check.path)?;
    for text in check.section.iter().chain([&check.key]) {
        valid::line(text.clone(), "key or section")?;
    }
    match (check.set, &check.value) {
        (false, Some(_)) => Err("a key that is not set has no `value`".to_owned()),
        _ => Ok(()),
    }
}

/// Looser than what recipes may create: an image may hold what another tool made.
fn name_of(what: &str, name: &str) -> Result<(), String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/,".contains(c);
    if name.is_empty() || name.contains(odd) {
        return Err(format!("`{}` is not the name of a {what}", escape(name)));
    }
    Ok(())
}

fn absolute<'a>(paths: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    match paths.into_iter().find(|path| !path.starts_with('/') || path.contains(char::is_control)) {
        Some(path) => Err(format!("path `{}` is not an absolute path", escape(path))),
        None => Ok(()),
    }
}

/// Patterns: `**` is the last part, or nothing.
fn paths(patterns: &[String]) -> Result<(), String> {
    absolute(patterns)?;
    let inner = |pattern: &&String| {
        let parts: Vec<_> = pattern.split('/').collect();
        parts[..parts.len() - 1].contains(&"**")
    };
    match patterns.iter().find(inner) {
        Some(pattern) => Err(format!("`{pattern}` has `**` before its last part")),
        None => Ok(()),
    }
}
