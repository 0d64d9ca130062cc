//! Whether a pinned key signed these bytes. The rules and their reasons are in the module's description.

use std::io::Read as _;
use std::sync::LazyLock;
use std::time::SystemTime;

use sequoia_openpgp as pgp;

use pgp::KeyHandle;
use pgp::cert::amalgamation::ValidAmalgamation as _;
use pgp::cert::amalgamation::key::ErasedKeyAmalgamation;
use pgp::cert::prelude::*;
use pgp::packet::Signature;
use pgp::packet::key::PublicParts;
use pgp::parse::Parse as _;
use pgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationError, VerificationHelper,
    VerifierBuilder,
};
use pgp::policy::{HashAlgoSecurity, Policy, StandardPolicy};
use pgp::types::{HashAlgorithm, RevocationStatus, RevocationType};

use super::armour::{self, ArmourProblem};
use super::error::Cause;
use super::{Fingerprint, Keyring, OpenPgpError};
use crate::clock;
use crate::shown::escape;

/// Bytes of what is signed: lists of checksums.
const DATA_LIMIT: usize = 4 << 20;
/// Bytes of a detached signature. One takes half a kilobyte.
const SIGNATURE_LIMIT: usize = 256 << 10;

/// Unknown signers that a message names.
const NAMED: usize = 8;

/// The library's own policy, but for SHA-1 where it cannot hurt.
static POLICY: LazyLock<StandardPolicy<'static>> = LazyLock::new(|| {
    let mut policy = StandardPolicy::new();
    policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
    // Red Hat's packages are signed in the old form, which is as good as the new one with a good hash.
    policy.accept_packet_tag_version(pgp::packet::Tag::Signature, 3);
    policy
});

/// A good signature by a pinned key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The primary fingerprint of the key, which is pinned.
    pub signer: Fingerprint,
    /// When it was made, in seconds since 1970, as the signer says.
    pub made: u64,
    /// The key has expired, or its owner retired it, since then. Worth a warning.
    pub expired: bool,
}

/// Verifies `data` against a detached signature, binary or armoured.
///
/// # Errors
/// [`OpenPgpError`], if there is no good signature by a key of `keyring`, or something is oversized: `data`
/// over 4 MiB, the signature over 256 KiB.
pub fn verify_detached(keyring: &Keyring, data: &[u8], signature: &[u8]) -> Result<Verified, OpenPgpError> {
    limit("signed data", data, DATA_LIMIT)?;
    verify_detached_reader(keyring, data, signature)
}

/// As [`verify_detached`], for data of any length, which is read once.
///
/// # Errors
/// [`OpenPgpError`], also if the data cannot be read.
pub fn verify_detached_reader(
    keyring: &Keyring,
    data: impl std::io::Read + Send + Sync,
    signature: &[u8],
) -> Result<Verified, OpenPgpError> {
    limit("signature", signature, SIGNATURE_LIMIT)?;
    let malformed = |source: Cause| OpenPgpError::Malformed { what: "signature", source };
    let none = OpenPgpError::NoSignature { what: "signature file" };
    if signature.trim_ascii().is_empty() {
        return Err(none);
    }
    let signature =
        armour::binary(signature, &armour::SIGNATURE).map_err(|problem| malformed(problem.into()))?;
    let mut verifier = DetachedVerifierBuilder::from_bytes(&signature)
        .and_then(|builder| builder.with_policy(&*POLICY, None, Judge::new(keyring)))
        .map_err(|error| malformed(error.into()))?;
    verifier.verify_reader(data).map_err(|error| malformed(error.into()))?;
    verifier.into_helper().conclude(none)
}

