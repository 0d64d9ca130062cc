//! Who can come in by SSH, and how.

mod config;
mod keys;

pub use config::SshdSetting;
pub use keys::{AuthorizedKey, PublicKey};

use schemars::JsonSchema;
use serde::Serialize;

use self::config::Config;
use crate::disk::Tree;
use crate::os::files::{escape, is_directory, join, names, optional, read_optional, show};
use crate::os::{ReadError, User, users};

/// SSH keys and what sshd lets in.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Ssh {
    /// Whether there is an sshd.
    pub installed: bool,
    /// sshd's settings that matter, as they take effect; defaults are those of current OpenSSH.
    pub settings: Vec<SshdSetting>,
    /// The host keys that are there. A sealed image has none.
    pub host_keys: Vec<HostKey>,
    /// The files with keys that open an account.
    pub authorized: Vec<AuthorizedKeys>,
}

/// A host key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HostKey {
    /// The file with the private key, whether it is there or not.
    pub file: String,
    /// Whether the private key is there.
    pub private: bool,
    /// The public key, if it is there and can be read.
    pub public: Option<PublicKey>,
}

/// A file with keys that open an account.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct AuthorizedKeys {
    /// Whose account.
    pub user: String,
    /// The file.
    pub file: String,
    /// The keys in it.
    pub keys: Vec<AuthorizedKey>,
    /// Lines that are neither keys nor comments; sshd skips them.
    pub wrong_lines: Vec<usize>,
}

/// Reads sshd's settings, host keys, and the authorized keys of every user.
///
/// # Errors
/// [`ReadError::Malformed`] for a configuration that sshd would refuse, [`ReadError::Disk`].
pub(crate) fn ssh(tree: &mut dyn Tree) -> Result<Ssh, ReadError> {
    let config = Config::read(tree)?;
    let installed = tree.exists(b"/usr/sbin/sshd")? || tree.exists(config::MAIN)?;
    let patterns: Vec<_> = config.values("AuthorizedKeysFile").map(str::to_owned).collect();
    let mut authorized = Vec::new();
    for user in users(tree)? {
        let mut seen = Vec::new();
        for pattern in &patterns {
            let Some(path) = key_file(pattern, &user) else { continue };
            if seen.contains(&path) {
                continue;
            }
            if !has_directory(tree, &path)? {
                continue;
            }
            let Some(text) = read_optional(tree, &path)? else { continue };
            let (keys, wrong_lines) = keys::authorized_keys(&text);
            authorized.push(AuthorizedKeys {
                user: escape(&user.name),
                file: show(&path),
                keys,
                wrong_lines,
            });
            seen.push(path);
        }
    }
    let host_keys = host_keys(tree, &config)?;
    Ok(Ssh { installed, settings: config.settings, host_keys, authorized })
}

/// Whether a file could be at a path. Somebody's home may be no directory: `/dev/null` is usual.
fn has_directory(tree: &mut dyn Tree, path: &[u8]) -> Result<bool, ReadError> {
    for (at, _) in path.iter().enumerate().filter(|&(at, &byte)| byte == b'/' && at > 0) {
        if !is_directory(tree, &path[..at])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The file a pattern of `AuthorizedKeysFile` means for a user.
fn key_file(pattern: &str, user: &User) -> Option<Vec<u8>> {
    if pattern.eq_ignore_ascii_case("none") {
        return None;
    }
    let mut path = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '%' { chars.next() } else { None }) {
            ('%', Some('h')) => path += &user.home,
            ('%', Some('u')) => path += &user.name,
            ('%', Some('U')) => path += &user.uid.to_string(),
            ('%', Some('%')) => path.push('%'),
            ('%', _) => return None,
            (c, _) => path.push(c),
        }
    }
    let home = if user.home.is_empty() { "/" } else { &user.home };
    Some(if path.starts_with('/') { path.into_bytes() } else { join(home.as_bytes(), path.as_bytes()) })
}

/// The keys at the usual places, and those the configuration names.
fn host_keys(tree: &mut dyn Tree, config: &Config) -> Result<Vec<HostKey>, ReadError> {
    let mut files: Vec<Vec<u8>> = config.values("HostKey").map(|path| path.as_bytes().to_vec()).collect();
    for name in names(tree, b"/etc/ssh")? {
        let stem = name.strip_suffix(b".pub").unwrap_or(&name);
        if stem.starts_with(b"ssh_host_") && stem.ends_with(b"_key") {
            files.push(join(b"/etc/ssh", stem));
        }
    }
    files.sort();
    files.dedup();
    let mut found = Vec::new();
    for file in files {
        let private = optional(tree.stat(&file))?.is_some();
        let public = read_optional(tree, &[file.as_slice(), b".pub"].concat())?;
        if private || public.is_some() {
            let public = public.and_then(|text| PublicKey::parse(String::from_utf8_lossy(&text).trim()));
            found.push(HostKey { file: show(&file), private, public });
        }
    }
    Ok(found)
}

/// For the fuzzer: reads text as each of the files that are read here.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    let _ = keys::authorized_keys(text);
    config::any_text(text);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
