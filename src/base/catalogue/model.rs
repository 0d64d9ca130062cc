//! A file of the catalogue as a person writes it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distro::{Arch, Family};
use crate::trust::checksum::Checksum;
use crate::trust::openpgp::Fingerprint;

/// Images of one distribution, and the keys they are signed with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tib base images")]
pub(crate) struct CatalogueFile {
    /// One for each release and variant.
    #[serde(default)]
    pub(crate) image: Vec<CatalogueEntry>,
    /// OpenPGP keys that images may name.
    #[serde(default)]
    pub(crate) key: Vec<Key>,
}

/// An image that somebody publishes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// Its name, such as `ubuntu-24.04`.
    pub id: String,
    /// Other names for it, such as `noble`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What people call it.
    pub title: String,
    /// What is in it.
    pub os: Os,
    /// The user that cloud-init makes by default.
    pub user: String,
    /// The day on which its maker stops looking after it for everybody: `2029-05-31`.
    #[schemars(with = "String")]
    pub end_of_life: Date,
    /// The day on which extended support ends, for those who have that.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub extended_end_of_life: Option<Date>,
    /// Architectures, each with the site's own word for it.
    #[schemars(with = "BTreeMap<String, String>")]
    pub arch: BTreeMap<Arch, String>,
    /// Where the newest build is.
    pub newest: Option<Place>,
    /// Where a build with a `{version}` is.
    pub pinned: Option<Place>,
    /// What lists its digest.
    pub checksums: Option<Checksums>,
    /// Who signs that; left out where nobody does.
    pub signature: Option<Signature>,
    /// Builds whose digest is known, oldest first.
    #[serde(default)]
    pub pin: Vec<Pin>,
    /// Why an image that nobody signs has no `pin`.
    pub no_pin: Option<String>,
    /// Why it cannot be fetched.
    pub local: Option<LocalOnly>,
    /// What its users should know, a sentence each.
    #[serde(default)]
    pub quirks: Vec<String>,
    /// What has never been seen to hold, a sentence each.
    #[serde(default)]
    pub unverified: Vec<String>,
    /// The file it is from.
    #[serde(skip_deserializing, default)]
    #[schemars(skip)]
    pub origin: String,
}

/// An operating system, as far as it is known before the image is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Os {
    /// `ID` of os-release.
    pub id: String,
    /// `VERSION_ID` of os-release, or its first part.
    pub release: String,
    /// Code name, if it has one.
    pub codename: Option<String>,
    /// The package world it belongs to.
    pub family: Family,
    /// Version of its Python 3, such as `3.12`.
    pub python: Option<String>,
    /// Package manager: `apt`, `dnf`, `yum`, `zypper`.
    pub packages: String,
    /// Init system: `systemd` or `upstart`.
    pub init: String,
    /// Mandatory access control: `apparmor` or `selinux`.
    pub mac: String,
    /// File system of the root, as far as known.
    pub root: Option<String>,
}

/// Directories, in the order in which to try, and the name of a file in each of them.
///
/// `{arch}` stands for the site's word for the architecture, `{version}` for the build, `{release}` and `{codename}` for
/// what `os` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// URLs of directories; mirrors and archives come last.
    pub directories: Vec<String>,
    /// Name of the image.
    pub file: String,
    /// Name of the checksum file, if it is another one than `checksums.file`.
    pub checksums: Option<String>,
}

/// The file that lists digests, in the image's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checksums {
    /// Its name; `{file}` stands for the image's.
    pub file: String,
}

/// How the checksum file is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Where the signature is.
    pub kind: SignatureKind,
    /// Name of the signature, `{checksums}` stands for the checksum file's. Of a clear-signed one, the name of the
    /// signed copy, which then is read in place of the checksum file; left out if that itself is signed.
    pub file: Option<String>,
    /// Fingerprints of the primary keys that count.
    pub keys: Vec<Fingerprint>,
}

/// Kinds of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureKind {
    /// A file of its own.
    Detached,
    /// Around the checksums, in one file.
    Clearsigned,
}

/// A build whose digest is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// What `{version}` stands for.
    pub version: String,
    /// Architecture.
    pub arch: Arch,
    /// Digest of the file as it is served.
    pub checksum: Checksum,
    /// Its length in bytes, if known.
    pub size: Option<u64>,
}

/// An OpenPGP key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Fingerprint of the primary key.
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub name: String,
    /// Where to get it. It does not matter who delivers it, since the fingerprint is compared.
    pub urls: Vec<String>,
    /// Where the fingerprint was taken from.
    pub source: String,
}

/// Why an image cannot be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalOnly {
    /// The reason, as the end of a sentence.
    pub reason: String,
    /// Where a person gets it.
    pub url: String,
}

impl CatalogueEntry {
    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether its maker has stopped looking after it.
    pub fn is_past_end_of_life(&self, today: Date) -> bool {
        self.end_of_life < today
    }

    /// What has to be said whenever it is used, if its maker has stopped looking after it.
    pub fn end_of_life_note(&self, today: Date) -> Option<String> {
        if !self.is_past_end_of_life(today) {
            return None;
        }
        let extended = match self.extended_end_of_life {
            Some(day) if day >= today => format!("; extended support, for those who have it, ends on {day}"),
            _ => String::new(),
        };
        Some(format!("{} got its last security updates on {}{extended}", self.title, self.end_of_life))
    }

    /// Builds whose digest is known, for one architecture, oldest first.
    pub fn pins(&self, arch: Arch) -> Vec<&Pin> {
        self.pin.iter().filter(|pin| pin.arch == arch).collect()
    }
}