/// Verifies a clear-signed message and returns what is under the signature, with its dashes unescaped.
///
/// Text before and after the message is not looked at and not returned. Two messages in one file are refused:
/// one could say the opposite of the other.
///
/// # Errors
/// [`OpenPgpError`], if there is no such message, or no good signature by a key of `keyring` under it, or
/// more than 4 MiB.
pub fn verify_clearsigned(keyring: &Keyring, message: &[u8]) -> Result<(Vec<u8>, Verified), OpenPgpError> {
    const WHAT: &str = "clear-signed message";
    limit(WHAT, message, DATA_LIMIT)?;
    let malformed = |source: Cause| OpenPgpError::Malformed { what: WHAT, source };
    let none = OpenPgpError::NoSignature { what: WHAT };
    let block = match armour::blocks(message, &armour::CLEAR_SIGNED) {
        Ok(blocks) => match &blocks[..] {
            [block] => &message[block.clone()],
            _ => return Err(malformed("holds more than one message".into())),
        },
        Err(ArmourProblem::Missing) => return Err(malformed("is not clear-signed".into())),
        Err(problem) => return Err(malformed(problem.into())),
    };
    // With the whole message in its buffer, the library verifies before it gives anything out.
    let mut verifier = VerifierBuilder::from_bytes(block)
        .and_then(|builder| builder.buffer_size(DATA_LIMIT).with_policy(&*POLICY, None, Judge::new(keyring)))
        .map_err(|error| malformed(error.into()))?;
    let mut text = Vec::new();
    verifier.read_to_end(&mut text).map_err(|error| malformed(error.into()))?;
    let verified = verifier.into_helper().conclude(none)?;
    Ok((text, verified))
}

fn limit(what: &str, bytes: &[u8], limit: usize) -> Result<(), OpenPgpError> {
    if bytes.len() > limit {
        return Err(OpenPgpError::TooLarge { what: what.to_owned(), limit });
    }
    Ok(())
}

/// Judges the signatures that the library has found and computed the digests for.
///
/// The library would judge them too, by the self-signature that was in force when they were made. That
/// refuses good signatures when the key was published again with a new self-signature only, so it gets no
/// certificates to do it with.
struct Judge<'k> {
    keyring: &'k Keyring,
    verdicts: Vec<Result<Verified, OpenPgpError>>,
    unknown: Vec<String>,
}

impl VerificationHelper for Judge<'_> {
    fn get_certs(&mut self, _: &[KeyHandle]) -> pgp::Result<Vec<pgp::Cert>> {
        Ok(Vec::new())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> pgp::Result<()> {
        for layer in structure {
            let MessageLayer::SignatureGroup { results } = layer else {
                return Err(pgp::Error::MalformedMessage("compressed or encrypted".into()).into());
            };
            for result in results {
                match result {
                    Err(
                        VerificationError::MissingKey { sig }
                        | VerificationError::MalformedSignature { sig, .. },
                    ) => self.judge(sig),
                    _ => self.unknown("a signature that cannot be read".to_owned()),
                }
            }
        }
        Ok(())
    }
}

impl<'k> Judge<'k> {
    fn new(keyring: &'k Keyring) -> Self {
        Self { keyring, verdicts: Vec::new(), unknown: Vec::new() }
    }

    fn judge(&mut self, signature: &Signature) {
        let issuers = signature.get_issuers();
        let before = self.verdicts.len();
        for certificate in self.keyring.certificates() {
            // No issuer at all would match every key.
            for key in certificate.keys().key_handles(&issuers).filter(|_| !issuers.is_empty()) {
                self.verdicts.push(verdict(signature, &key));
            }
        }
        if self.verdicts.len() == before {
            self.unknown(
                issuers.first().map_or_else(|| "nobody in particular".to_owned(), KeyHandle::to_hex),
            );
        }
    }

    /// Remembers a signer for a message. There may be any number of them.
    fn unknown(&mut self, name: String) {
        if self.unknown.len() < NAMED && !self.unknown.contains(&name) {
            self.unknown.push(name);
        }
    }

