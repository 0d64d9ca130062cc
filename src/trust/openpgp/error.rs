//! Why nothing can be said to be signed by a pinned key.

use super::Fingerprint;
use crate::error::{Diagnose, Exit};

/// What the library says of something that cannot be read.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// No pinned key vouches for the data.
#[derive(Debug, thiserror::Error)]
pub enum OpenPgpError {
    /// Something is far larger than it has to be.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// `key file x.asc`, `signature`, …
        what: String,
        /// The largest one that is read, in bytes.
        limit: usize,
    },
    /// A key file has no key that can be read.
    #[error("cannot read OpenPGP keys from `{name}`")]
    BadKeyFile {
        /// The file.
        name: String,
        /// Why.
        source: Cause,
    },
    /// The key files have keys, but none that is pinned.
    #[error("none of the pinned keys ({}) is among those in the key files ({})", list(pins), list(found))]
    NoPinnedKey {
        /// What is pinned.
        pins: Vec<Fingerprint>,
        /// What was found.
        found: Vec<Fingerprint>,
    },
    /// A signature or clear-signed message cannot be read.
    #[error("cannot read the {what}")]
    Malformed {
        /// `signature`, `clear-signed message`.
        what: &'static str,
        /// Why.
        source: Cause,
    },
    /// There is no signature where one should be.
    #[error("there is no signature in the {what}")]
    NoSignature {
        /// `signature file`, `clear-signed message`.
        what: &'static str,
    },
    /// Somebody signed it who is not pinned.
    #[error("signed by {}, and pinned is {}", signers.join(" and "), list(pins))]
    UnknownSigner {
        /// Fingerprints or key ids, as the signatures name them.
        signers: Vec<String>,
        /// What is pinned.
        pins: Vec<Fingerprint>,
    },
    /// A pinned key signed something, but not this.
    #[error("the signature by {signer} does not fit: the data has been changed since it was signed")]
    Changed {
        /// The primary key.
        signer: Fingerprint,
    },
    /// A good signature, made when the key was not valid any more.
    #[error("signed by {signer} on {made}, after that key expired on {expired}")]
    MadeAfterExpiry {
        /// The primary key.
        signer: Fingerprint,
        /// When, in UTC.
        made: String,
        /// When, in UTC.
        expired: String,
    },
    /// A good signature by a key that must not be trusted any more.
    #[error("signed by {signer}, and that key has been revoked: {reason}")]
    Revoked {
        /// The primary key.
        signer: Fingerprint,
        /// As its owner gives it.
        reason: String,
    },
    /// A good signature that rests on a hash for which colliding data can be made.
    #[error("signed by {signer} with {hash}, which is too weak to be relied on")]
    WeakHash {
        /// The primary key.
        signer: Fingerprint,
        /// `SHA1`.
        hash: String,
    },
    /// A signature by a pinned key that does not count for another reason.
    #[error("the signature by {signer} does not count")]
    Unusable {
        /// The primary key.
        signer: Fingerprint,
        /// Why.
        source: Cause,
    },
}

fn list(fingerprints: &[Fingerprint]) -> String {
    const SHOWN: usize = 8;
    let mut shown: Vec<_> = fingerprints.iter().take(SHOWN).map(Fingerprint::as_str).collect();
    if fingerprints.len() > SHOWN {
        shown.push("…");
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

impl Diagnose for OpenPgpError {
    fn exit(&self) -> Exit {
        Exit::Integrity
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TooLarge { .. }
            | Self::BadKeyFile { .. }
            | Self::Malformed { .. }
            | Self::NoSignature { .. } => {
                "look at the file with a browser: the site may have moved it, or show an error page instead"
            }
            Self::NoPinnedKey { .. } | Self::UnknownSigner { .. } => {
                "if the publisher has announced a new key, pin its fingerprint in a catalogue entry of your own; \
                 take it from the announcement, not from the key file"
            }
            Self::Changed { .. } => {
                "do not use it; the mirror may be updating, so try again in some minutes, or another mirror"
            }
            Self::MadeAfterExpiry { .. } => {
                "the publisher may have extended the life of the key: fetch the key file anew"
            }
            Self::Revoked { .. } => "do not use it; look for an announcement and a new key of the publisher",
            Self::WeakHash { .. } => "take a SHA-256 from a source you trust, and pin the image by it",
            Self::Unusable { .. } => "check the clock of this host, and fetch key file and signature anew",
        };
        Some(hint.to_owned())
    }
}
