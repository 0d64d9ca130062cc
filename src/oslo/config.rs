//! What a file says, option by option.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use super::ini::{DEFAULT, ParseError, Section, normalized, sections};
use super::transport::{BadTransport, TransportUrl};
use crate::error::{Diagnose, Exit, io_exit, without_path};
use crate::given;

/// How deeply values may refer to one another, and how often in all.
const DEPTH_LIMIT: usize = 16;
const REFERENCE_LIMIT: usize = 1000;

/// The longest value that substitution may make, in bytes.
const VALUE_LIMIT: usize = 64 << 10;

/// A configuration file on this host that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no configuration file.
    #[error("`{path}` is no configuration file that Trove could read")]
    Parse {
        /// The file.
        path: String,
        /// Where, and what is wrong.
        source: ParseError,
    },
}

impl Diagnose for ConfigError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { source, .. } => io_exit(source, Exit::Usage),
            Self::Parse { .. } => Exit::Recipe,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Parse { .. } => Some(
                "it has the form of trove.conf: `[section]` lines, and `key = value` below them".to_owned(),
            ),
        }
    }
}

/// A configuration file, parsed. Option values are as written; [`get`](Self::get) replaces `$name` in them as oslo.config
/// does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    sections: BTreeMap<String, Section>,
}

impl Config {
    /// Reads a text.
    ///
    /// # Errors
    /// [`ParseError`] for what oslo.config refuses.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(text).map_err(|error| ParseError {
            line: text[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1,
            problem: "it is not UTF-8",
        })?;
        Ok(Self { sections: sections(text)? })
    }

    /// Reads a file of this host.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let shown = || path.display().to_string();
        let failed = |source| ConfigError::Read { path: shown(), source };
        let text = given::read(path).map_err(|error| failed(without_path(error)))?;
        Self::parse(&text).map_err(|source| ConfigError::Parse { path: shown(), source })
    }

    /// The names of the sections, in alphabetical order and in lower case, but for `DEFAULT`.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// A section by name, with values as they are written.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(&normalized(name))
    }

    /// The value of an option that can have one: the last counts.
    pub fn get(&self, section: &str, key: &str) -> Option<String> {
        let raw = self.section(section)?.get(key)?.last()?;
        Some(self.value(section, raw))
    }

    /// All values of an option that can have many.
    pub fn all(&self, section: &str, key: &str) -> Vec<String> {
        let values = self.section(section).and_then(|section| section.get(key));
        values.into_iter().flatten().map(|raw| self.value(section, raw)).collect()
    }

    /// An option that is a list: words between commas.
    pub fn list(&self, section: &str, key: &str) -> Vec<String> {
        let value = self.get(section, key).unwrap_or_default();
        value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// An option that is on or off; `None` if it is not set.
    ///
    /// # Errors
    /// The value, if it is neither: the service would end with a complaint.
    pub fn flag(&self, section: &str, key: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        match value.trim().to_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Ok(Some(true)),
            "false" | "0" | "off" | "no" => Ok(Some(false)),
            _ => Err(value),
        }
    }

    /// The address of the broker; `None` if the file has none.
    pub fn transport(&self) -> Option<Result<TransportUrl, BadTransport>> {
        self.get(DEFAULT, "transport_url").map(|url| url.parse())
    }

    /// The exchange that messages go through: without the option it is oslo.messaging's own default, `openstack`.
    pub fn control_exchange(&self) -> String {
        self.get(DEFAULT, "control_exchange").unwrap_or_else(|| "openstack".to_owned())
    }

    fn value(&self, section: &str, raw: &str) -> String {
        self.substituted(section, raw, 0, &Cell::new(REFERENCE_LIMIT))
    }

    /// Replaces `$name`, `${name}` and `${section.name}`. `$$` and `\$` stand for a dollar. A name that no option has stays,
    /// since its default is not known here.
    fn substituted(&self, section: &str, raw: &str, depth: usize, left: &Cell<usize>) -> String {
        let raw = raw.replace("\\$", "$$");
        let mut text = String::new();
        let mut rest = raw.as_str();
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                text.push('$');
                rest = after;
                continue;
            }
            let inside = rest.strip_prefix('{');
            let name = identifier(inside.unwrap_or(rest));
            let length = if inside.is_some() { name.len() + 2 } else { name.len() };
            let closed = inside.is_none() || rest[1 + name.len()..].starts_with('}');
            let value =
                (!name.is_empty() && closed).then(|| self.value_of(section, name, depth, left)).flatten();
            match value {
                Some(value) if text.len() + value.len() <= VALUE_LIMIT => {
                    text.push_str(&value);
                    rest = &rest[length..];
                }
                _ => text.push('$'),
            }
        }
        text.push_str(rest);
        text
    }

    fn value_of(&self, section: &str, name: &str, depth: usize, left: &Cell<usize>) -> Option<String> {
        if depth >= DEPTH_LIMIT || left.get() == 0 {
            return None;
        }
        left.set(left.get() - 1);
        let raw = |section: &str, key: &str| {
            self.section(section)
                .and_then(|section| section.get(key)?.last())
                .map(|raw| (section.to_owned(), raw))
        };
        let dotted = name.split_once('.').and_then(|(section, key)| raw(section, key));
        let (section, raw) = dotted.or_else(|| raw(section, name)).or_else(|| raw(DEFAULT, name))?;
        Some(self.substituted(&section, raw, depth + 1, left))
    }
}

/// The name of an option that a text begins with, as Python's `[_a-z][._a-z0-9]*` in any case.
fn identifier(text: &str) -> &str {
    if !text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
        return "";
    }
    let end = text.find(|c: char| !(matches!(c, '.' | '_') || c.is_ascii_alphanumeric()));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
