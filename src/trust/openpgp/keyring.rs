//! The keys that are trusted.

use std::collections::BTreeMap;

use sequoia_openpgp::Cert;
use sequoia_openpgp::cert::CertParser;
use sequoia_openpgp::parse::{PacketParser, Parse as _};

use super::armour;
use super::error::Cause;
use super::{Fingerprint, OpenPgpError};

/// Bytes of a key file. Debian's whole keyring of developers is larger, those of distributions are not.
const LIMIT: usize = 4 << 20;

/// Certificates whose primary fingerprint is pinned, and no others.
#[derive(Debug, Clone)]
pub struct Keyring {
    certificates: Vec<Cert>,
    pins: Vec<Fingerprint>,
}

impl Keyring {
    /// Picks the pinned certificates out of key files: a name for messages, and the content, armoured or
    /// binary, with any number of certificates. What cannot be understood in between, such as keys of new
    /// algorithms, is passed over. Copies of one certificate are merged, so that a revocation in any of them
    /// counts.
    ///
    /// # Errors
    /// If none of the pinned certificates is there, or a file is larger than 4 MiB.
    pub fn new(key_files: &[(String, Vec<u8>)], pins: &[Fingerprint]) -> Result<Self, OpenPgpError> {
        let mut pinned: BTreeMap<Fingerprint, Cert> = BTreeMap::new();
        let mut found = Vec::new();
        let mut unreadable = None;
        for (name, bytes) in key_files {
            if bytes.len() > LIMIT {
                return Err(OpenPgpError::TooLarge { what: format!("key file `{name}`"), limit: LIMIT });
            }
            for certificate in certificates(bytes) {
                let certificate = match certificate {
                    Ok(certificate) => certificate,
                    Err(source) => {
                        unreadable.get_or_insert((name, source));
                        continue;
                    }
                };
                let fingerprint = Fingerprint::from(&certificate.fingerprint());
                if !pins.contains(&fingerprint) {
                    found.push(fingerprint);
                    continue;
                }
                let merged = match pinned.remove(&fingerprint) {
                    Some(known) => known.merge_public(certificate).map_err(|error| {
                        OpenPgpError::BadKeyFile { name: name.clone(), source: error.into() }
                    })?,
                    None => certificate,
                };
                pinned.insert(fingerprint, merged);
            }
        }
        match unreadable {
            _ if !pinned.is_empty() => {
                Ok(Self { certificates: pinned.into_values().collect(), pins: pins.to_vec() })
            }
            Some((name, source)) if found.is_empty() => {
                Err(OpenPgpError::BadKeyFile { name: name.clone(), source })
            }
            _ => Err(OpenPgpError::NoPinnedKey { pins: pins.to_vec(), found }),
        }
    }

    /// All certificates of key files, for who trusts a file as a whole. What cannot be understood in between is passed over.
    ///
    /// # Errors
    /// If there is no certificate, or a file is larger than 4 MiB.
    pub fn of_all(key_files: &[(String, Vec<u8>)]) -> Result<Self, OpenPgpError> {
        let pins: Vec<Fingerprint> = key_files
            .iter()
            .filter(|(_, bytes)| bytes.len() <= LIMIT)
            .flat_map(|(_, bytes)| certificates(bytes))
            .filter_map(|certificate| certificate.ok().map(|c| Fingerprint::from(&c.fingerprint())))
            .collect();
        Self::new(key_files, &pins)
    }

    pub(crate) fn certificates(&self) -> &[Cert] {
        &self.certificates
    }

    pub(crate) fn pins(&self) -> &[Fingerprint] {
        &self.pins
    }
}

/// The certificates in a key file, and what is in the way of others.
fn certificates(bytes: &[u8]) -> Vec<Result<Cert, Cause>> {
    let packets = match armour::binary(bytes, &armour::PUBLIC_KEY) {
        Ok(packets) => packets,
        Err(problem) => return vec![Err(problem.into())],
    };
    match PacketParser::from_bytes(&packets) {
        Ok(packets) => CertParser::from(packets).map(|result| result.map_err(Into::into)).collect(),
        Err(error) => vec![Err(error.into())],
    }
}
