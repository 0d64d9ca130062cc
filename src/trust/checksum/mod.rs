//! Checksums of files, and the files that list them.

mod error;
mod listing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use crate::digest::{self, Digest};

pub use error::{BadChecksum, ChecksumFileError};
pub use listing::{Listed, Listing, Style};

/// A hash algorithm that a download may rest on. MD5 and SHA-1 are not among them: colliding files can be
/// made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-512: 64 bytes.
    Sha512,
}

impl Algorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// As it is written in a checksum: `sha256`, `sha512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digest of a file, with its algorithm. Written as `sha256:<hex>`, lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Checksum(Value);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Value {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Checksum {
    /// The checksum of bytes in memory.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Reads hexadecimal digits in either case: 64 are SHA-256, 128 are SHA-512.
    pub fn from_hex(digits: &str) -> Option<Self> {
        match digits.len() {
            64 => Some(Self(Value::Sha256(unhex(digits)?))),
            128 => Some(Self(Value::Sha512(unhex(digits)?))),
            _ => None,
        }
    }

    /// The algorithm it was made with.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Value::Sha256(_) => Algorithm::Sha256,
            Value::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The bytes of the digest.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Value::Sha256(bytes) => bytes,
            Value::Sha512(bytes) => bytes,
        }
    }

    /// The digest, if it is a SHA-256.
    pub fn sha256(&self) -> Option<Digest> {
        match self.0 {
            Value::Sha256(bytes) => Some(Digest::from_bytes(bytes)),
            Value::Sha512(_) => None,
        }
    }

    /// The digest alone, in lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
    }
}

impl FromStr for Checksum {
    type Err = BadChecksum;

    fn from_str(text: &str) -> Result<Self, BadChecksum> {
        let bad = || BadChecksum(text.to_owned());
        let (name, digits) = text.split_once(':').ok_or_else(bad)?;
        let checksum = Self::from_hex(digits).ok_or_else(bad)?;
        if name == checksum.algorithm().name() { Ok(checksum) } else { Err(bad()) }
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

impl TryFrom<String> for Checksum {
    type Error = BadChecksum;

    fn try_from(text: String) -> Result<Self, BadChecksum> {
        text.parse()
    }
}

impl JsonSchema for Checksum {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Checksum".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Digest of a file: `sha256:` or `sha512:` and hexadecimal digits.",
            "pattern": "^(sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})$",
        })
    }
}

/// Makes a [`Checksum`] of bytes as they come.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(digest::Hasher),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(digest::Hasher::default()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The checksum of everything seen.
    pub fn finish(self) -> Checksum {
        Checksum(match self.0 {
            State::Sha256(hash) => Value::Sha256(hash.finish().to_bytes()),
            State::Sha512(hash) => Value::Sha512(hash.finalize().into()),
        })
    }
}

impl From<Digest> for Checksum {
    fn from(digest: Digest) -> Self {
        Self(Value::Sha256(digest.to_bytes()))
    }
}
