//! The files of settings and of credentials: where they are, and what they say.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::control::Control;
use crate::error::{Diagnose, Exit, Result, without_path};
use crate::given;
use crate::mirror::Mirrors;
use crate::netrc::Netrc;

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error("cannot read the settings in `{path}`")]
    Settings { path: String, source: std::io::Error },
    #[error("cannot read the credentials in `{path}`")]
    Credentials { path: String, source: std::io::Error },
    #[error("the credentials in `{path}` cannot be used: {problem}")]
    Form { path: String, problem: String },
}

impl Diagnose for ConfigError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Settings { .. } => "`--config`, or TIB_CONFIG, names a file that this user can read".to_owned(),
            Self::Credentials { .. } => {
                "`--repository-auth`, or TIB_REPOSITORY_AUTH, names a file that this user can read".to_owned()
            }
            Self::Form { .. } => {
                "write `machine HOST login NAME password SECRET`, and `machine http://HOST …` for a server without TLS"
                    .to_owned()
            }
        })
    }
}

/// Reads what was given, or else what is where settings are by themselves. That this is missing is no mistake.
pub(super) fn mirrors(given: Option<&Path>) -> Result<Mirrors> {
    let by_itself = || default_place(|name| std::env::var_os(name));
    let Some(path) = given.map(Path::to_owned).or_else(by_itself) else { return Ok(Mirrors::default()) };
    let shown = path.display().to_string();
    match given::read_to_string(&path) {
        Ok(text) => Ok(Mirrors::parse(&shown, &text)?),
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Mirrors::default())
        }
        Err(error) => Err(ConfigError::Settings { path: shown, source: without_path(error) }.into()),
    }
}

/// Reads the credentials that were given. That others can read them is worth a word.
pub(super) fn credentials(given: Option<&Path>, control: &Control) -> Result<Netrc> {
    let Some(path) = given else { return Ok(Netrc::default()) };
    let shown = path.display().to_string();
    let text = given::read_to_string(path)
        .map_err(|error| ConfigError::Credentials { path: shown.clone(), source: without_path(error) })?;
    if path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
    {
        control.events.warning(format!("every user of this host can read the credentials in `{shown}`"));
    }
    Ok(Netrc::parse(&text).map_err(|problem| ConfigError::Form { path: shown, problem })?)
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
            default_place(|name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        let home = [("HOME", "/home/me")];
        assert_eq!(place(&home), Some("/home/me/.config/tib/config.toml".into()));
        assert_eq!(place(&[("XDG_CONFIG_HOME", "/x"), home[0]]), Some("/x/tib/config.toml".into()));
        // The specification of these variables says that relative paths are to be ignored.
        assert_eq!(
            place(&[("XDG_CONFIG_HOME", "x"), home[0]]),
            Some("/home/me/.config/tib/config.toml".into())
        );
        assert_eq!(place(&[]), None);
    }
}
