//! Where a base comes from, and why its bytes are believed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::distro::Arch;
use crate::trust::checksum::Checksum;
use crate::trust::openpgp::Fingerprint;

/// Where a base comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// A file of the host.
    File {
        /// Its name, without its directory.
        name: String,
        /// SHA-256 of its content.
        sha256: Digest,
    },
    /// A file of the host that somebody says is an image of the catalogue.
    Import {
        /// The catalogue's name for it.
        id: String,
        /// The architecture it is said to be for.
        arch: Arch,
        /// Its name, without its directory.
        name: String,
        /// Digest of the file as it was given.
        checksum: Checksum,
        /// Why it is believed.
        trust: Trust,
        /// When, in seconds since 1970.
        time: u64,
    },
    /// Downloaded.
    Download(Box<Provenance>),
    /// Bootstrapped from packages.
    Bootstrap {
        /// `debian-12`.
        system: String,
        /// The package sources it was made from and that it goes on using, as apt reads them.
        sources: String,
        /// What `mmdebstrap --version` says.
        mmdebstrap: String,
        /// When, in seconds since 1970.
        created: u64,
    },
}

/// How a downloaded image came here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The catalogue's name for it; `None` if its URL was given.
    pub id: Option<String>,
    /// The build, as its maker calls it, where the name tells.
    pub version: Option<String>,
    /// The architecture the catalogue says it is for.
    pub arch: Option<Arch>,
    /// What was asked for.
    pub url: String,
    /// Where that was redirected to, in order.
    pub redirects: Vec<String>,
    /// Digest of the bytes as they were served, before any extraction.
    pub checksum: Option<Checksum>,
    /// The checksum file that named this digest, if one was asked.
    pub checksum_file: Option<String>,
    /// Why it is believed.
    pub trust: Trust,
    /// When, in seconds since 1970.
    pub time: u64,
}

/// Why an image's bytes are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Trust {
    /// Its maker signed the checksum file with a key the catalogue pins.
    Signature {
        /// The primary key.
        signer: Fingerprint,
        /// When it was signed, in seconds since 1970.
        signed: u64,
        /// Whether the key has expired since.
        key_expired: bool,
    },
    /// The catalogue holds its digest.
    Pin,
    /// Its digest was given on the command line.
    Given,
    /// The checksum file came over HTTPS and is not signed.
    Tls,
    /// Nothing was verified: somebody insisted, or an import came without a digest.
    Nothing,
}

impl Origin {
    /// Why its bytes are believed, where that is a question: a file is what its owner says, and a bootstrap made of packages
    /// whose signatures apt has checked.
    pub fn trust(&self) -> Option<&Trust> {
        match self {
            Self::Import { trust, .. } => Some(trust),
            Self::Download(from) => Some(&from.trust),
            Self::File { .. } | Self::Bootstrap { .. } => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, .. } => write!(f, "file {name}"),
            Self::Import { id, name, .. } => write!(f, "{id}, imported from {name}"),
            Self::Download(from) => match (&from.id, &from.version) {
                (Some(id), Some(version)) => write!(f, "{id} {version}"),
                (Some(id), None) => f.write_str(id),
                (None, _) => f.write_str(&from.url),
            },
            Self::Bootstrap { system, .. } => write!(f, "{system}, bootstrapped"),
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature { signer, key_expired: false, .. } => write!(f, "signed by {signer}"),
            Self::Signature { signer, .. } => write!(f, "signed by {signer}, a key that has expired since"),
            Self::Pin => f.write_str("digest pinned in the catalogue"),
            Self::Given => f.write_str("digest given by the caller"),
            Self::Tls => f.write_str("protected by HTTPS alone"),
            Self::Nothing => f.write_str("NOT VERIFIED"),
        }
    }
}