    /// One good signature is enough; otherwise what a pinned key's signature lacks says more than unknown
    /// ones.
    fn conclude(self, none: OpenPgpError) -> Result<Verified, OpenPgpError> {
        let (mut accepted, mut refused) = (None, None);
        for verdict in self.verdicts {
            match verdict {
                Ok(verified) if !verified.expired => return Ok(verified),
                Ok(verified) => accepted = accepted.or(Some(verified)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match (accepted, refused) {
            (Some(verified), _) => Ok(verified),
            (None, Some(error)) => Err(error),
            (None, None) if self.unknown.is_empty() => Err(none),
            (None, None) => {
                Err(OpenPgpError::UnknownSigner { signers: self.unknown, pins: self.keyring.pins().to_vec() })
            }
        }
    }
}

/// Whether a signature is a good one by this key of a pinned certificate.
fn verdict(
    signature: &Signature,
    key: &ErasedKeyAmalgamation<'_, PublicParts>,
) -> Result<Verified, OpenPgpError> {
    let certificate = key.cert();
    let signer = Fingerprint::from(&certificate.fingerprint());
    let unusable = |source: Cause| OpenPgpError::Unusable { signer: signer.clone(), source };
    let policy: &dyn Policy = &*POLICY;

    // First of all, whether the key made it: of a forgery nothing else is worth telling.
    if let Err(error) = signature.verify_document(key.key()) {
        return Err(match error.downcast_ref() {
            Some(
                pgp::Error::UnsupportedPublicKeyAlgorithm(_)
                | pgp::Error::UnsupportedEllipticCurve(_)
                | pgp::Error::UnsupportedHashAlgorithm(_)
                | pgp::Error::UnsupportedSignatureType(_),
            ) => unusable(error.into()),
            _ => OpenPgpError::Changed { signer },
        });
    }
    let Some(made) = signature.signature_creation_time() else {
        return Err(unusable("it does not say when it was made".into()));
    };
    if let Err(error) = policy.signature(signature, HashAlgoSecurity::CollisionResistance) {
        let hash = signature.hash_algo();
        return Err(match hash {
            HashAlgorithm::SHA1 | HashAlgorithm::MD5 | HashAlgorithm::RipeMD => {
                OpenPgpError::WeakHash { signer, hash: hash.to_string() }
            }
            _ => unusable(error.into()),
        });
    }
    signature.signature_alive(None, None).map_err(|error| unusable(error.into()))?;

    // Revocation in force then, or of the kind that is in force always.
    if let Some(reason) = revoked(key, Some(made)) {
        return Err(OpenPgpError::Revoked { signer, reason });
    }
    let valid = key.with_policy(policy, None).map_err(|error| unusable(error.into()))?;
    if !valid.for_signing() {
        return Err(unusable("the key is not meant for signing".into()));
    }
    let ends = [valid.key_expiration_time(), valid.valid_cert().primary_key().key_expiration_time()];
    let end = ends.into_iter().flatten().min();
    if let Some(expired) = end.filter(|end| *end <= made) {
        return Err(OpenPgpError::MadeAfterExpiry {
            signer,
            made: clock::date(made),
            expired: clock::date(expired),
        });
    }
    let expired = end.is_some_and(|end| end <= SystemTime::now()) || revoked(key, None).is_some();
    Ok(Verified { signer, made: clock::seconds(made), expired })
}

/// Why a key or its primary key counts as revoked at some time, now by default; if it does.
fn revoked(key: &ErasedKeyAmalgamation<'_, PublicParts>, at: Option<SystemTime>) -> Option<String> {
    let certificate = key.cert();
    let subkey = certificate.keys().subkeys().key_handle(key.key().fingerprint());
    reason(&certificate.revocation_status(&*POLICY, at))
        .or_else(|| subkey.into_iter().find_map(|subkey| reason(&subkey.revocation_status(&*POLICY, at))))
}

fn reason(status: &RevocationStatus<'_>) -> Option<String> {
    let RevocationStatus::Revoked(revocations) = status else { return None };
    let hard = |signature: &&&Signature| {
        signature.reason_for_revocation().is_none_or(|(why, _)| why.revocation_type() == RevocationType::Hard)
    };
    let signature = revocations.iter().find(hard).or_else(|| revocations.first())?;
    Some(match signature.reason_for_revocation() {
        Some((why, [])) => why.to_string(),
        Some((why, text)) => format!("{why}: {}", escape(&String::from_utf8_lossy(text))),
        None => "no reason given".to_owned(),
    })
}
