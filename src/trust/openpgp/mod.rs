//! OpenPGP, verification only: whether a pinned key signed these bytes.
//!
//! Trust is a list of pinned primary fingerprints. Key files only deliver the keys with these fingerprints,
//! so where they come from does not matter, nor what else is in them.
//!
//! # What is accepted
//!
//! One good signature by a pinned key, or by a subkey that the pinned key has bound and meant for signing.
//! Other signatures beside it do not matter. The key must have been valid when the signature was made, by its
//! *newest* self-signature: publishers extend the life of a key by signing it anew, sometimes after the fact,
//! and often publish the new self-signature only. A key that expired, or was retired or superseded, after it
//! made the signature is accepted, and the caller told to warn. A key that was revoked for any other reason
//! is not: whoever has stolen it can date back.
//!
//! # Weak hashes
//!
//! A signature of data that uses SHA-1 or MD5 is refused. An attacker who has a say in that data could make
//! two versions of it with one hash, and have the harmless one signed. SHA-1 in a pinned key's signatures on
//! *itself* is accepted: keys from 2009 that still sign images have no others. Nobody but the key's owner has
//! a say in what those sign, so a forger would need a second preimage of a given hash. For SHA-1 that is out
//! of reach, today as in 2009; only collisions are not.

mod armour;
mod error;
mod fingerprint;
mod keyring;
mod sole_key;
#[cfg(test)]
mod tests;
mod verify;

pub use error::OpenPgpError;
pub use fingerprint::{BadFingerprint, Fingerprint};
pub use keyring::Keyring;
pub(crate) use sole_key::{KeyProblem, armoured, pinned_keys, pinned_of_bundle};
pub use verify::{Verified, verify_clearsigned, verify_detached, verify_detached_reader};
