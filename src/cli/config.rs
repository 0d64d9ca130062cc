//! The file of settings: where it is, and what it says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Diagnose, Exit, Result, without_path};
use crate::given;
use crate::mirror::Mirrors;

/// A file of settings cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the settings in `{path}`")]
struct ConfigError {
    path: String,
    source: std::io::Error,
}

impl Diagnose for ConfigError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("`--config`, or TIB_CONFIG, names a file that this user can read".to_owned())
    }
}

/// Reads what was given, or else what is where settings are by themselves. That this is missing is no mistake.
pub(super) fn read(given: Option<&Path>) -> Result<Mirrors> {
    let by_itself = || default_place(|name| std::env::var_os(name));
    let Some(path) = given.map(Path::to_owned).or_else(by_itself) else { return Ok(Mirrors::default()) };
    let shown = path.display().to_string();
    match given::read_to_string(&path) {
        Ok(text) => Ok(Mirrors::parse(&shown, &text)?),
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(Mirrors::default()),
        Err(error) => Err(ConfigError { path: shown, source: without_path(error) }.into()),
    }
}

fn default_place(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")))?;
    Some(directory.join("tib/config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_settings() {
        let place = |variables: &[(&str, &str)]| {
            default_place(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        let home = [("HOME", "/home/me")];
        assert_eq!(place(&home), Some("/home/me/.config/tib/config.toml".into()));
        assert_eq!(place(&[("XDG_CONFIG_HOME", "/x"), home[0]]), Some("/x/tib/config.toml".into()));
        // The specification of these variables says that relative paths are to be ignored.
        assert_eq!(place(&[("XDG_CONFIG_HOME", "x"), home[0]]), Some("/home/me/.config/tib/config.toml".into()));
        assert_eq!(place(&[]), None);
    }
}
