//! The names of keys.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use sequoia_openpgp as pgp;
use serde::{Deserialize, Serialize};

use crate::error::{Diagnose, Exit};
use crate::shown::escape;

/// The fingerprint of a key: 40 hexadecimal digits, or 64 for keys of version 6; upper case.
///
/// Blanks between the digits are taken out when it is read, since that is how fingerprints are published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint(String);

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fingerprint `{}` is not 40 or 64 hexadecimal digits", escape(.0))]
pub struct BadFingerprint(String);

impl Diagnose for BadFingerprint {
    fn exit(&self) -> Exit {
        Exit::Recipe
    }

    fn hint(&self) -> Option<String> {
        Some("`gpg --show-keys FILE` prints it in full; key ids are too short to trust".to_owned())
    }
}

impl Fingerprint {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(digits.to_ascii_uppercase()))
        } else {
            Err(BadFingerprint(text.to_owned()))
        }
    }
}

impl From<&pgp::Fingerprint> for Fingerprint {
    fn from(fingerprint: &pgp::Fingerprint) -> Self {
        Self(fingerprint.to_hex())
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = BadFingerprint;

    fn try_from(text: String) -> Result<Self, BadFingerprint> {
        text.parse()
    }
}

impl JsonSchema for Fingerprint {
    fn schema_name() -> Cow<'static, str> {
        "Fingerprint".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Fingerprint of a primary OpenPGP key: 40 or 64 hexadecimal digits, blanks allowed.",
            "pattern": "^\\s*([0-9a-fA-F]\\s*){40}(([0-9a-fA-F]\\s*){24})?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_published() {
        let published = "d2eb 4462 6fdd c30b 513d  5bb7 1a5d 6c4c 7db8 7c81";
        let fingerprint: Fingerprint = published.parse().unwrap();
        assert_eq!(fingerprint.to_string(), "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81");
        assert_eq!(serde_json::from_value::<Fingerprint>(published.into()).unwrap(), fingerprint);
        assert_eq!(serde_json::to_value(&fingerprint).unwrap(), fingerprint.as_str());
        assert!("A".repeat(64).parse::<Fingerprint>().is_ok());
        for bad in ["", "7DB87C81", "1A5D6C4C7DB87C81", &"A".repeat(39), &"G".repeat(40), &"é".repeat(20)] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(BadFingerprint(bad.to_owned())));
        }
    }
}
