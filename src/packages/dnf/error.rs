//! What can go wrong between a list of package names and verified files.

use std::path::PathBuf;

use crate::cache::CacheError;
use crate::cancel::Cancelled;
use crate::control::Control;
use crate::disk::DiskError;
use crate::error::{Diagnose, Exit, io_exit};
use crate::fetch::FetchError;
use crate::host::process::ProcessError;
use crate::os::ReadError;
pub(crate) use crate::packages::fault::Fault;
use crate::packages::fault::abbreviate;
use crate::packages::probe::{Place, SourceError, find_wrong};
use crate::trust::RepositoryKeyError;
use crate::trust::openpgp::OpenPgpError;

/// Packages could not be resolved or fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnfError {
    /// This host has no dnf that could do the work.
    #[error("cannot resolve packages on this host: {0}")]
    Unusable(String),
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file of the cache could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// The base image's files could not be read.
    #[error("cannot read the package configuration of the base image")]
    Disk(#[from] DiskError),
    /// The base image's package database cannot be read.
    #[error("cannot read the package database of the base image")]
    Database(#[from] ReadError),
    /// dnf or rpm could not be run, or failed without an answer.
    #[error("cannot run {what} on this host")]
    Process { what: &'static str, source: ProcessError },
    /// A package or repository of the recipe is written in a way dnf would misunderstand.
    #[error("invalid {what} `{value}`")]
    Invalid { what: &'static str, value: String },
    /// The base image lists a repository that must not be used from here.
    #[error("repository `{repository}` in `{file}` of the base image is refused: {problem}")]
    Repository { repository: String, file: String, problem: String },
    /// A repository is not there, or not for us.
    #[error(transparent)]
    Wrong(#[from] SourceError),
    /// There is nowhere to get packages from.
    #[error("the base image has no repository that is enabled, and the recipe adds none")]
    NoRepositories,
    /// Nothing is installed: then dnf would install everything again.
    #[error("{0}")]
    Base(String),
    /// The key of a repository that the recipe adds is not usable, or not the pinned one.
    #[error(transparent)]
    Key(#[from] RepositoryKeyError),
    /// A repository's key could not be fetched.
    #[error("cannot fetch the key of repository `{repository}`")]
    KeyFetch { repository: String, source: FetchError },
    /// Nothing vouches for the packages of a repository.
    #[error("repository `{0}` names no key for its packages (`gpgkey`)")]
    NoKey(String),
    /// A package is not signed by a key of its repository.
    #[error("package `{package}` of repository `{repository}` is refused")]
    Signature { package: String, repository: String, source: PackageProblem },
    /// dnf ran and refused.
    #[error("{doing} failed: {reason}")]
    Failed { doing: &'static str, reason: String, fault: Fault, lines: Vec<String> },
    /// No repository has these packages.
    #[error("no such package: {}", unknown.iter().map(|u| format!("`{}`", u.name)).collect::<Vec<_>>().join(", "))]
    Unknown { unknown: Vec<UnknownPackage> },
    /// What dnf answers contradicts what the recipe asks.
    #[error("{summary}")]
    Contradiction { summary: String, details: Vec<String>, hint: String },
    /// `--offline`, and the metadata was never fetched for these repositories.
    #[error("no metadata in the cache for the base image's and the recipe's repositories")]
    NoMetadata,
    /// `--offline`, and a key is not in the cache.
    #[error("key `{url}` of repository `{repository}` is not in the cache")]
    NoKeyOffline { repository: String, url: String },
    /// `--offline`, and package files are not in the cache.
    #[error("{} package files are not in the cache: {}", files.len(), abbreviate(files))]
    Missing { files: Vec<String> },
    /// A file that was fetched is not what the metadata promises.
    #[error("`{0}` is not the file that the repository's metadata describes")]
    Content(String),
    /// dnf said something that cannot be understood.
    #[error("cannot understand dnf's answer: {0}")]
    Answer(String),
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Why a package file does not count as its maker's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageProblem {
    #[error("it is not signed")]
    Unsigned,
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it is `{found}`, signed, but under the name of another package")]
    Other { found: String },
    #[error("its content is not the one that was signed")]
    Payload,
    #[error(transparent)]
    OpenPgp(#[from] OpenPgpError),
}

/// A package that no repository has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct UnknownPackage {
    /// As the recipe names it.
    pub name: String,
    /// What dnf says, if it says more than that.
    #[serde(default)]
    pub reason: String,
    /// Packages with similar names, or that provide this one; best first.
    #[serde(default)]
    pub similar: Vec<String>,
}

/// Patterns in the messages of dnf and librepo, the most telling first: whatever goes wrong, "all mirrors were tried".
const PATTERNS: [(Fault, &[&str]); 4] = [
    (Fault::Space, &["No space left on device", "Not enough free space"]),
    (
        Fault::Signature,
        &[
            "GPG signature verification",
            "Bad GPG signature",
            "repomd.xml.asc",
            "Signature not found",
            "GPGME",
        ],
    ),
    (
        Fault::Content,
        &[
            "checksum doesn't match",
            "checksum mismatch",
            "Checksum error",
            "but expected size is",
            "Inconsistent server data",
            "XML file",
            "Parse error",
            "xml parser error",
        ],
    ),
    (
        Fault::Network,
        &[
            "Curl error",
            "Status code",
            "All mirrors were tried",
            "Cannot download",
            "Cannot prepare internal mirrorlist",
            "No URLs in mirrorlist",
            "Cache-only enabled but no cache",
        ],
    ),
];

impl Fault {
    pub(crate) fn of(lines: &[&str]) -> Self {
        let contains = |pattern: &&str| lines.iter().any(|line| line.contains(*pattern));
        let found = PATTERNS.iter().find(|(_, patterns)| patterns.iter().any(contains));
        found.map_or(Self::Other, |(fault, _)| *fault)
    }
}

/// Where a repository's metadata and files do not fit together.
const UPDATING: &str = "the mirror may be updating: run again in some minutes";

impl DnfError {
    /// Whether a server answers, and does not have what its own metadata names.
    fn is_gone(&self) -> bool {
        let Self::Failed { lines, .. } = self else { return false };
        lines.iter().any(|line| line.contains("Status code: 404") && line.contains(".rpm "))
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl DnfError {
    /// The same as what is wrong with one of the repositories, if that explains it.
    pub(crate) fn of_sources(self, places: &[Place], control: &Control) -> Self {
        match self {
            Self::Failed { fault: Fault::Network | Fault::Other, .. } => {
                find_wrong(places, control).map_or(self, Self::Wrong)
            }
            error => error,
        }
    }
}

impl Diagnose for DnfError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unusable(_) | Self::Process { .. } => Exit::Host,
            Self::Io { source, .. } => io_exit(source, Exit::Host),
            Self::Cache(error) => error.exit(),
            Self::Disk(error) => error.exit(),
            Self::Database(error) => error.exit(),
            Self::KeyFetch { source, .. } => source.exit(),
            Self::Invalid { .. } | Self::Contradiction { .. } => Exit::Recipe,
            Self::Repository { .. } | Self::NoRepositories | Self::Unknown { .. } | Self::Base(_) => {
                Exit::Guest
            }
            Self::Key(error) => error.exit(),
            Self::Wrong(error) => error.exit(),
            Self::Content(_) | Self::NoKey(_) | Self::Signature { .. } => Exit::Integrity,
            Self::Failed { fault, .. } => match fault {
                Fault::Signature | Fault::Content => Exit::Integrity,
                Fault::Network => Exit::Network,
                Fault::Space => Exit::Space,
                Fault::Dependencies | Fault::Other => Exit::Guest,
            },
            Self::NoMetadata | Self::NoKeyOffline { .. } | Self::Missing { .. } => Exit::Network,
            Self::Answer(_) => Exit::Internal,
            Self::Cancelled(_) => Exit::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Cache(error) => return error.hint(),
            Self::Disk(error) => return error.hint(),
            Self::Database(error) => return error.hint(),
            Self::Key(error) => return error.hint(),
            Self::Wrong(error) => return error.hint(),
            Self::KeyFetch { source, .. } => return source.hint(),
            Self::Contradiction { hint, .. } => return Some(hint.clone()),
            Self::Unknown { unknown } => {
                let similar: Vec<_> = unknown.iter().flat_map(|u| &u.similar).map(String::as_str).collect();
                if similar.is_empty() {
                    return Some(
                        "check the name, and that the recipe adds the repository it comes from".to_owned(),
                    );
                }
                return Some(format!("did you mean {}?", similar.join(", ")));
            }
            Self::Repository { .. } => {
                "only http, https and ftp can be used; disable this repository in the base image"
            }
            Self::NoRepositories => {
                "use a base image whose /etc/yum.repos.d enables a repository, or add one"
            }
            Self::Base(_) => "check the base with `tib inspect`: its package database may be damaged",
            Self::NoKey(_) => {
                "name the key in the base image's repository file; packages are always verified"
            }
            Self::Signature {
                source: PackageProblem::OpenPgp(OpenPgpError::UnknownSigner { .. }), ..
            } => {
                "the repository names other keys (`gpgkey`): do not use it, or, if its owner has announced a new key, put that into the base"
            }
            Self::Signature { source: PackageProblem::OpenPgp(error), .. } => return error.hint(),
            Self::Signature { .. } => {
                "do not use it: tell the owner of the repository, or take another mirror; packages are always verified"
            }
            Self::NoMetadata | Self::NoKeyOffline { .. } | Self::Missing { .. } => {
                "run once without --offline to fill the cache"
            }
            Self::Content(_) => "run again; if it persists, the mirror is damaged",
            Self::Failed { fault, .. } => match fault {
                Fault::Signature => {
                    "check the repository's key and the clock of this host; do not switch verification off"
                }
                Fault::Content => UPDATING,
                Fault::Network if self.is_gone() => UPDATING,
                Fault::Network => {
                    "check network and proxy; with a filled cache --offline needs neither of them"
                }
                Fault::Dependencies => {
                    "the packages do not fit together: check versions, repositories and modules"
                }
                Fault::Space => "free space in the cache directory",
                Fault::Other => return None,
            },
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn context(&self) -> Vec<String> {
        match self {
            Self::Failed { lines, .. } => lines.clone(),
            Self::Contradiction { details, .. } => details.clone(),
            Self::Unknown { unknown } => unknown
                .iter()
                .filter(|u| !u.reason.is_empty())
                .map(|u| format!("{}: {}", u.name, u.reason))
                .collect(),
            Self::Process { source, .. } => source.tail().to_vec(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_line_wins_over_the_noise() {
        const TRIED: &str = "x.rpm: No more mirrors to try - All mirrors were already tried without success";
        for (fault, line) in [
            (
                Fault::Signature,
                "Failed to download metadata for repo 'x': repomd.xml GPG signature verification error: Bad GPG signature",
            ),
            (
                Fault::Content,
                "x.rpm: Downloading successful, but checksum doesn't match. Calculated: 1(sha256)  Expected: 2(sha256)",
            ),
            (
                Fault::Content,
                "x.rpm: Interrupted by header callback: Inconsistent server data, reported file Content-Length: 1",
            ),
            (Fault::Network, "x.rpm: Status code: 404 for http://a/x.rpm (IP: 192.0.2.1)"),
            (Fault::Network, "x.rpm: Curl error (7): Couldn't connect to server for http://a/x.rpm"),
            (Fault::Space, "x.rpm: Cannot write: No space left on device"),
        ] {
            assert_eq!(Fault::of(&[TRIED, line]), fault, "{line}");
        }
        assert_eq!(Fault::of(&["something else"]), Fault::Other);
    }
}
