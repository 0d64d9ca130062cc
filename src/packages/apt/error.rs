//! What can go wrong between a list of package names and a directory of verified files.

use std::path::PathBuf;

use crate::cache::CacheError;
use crate::cancel::Cancelled;
use crate::control::Control;
use crate::disk::DiskError;
use crate::error::{Diagnose, Exit, io_exit};
use crate::host::process::ProcessError;
pub(crate) use crate::packages::fault::Fault;
use crate::packages::fault::abbreviate;
use crate::packages::probe::{Place, SourceError, find_wrong};
use crate::trust::RepositoryKeyError;

/// Packages could not be resolved or fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AptError {
    /// This host has no apt that could do the work.
    #[error("cannot resolve packages on this host: {0}")]
    Unusable(String),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file of the cache could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The base image's files could not be read.
    #[error("cannot read the package configuration of the base image")]
    Disk(#[from] DiskError),
    /// apt could not be run at all.
    #[error("cannot run apt on this host")]
    Process(#[source] ProcessError),
    /// A package or repository of the recipe is written in a way apt would misunderstand.
    #[error("invalid {what} `{value}`")]
    Invalid {
        /// `package name`, `repository URL`, …
        what: &'static str,
        /// What the recipe says.
        value: String,
    },
    /// The base image lists a package source that must not be used from here.
    #[error("package source in `{file}` of the base image is refused: {problem}")]
    Source {
        /// File in the image.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A source is not there, or not for us.
    #[error(transparent)]
    Wrong(#[from] SourceError),
    /// There is nowhere to get packages from.
    #[error("the base image has no package source, and the recipe adds none")]
    NoSources,
    /// The key of a repository that the recipe adds is not usable, or not the pinned one.
    #[error(transparent)]
    Key(#[from] RepositoryKeyError),
    /// apt ran and failed.
    #[error("{doing} failed: {reason}")]
    Failed {
        /// What was being done.
        doing: String,
        /// The line that says most.
        reason: String,
        /// What kind of failure it is.
        fault: Fault,
        /// What apt said.
        lines: Vec<String>,
    },
    /// No source knows these packages.
    #[error("no such package: {}", unknown.iter().map(|u| format!("`{}`", u.name)).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The packages.
        unknown: Vec<UnknownPackage>,
    },
    /// What apt answers contradicts what the recipe asks.
    #[error("{}", .0.summary)]
    Contradiction(Box<Contradiction>),
    /// `--offline`, and the package index was never fetched for these sources.
    #[error("no package index in the cache for the base image's sources and the recipe's repositories")]
    NoIndex,
    /// `--offline`, and package files are not in the cache.
    #[error("{} package files are not in the cache: {}", files.len(), abbreviate(files))]
    Missing {
        /// Their names.
        files: Vec<String>,
    },
    /// A file that apt fetched is not what the signed index promises.
    #[error("`{0}` is not the file that the package index describes")]
    Content(String),
    /// apt said something that cannot be understood.
    #[error("cannot understand apt's answer: {0}")]
    Answer(String),
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// What a recipe asks and what follows from it do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// Where the recipe says it, and what follows.
    pub summary: String,
    /// Why it follows: who needs whom.
    pub details: Vec<String>,
    /// What to do about it.
    pub hint: String,
}

/// A package that no source knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownPackage {
    /// As the recipe names it.
    pub name: String,
    /// Packages with similar names that exist, best first.
    pub similar: Vec<String>,
}

/// Patterns in apt's messages, the most telling first: apt adds network-like lines to every failed fetch.
const PATTERNS: [(Fault, &[&str]); 5] = [
    (Fault::Space, &["No space left on device", "enough free space"]),
    (
        Fault::Signature,
        &[
            "NO_PUBKEY",
            "EXPKEYSIG",
            "REVKEYSIG",
            "BADSIG",
            "EXPSIG",
            "is not signed",
            "isn't signed",
            "not live until",
            "signatures were invalid",
            "signatures couldn't be verified",
            "signature verification",
            "Missing key",
            "Sub-process /usr/bin/sqv returned",
            "is expired since",
            "is not valid yet",
            "unauthenticated packages",
        ],
    ),
    (Fault::Content, &["Hash Sum mismatch", "unexpected size", "Hashes of"]),
    (
        Fault::Dependencies,
        &[
            "held broken packages",
            "unmet dependencies",
            "Unable to correct problems",
            "Unable to satisfy dependencies",
            "pkgProblemResolver",
            "Held packages were changed",
        ],
    ),
    (
        Fault::Network,
        &[
            "Failed to fetch",
            "Could not connect",
            "Could not resolve",
            "Temporary failure resolving",
            "Connection failed",
            "Connection timed out",
            "does not have a Release file",
            "no longer has a Release file",
            "Unable to fetch some archives",
            "Certificate verification failed",
        ],
    ),
];

impl Fault {
    /// Finds the line that says most, and what it means.
    pub(crate) fn classify(lines: &[String]) -> (Self, Option<&str>) {
        for (fault, patterns) in PATTERNS {
            for pattern in patterns {
                if let Some(line) = lines.iter().find(|line| line.contains(pattern)) {
                    return (fault, Some(bare(line)));
                }
            }
        }
        (Self::Other, lines.iter().rfind(|line| line.starts_with("E: ")).map(|line| bare(line)))
    }
}

fn bare(line: &str) -> &str {
    line.trim_start_matches("E: ").trim_start_matches("W: ").trim()
}

impl AptError {
    /// The same as what is wrong with one of the sources, if that explains it.
    pub(crate) fn of_sources(self, places: &[Place], control: &Control) -> Self {
        match self {
            // apt says of what it may not read that it is not signed.
            Self::Failed { fault: Fault::Network | Fault::Signature | Fault::Other, .. } => {
                find_wrong(places, control).map_or(self, Self::Wrong)
            }
            error => error,
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl Diagnose for AptError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unusable(_) | Self::Process(_) => Exit::Host,
            Self::Io { source, .. } => io_exit(source, Exit::Host),
            Self::Cache(error) => error.exit(),
            Self::Disk(error) => error.exit(),
            Self::Invalid { .. } | Self::Contradiction(_) => Exit::Recipe,
            Self::Source { .. } | Self::NoSources | Self::Unknown { .. } => Exit::Guest,
            Self::Key(error) => error.exit(),
            Self::Wrong(error) => error.exit(),
            Self::Content(_) => Exit::Integrity,
            Self::Failed { fault, .. } => match fault {
                Fault::Signature | Fault::Content => Exit::Integrity,
                Fault::Network => Exit::Network,
                Fault::Space => Exit::Space,
                Fault::Dependencies | Fault::Other => Exit::Guest,
            },
            Self::NoIndex | Self::Missing { .. } => Exit::Network,
            Self::Answer(_) => Exit::Internal,
            Self::Cancelled(_) => Exit::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Cache(error) => return error.hint(),
            Self::Disk(error) => return error.hint(),
            Self::Key(error) => return error.hint(),
            Self::Wrong(error) => return error.hint(),
            Self::Contradiction(contradiction) => return Some(contradiction.hint.clone()),
            Self::Unknown { unknown } => {
                let similar: Vec<_> = unknown.iter().flat_map(|u| &u.similar).map(String::as_str).collect();
                if similar.is_empty() {
                    return Some(
                        "check the name, and that the recipe adds the repository it comes from".to_owned(),
                    );
                }
                return Some(format!("did you mean {}?", similar.join(", ")));
            }
            Self::Source { .. } => {
                "only http and https sources can be used; disable this one in the base image"
            }
            Self::NoSources => "use a base image whose /etc/apt lists a source, or add a repository",
            Self::NoIndex | Self::Missing { .. } => "run once without --offline to fill the cache",
            Self::Content(_) => "run again; if it persists, the mirror is damaged",
            Self::Failed { fault, reason, .. } => match fault {
                Fault::Signature if reason.contains("EXPKEYSIG") => {
                    "the repository's key has expired: its owner publishes it with a later date, or another one; a recipe that holds the key needs that one"
                }
                Fault::Signature => {
                    "check the repository's key and the clock of this host; do not switch verification off"
                }
                Fault::Content => "the mirror may be updating: run again in some minutes",
                Fault::Network => {
                    "check network and proxy; with a filled cache --offline needs neither of them"
                }
                Fault::Dependencies => {
                    "the packages do not fit together: check versions, repositories and what the base holds"
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
            Self::Contradiction(contradiction) => contradiction.details.clone(),
            Self::Process(error) => error.tail().to_vec(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_line_wins_over_the_noise() {
        for (lines, fault, reason) in [
            (
                &[
                    "W: GPG error: http://a x InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 1",
                    "E: Failed to fetch http://a/InRelease",
                    "E: The repository 'http://a x InRelease' is not signed.",
                ][..],
                Fault::Signature,
                "GPG error",
            ),
            (
                &["E: Failed to fetch http://a/x.deb  Hash Sum mismatch", "E: Unable to fetch some archives"],
                Fault::Content,
                "Failed to fetch http://a/x.deb",
            ),
            (
                &["E: Failed to fetch http://a/x  Could not connect", "E: Some index files failed"],
                Fault::Network,
                "Failed to fetch",
            ),
            (
                &["The following packages have unmet dependencies:", "E: held broken packages"],
                Fault::Dependencies,
                "held broken",
            ),
            (
                &["E: Write error - write (28: No space left on device)", "E: Failed to fetch x"],
                Fault::Space,
                "Write error",
            ),
            (&["E: first", "E: last"], Fault::Other, "last"),
        ] {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            let (found, line) = Fault::classify(&lines);
            assert_eq!(found, fault);
            assert!(line.unwrap().starts_with(reason), "{line:?}");
        }
        assert_eq!(Fault::classify(&[]), (Fault::Other, None));
    }
}
