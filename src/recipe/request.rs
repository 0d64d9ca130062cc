//! What is asked of a recipe when a plan is made from it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{Container, RecipeError};
use crate::distro::OsRelease;

/// Whether there is a guest agent, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSource {
    /// No agent.
    None,
    /// This one.
    Code(AgentCode),
}

/// Where a guest agent's code comes from. As text it is what `--agent` takes: `pypi`, `pypi:26.0.0`, `path:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentCode {
    /// The Python package index.
    Pypi {
        /// Which release; the newest that the guest's Python can run if `None`.
        version: Option<String>,
    },
    /// A source tree, sdist or wheel on the host.
    Path(PathBuf),
}

impl AgentCode {
    /// Forgets where on this host it is: of the person's own code only that it is that stays.
    pub(super) fn forget_place(&mut self) {
        if let Self::Path(path) = self {
            *path = PathBuf::new();
        }
    }
}

impl AgentSource {
    /// As [`AgentCode::forget_place`].
    pub(super) fn anywhere(&self) -> Self {
        let mut source = self.clone();
        if let Self::Code(code) = &mut source {
            code.forget_place();
        }
        source
    }
}

impl FromStr for AgentSource {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::Code) }
    }
}

impl FromStr for AgentCode {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let version = |version: &str| {
            let fine = version.starts_with(|c: char| c.is_ascii_digit())
                && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+!-_".contains(&byte));
            fine.then(|| version.to_owned())
        };
        match text.split_once(':') {
            None if text == "pypi" => Some(Self::Pypi { version: None }),
            Some(("pypi", text)) => version(text).map(|version| Self::Pypi { version: Some(version) }),
            Some(("path", path)) if !path.is_empty() => Some(Self::Path(path.into())),
            _ => None,
        }
        .ok_or_else(|| RecipeError::AgentSource(text.to_owned()))
    }
}

impl fmt::Display for AgentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Code(code) => code.fmt(f),
        }
    }
}

impl fmt::Display for AgentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pypi { version: None } => f.write_str("pypi"),
            Self::Pypi { version: Some(version) } => write!(f, "pypi:{version}"),
            Self::Path(path) => write!(f, "path:{}", path.display()),
        }
    }
}

impl Serialize for AgentCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a plan is made for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The operating system of the base image.
    pub os: &'a OsRelease,
    /// Values for the recipe's options (`--set`).
    pub settings: BTreeMap<String, String>,
    /// Where the agent comes from; `None`: where the recipe says.
    pub agent: Option<AgentSource>,
    /// pip's constraints for the agent.
    pub constraints: Option<PathBuf>,
    /// Container images to put into the guest.
    pub containers: Vec<Container>,
    /// Public SSH keys in OpenSSH's one-line form.
    pub ssh_keys: Vec<String>,
    /// Whose keys they are; `None`: the agent's user.
    pub ssh_user: Option<String>,
}

impl<'a> Request<'a> {
    /// Asks for what the recipe makes by itself on `os`.
    pub fn new(os: &'a OsRelease) -> Self {
        Self {
            os,
            settings: BTreeMap::new(),
            agent: None,
            constraints: None,
            containers: Vec::new(),
            ssh_keys: Vec::new(),
            ssh_user: None,
        }
    }
}

const PRIVATE: &str = "is a private key: it must not get into an image";

/// Refuses what is not a public key in OpenSSH's one-line form.
pub(super) fn check_ssh_keys(keys: &[String]) -> Result<(), RecipeError> {
    keys.iter().enumerate().try_for_each(|(index, key)| {
        ssh_key_fault(key).map_or(Ok(()), |reason| Err(RecipeError::SshKey { number: index + 1, reason }))
    })
}

fn ssh_key_fault(key: &str) -> Option<&'static str> {
    if key.contains("PRIVATE KEY") {
        return Some(PRIVATE);
    }
    if key.contains(char::is_control) {
        return Some("is not on one line");
    }
    let mut words = key.split(' ');
    let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
        return Some("is not in OpenSSH's form `TYPE KEY COMMENT`");
    };
    // The blob says its own type: four bytes of length, then the name.
    let named = STANDARD.decode(blob).is_ok_and(|bytes| {
        let length = bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
        let rest = bytes.get(4..).unwrap_or_default();
        length == Some(kind.len()) && rest.starts_with(kind.as_bytes()) && rest.len() > kind.len()
    });
    let known = ["ssh-ed25519", "ssh-rsa"].contains(&kind)
        || kind.starts_with("ecdsa-sha2-nistp")
        || kind.starts_with("sk-ssh-")
        || kind.starts_with("sk-ecdsa-");
    match (known, named) {
        (false, _) => Some("is of no type that sshd accepts"),
        (true, false) => Some("is damaged: its data does not match its type"),
        (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIiH3kHqY0JZc1n0Q5t1oX1dVbJ9dI4kM3p2Rr0n8G2V ops@example";

    #[test]
    fn agent_sources_round_trip() {
        for text in ["none", "pypi", "pypi:26.0.0", "pypi:26.0.0rc1", "path:./trove", "path:/a/b:c.whl"] {
            assert_eq!(text.parse::<AgentSource>().unwrap().to_string(), text);
        }
        for text in ["", "None", "pypi:", "pypi:-r", "pypi:>=26", "path:", "git:x", "26.0.0", "pypi:1 2"] {
            let error = text.parse::<AgentSource>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` does not say where the agent comes from"));
        }
    }

    #[test]
    fn ssh_keys() {
        let check = |key: &str| check_ssh_keys(&[key.to_owned()]);
        check(ED25519).unwrap();
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----";
        for (key, message) in [
            (private, "SSH key 1 is a private key: it must not get into an image"),
            ("", "SSH key 1 is not in OpenSSH's form `TYPE KEY COMMENT`"),
            ("ssh-ed25519", "SSH key 1 is not in OpenSSH's form `TYPE KEY COMMENT`"),
            ("ssh-dss AAAAB3NzaC1kc3M= x", "SSH key 1 is of no type that sshd accepts"),
            ("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA x", "SSH key 1 is damaged: its data does not match its type"),
            (
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA= x",
                "SSH key 1 is damaged: its data does not match its type",
            ),
            ("ssh-rsa %%%% x", "SSH key 1 is damaged: its data does not match its type"),
        ] {
            assert_eq!(check(key).unwrap_err().to_string(), message);
        }
        let two_lines = [format!("{ED25519}\nssh-rsa x")];
        assert_eq!(check_ssh_keys(&two_lines).unwrap_err().to_string(), "SSH key 1 is not on one line");
    }
}
