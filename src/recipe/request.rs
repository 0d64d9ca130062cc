//! What is asked of a recipe when a plan is made from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{AgentSource, ConstraintsSource, Container, RecipeError};
use crate::distro::OsRelease;

/// What a plan is made for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The operating system of the base image.
    pub os: &'a OsRelease,
    /// Values for the recipe's options (`--set`).
    pub settings: BTreeMap<String, String>,
    /// Where the agent comes from; `None`: where the recipe says.
    pub agent: Option<AgentSource>,
    /// pip's constraints for the agent; `None`: what the recipe says.
    pub constraints: Option<ConstraintsSource>,
    /// A file with requirements that take the place of those of the agent itself.
    pub requirements: Option<PathBuf>,
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
            requirements: None,
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
