//! Where Python's environments are, and what `pyvenv.cfg` says of them.

use std::collections::BTreeMap;

use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{glob, join, read_optional};

/// What `pyvenv.cfg` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Version of Python, two or three numbers.
    pub(crate) version: Vec<u32>,
    /// Whether the distribution's own packages are seen.
    pub(crate) system: bool,
    /// The interpreter the environment was made with, or the directory it is in.
    pub(crate) base: Option<String>,
}

impl Settings {
    /// Reads the settings of the environment in a directory.
    pub(crate) fn read(tree: &mut dyn Tree, root: &[u8]) -> Result<Self, ReadError> {
        let path = join(root, b"pyvenv.cfg");
        let text = read_optional(tree, &path)?.unwrap_or_default();
        Self::parse(&text).ok_or_else(|| ReadError::malformed(&path, "it says no version of Python"))
    }

    /// `None` when the text says no version.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let fields: BTreeMap<_, _> = lines.map(|(key, value)| (key.trim(), value.trim())).collect();
        let first = |names: &[&str]| names.iter().find_map(|name| fields.get(name)).copied();
        let version = first(&["version", "version_info"]).unwrap_or_default();
        let version: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).take(3).collect();
        (version.len() >= 2).then(|| Self {
            version,
            system: first(&["include-system-site-packages"]) == Some("true"),
            base: first(&["executable", "base-executable", "home"]).map(str::to_owned),
        })
    }

    /// `3.11`
    pub(crate) fn short(&self) -> String {
        format!("{}.{}", self.version[0], self.version[1])
    }

    /// `3.11.2`
    pub(crate) fn full(&self) -> String {
        let numbers: Vec<_> = self.version.iter().map(u32::to_string).collect();
        numbers.join(".")
    }
}

/// The directories in which a distribution's Python of a version looks for packages, without an environment.
pub(crate) fn system_directories(tree: &mut dyn Tree, short: &str) -> Result<Vec<Vec<u8>>, ReadError> {
    let major = short.split('.').next().unwrap_or("3");
    let mut found = Vec::new();
    for pattern in [
        format!("/usr/lib/python{major}/dist-packages"),
        format!("/usr/local/lib/python{short}/dist-packages"),
        format!("/usr/lib*/python{short}/site-packages"),
        format!("/usr/local/lib*/python{short}/site-packages"),
    ] {
        found.extend(glob(tree, pattern.as_bytes())?);
    }
    Ok(found)
}
