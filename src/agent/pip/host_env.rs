//! The environment that pip is started in, and the Pythons of this host.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The variables of this process's environment that are set or unset for programs that are started. Empty, but
/// in tests.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostEnv(pub(crate) Vec<(String, Option<String>)>);

impl HostEnv {
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        match self.0.iter().find(|(name, _)| name == key) {
            Some((_, value)) => value.clone(),
            None => std::env::var(key).ok(),
        }
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (key, value) in &self.0 {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    /// `python3` in every directory of PATH, then in `/usr/bin`; `python3.X` with a minor version.
    pub(crate) fn pythons(&self, minor: Option<u8>) -> Vec<PathBuf> {
        let name = minor.map_or("python3".to_owned(), |minor| format!("python3.{minor}"));
        let path = self.get("PATH").unwrap_or_default();
        let mut found: Vec<PathBuf> = Vec::new();
        for directory in std::env::split_paths(&path).chain([PathBuf::from("/usr/bin")]) {
            let candidate = directory.join(&name);
            if directory.is_absolute() && candidate.is_file() && !found.contains(&candidate) {
                found.push(candidate);
            }
        }
        found
    }
}
