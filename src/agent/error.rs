//! Why an agent cannot be had.

use std::path::{Path, PathBuf};

use crate::cache::CacheError;
use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};
use crate::fetch::FetchError;
use crate::host::process::ProcessError;

/// Versions of an agent that are listed in a message.
const LISTED: usize = 12;

/// The agent's code could not be resolved, verified or laid out.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// What was asked for is malformed.
    #[error("agent source `{wanted}`: {problem}")]
    Source {
        /// What was given.
        wanted: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The mirror of the index could be anybody.
    #[error(
        "the mirror `{mirror}` of Python's package index is not asked: it has no TLS, and nothing signs packages"
    )]
    PlainIndex {
        /// Its URL.
        mirror: String,
    },
    /// No pip on this host.
    #[error("no python3 on this host has pip 22 or newer{}", tried_text(tried))]
    NoPip {
        /// The interpreters that were tried, with what each said.
        tried: Vec<String>,
    },
    /// The index has no such version.
    #[error("there is no `{requirement}`; {}", available_text(available))]
    NoSuchVersion {
        /// pip's requirement, such as `trove==99.0`.
        requirement: String,
        /// Versions there are, oldest first.
        available: Vec<String>,
    },
    /// The version exists and needs another Python than the guest's.
    #[error("{name} {version} needs Python {needs}, and the guest has 3.{guest}")]
    NeedsPython {
        /// Distribution.
        name: String,
        /// Its version.
        version: String,
        /// Its `Requires-Python`.
        needs: String,
        /// Minor version of the guest's Python.
        guest: u8,
        /// The newest version that would do, if known.
        fits: Option<String>,
    },
    /// A distribution has no wheel for the guest, and no pure one can be built.
    #[error("`{requirement}` has no wheel for the guest (Python 3.{guest}, {platform}), and {reason}")]
    NoWheel {
        /// pip's requirement.
        requirement: String,
        /// Minor version of the guest's Python.
        guest: u8,
        /// The guest's newest platform tag.
        platform: String,
        /// Why it cannot be built either.
        reason: String,
        /// Last lines of the build, oldest first.
        tail: Vec<String>,
    },
    /// pip found no set of versions that fits together, or failed for a reason of its own.
    #[error("pip could not {action}")]
    Pip {
        /// What it was to do.
        action: String,
        /// Its last lines, oldest first.
        tail: Vec<String>,
    },
    /// The package index could not be reached.
    #[error("the package index did not answer while pip was to {action}")]
    Network {
        /// What pip was to do.
        action: String,
        /// Its last lines, oldest first.
        tail: Vec<String>,
    },
    /// The cache does not hold what an offline build needs.
    #[error("offline, and the cache does not hold {missing}")]
    Offline {
        /// What is missing.
        missing: String,
    },
    /// No git on this host.
    #[error("there is no git on this host, which an agent from a repository needs")]
    NoGit,
    /// The repository has no such branch, tag or commit.
    #[error("`{url}` has no branch, tag or commit `{reference}`")]
    NoReference {
        /// What was asked for.
        reference: String,
        /// The repository.
        url: String,
        /// Names that it has and that come near.
        near: Vec<String>,
    },
    /// The repository wants to know who asks, or does not want that one.
    #[error("`{url}` wants credentials, and git has none for it")]
    GitRefused {
        /// The repository.
        url: String,
        /// git's last lines, oldest first.
        tail: Vec<String>,
    },
    /// There is no repository.
    #[error("there is no git repository at `{url}`")]
    NoRepository {
        /// Where it was looked for.
        url: String,
        /// git's last lines, oldest first.
        tail: Vec<String>,
    },
    /// The server of the repository could not be reached, or did not deliver.
    #[error("`{url}` did not deliver")]
    GitNetwork {
        /// The repository.
        url: String,
        /// Whether it may do so in a moment.
        passing: bool,
        /// git's last lines, oldest first.
        tail: Vec<String>,
    },
    /// git failed for a reason of its own.
    #[error("git could not {action} `{url}`")]
    Git {
        /// What it was to do.
        action: String,
        /// The repository.
        url: String,
        /// Its last lines, oldest first.
        tail: Vec<String>,
    },
    /// The constraints could not be fetched.
    #[error("cannot fetch the constraints `{url}`")]
    Constraints {
        /// Where they were to be.
        url: String,
        /// Why not.
        source: Box<FetchError>,
    },
    /// What came is not what constraints are.
    #[error("the constraints `{url}` are refused: {problem}")]
    BadConstraints {
        /// Where they came from.
        url: String,
        /// What is wrong with them.
        problem: String,
    },
    /// `--constraints auto`, and nobody knows of which release the agent is.
    #[error(
        "of which release the agent `{wanted}` is cannot be told, so there are no constraints of its release"
    )]
    NoSeries {
        /// Where it comes from.
        wanted: String,
    },
    /// A wheel is damaged or hostile.
    #[error("wheel `{wheel}` is refused: {problem}")]
    Wheel {
        /// File name of the wheel.
        wheel: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two distributions bring different files of the same name.
    #[error("`{path}` comes with {first} and, different, with {second}")]
    Conflict {
        /// Path in the virtual environment.
        path: String,
        /// Who brought it first.
        first: String,
        /// Who brings it too.
        second: String,
    },
    /// What pip chose does not satisfy a requirement in the guest.
    #[error("{requirer} needs `{requirement}`, and the bundle has {}", have.as_deref().unwrap_or("none"))]
    Unsatisfied {
        /// The distribution that requires it.
        requirer: String,
        /// What it requires.
        requirement: String,
        /// The version in the bundle.
        have: Option<String>,
    },
    /// The bundle lacks the module that the recipe starts.
    #[error("{name} {version} has no module `{module}`")]
    NoModule {
        /// The agent.
        name: String,
        /// Its version.
        version: String,
        /// The module looked for.
        module: String,
    },
    /// A file is not the one that the plan was made with.
    #[error("`{}` has changed since the plan was made", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file on the host could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A program on the host could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl AgentError {
    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn wheel(wheel: &str, problem: impl Into<String>) -> Self {
        Self::Wheel { wheel: wheel.to_owned(), problem: problem.into() }
    }
}

fn tried_text(tried: &[String]) -> String {
    if tried.is_empty() { String::new() } else { format!(" (tried {})", tried.join("; ")) }
}

fn available_text(available: &[String]) -> String {
    match available.len() {
        0 => "the index has none that the guest could use".to_owned(),
        n if n <= LISTED => format!("available: {}", available.join(", ")),
        n => format!("available: …, {} ({n} in all)", available[n - LISTED..].join(", ")),
    }
}

impl Diagnose for AgentError {
    fn exit(&self) -> Exit {
        match self {
            Self::Source { .. }
            | Self::PlainIndex { .. }
            | Self::NoSuchVersion { .. }
            | Self::NoReference { .. }
            | Self::NoRepository { .. }
            | Self::NoSeries { .. }
            | Self::NeedsPython { .. } => Exit::Usage,
            Self::NoWheel { .. }
            | Self::Pip { .. }
            | Self::Conflict { .. }
            | Self::Unsatisfied { .. }
            | Self::NoModule { .. } => Exit::Recipe,
            Self::Network { .. }
            | Self::Offline { .. }
            | Self::GitRefused { .. }
            | Self::GitNetwork { .. }
            | Self::Git { .. } => Exit::Network,
            Self::Wheel { .. } | Self::Changed { .. } | Self::BadConstraints { .. } => Exit::Integrity,
            Self::NoPip { .. } | Self::NoGit => Exit::Host,
            Self::Constraints { source, .. } => source.exit(),
            Self::Io { source, .. } => io_exit(source, Exit::Host),
            Self::Process(ProcessError::Cancelled(_)) | Self::Cancelled(_) => Exit::Interrupted,
            Self::Cache(error) => error.exit(),
            Self::Process(_) => Exit::Host,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Source { wanted, .. } if wanted.starts_with("path:~") => {
                "shells expand `~` at the beginning of a word only: write `path:$HOME/…`".to_owned()
            }
            Self::Source { .. } => {
                "use `pypi`, `pypi:VERSION`, `git:BRANCH`, `git:URL@REF`, or `path:` with a source tree, a .whl or a .tar.gz"
                    .to_owned()
            }
            Self::PlainIndex { .. } => "give its https URL in the file of settings; http is for mirrors on this host".to_owned(),
            Self::NoPip { .. } => "install pip for python3 (`apt install python3-pip`, `dnf install python3-pip`)".to_owned(),
            Self::NoSuchVersion { available, .. } => match available.last() {
                Some(newest) => format!("choose one of those; the newest is {newest}"),
                None => "check the name, and PIP_INDEX_URL if it is set".to_owned(),
            },
            Self::NeedsPython { fits: Some(fits), .. } => {
                format!("the newest version for this guest is {fits}; or choose a base with a newer Python")
            }
            Self::NeedsPython { .. } => "choose a base with a newer Python, or an older agent".to_owned(),
            Self::NoWheel { .. } => {
                "build the wheel for the guest elsewhere and let PIP_FIND_LINKS name its directory, or constrain it to a version that has one"
                    .to_owned()
            }
            Self::Pip { .. } => {
                "pip's own words are below; a constraints file for the agent's release often helps".to_owned()
            }
            Self::Network { .. } => {
                "check the network, PIP_INDEX_URL and the proxy; with `--offline` an earlier resolution is used".to_owned()
            }
            Self::NoGit => "install git (`apt install git`, `dnf install git`)".to_owned(),
            Self::NoReference { near, .. } if near.is_empty() => "the repository has no branch and no tag".to_owned(),
            Self::NoReference { near, .. } => format!("the nearest that it has: {}", near.join(", ")),
            Self::GitRefused { .. } => {
                "tib asks nobody and uses no credential helper: put them into ~/.netrc, use `ssh://` with a key of an agent, or \
                 clone the repository and give `git:/path/to/it@REF`"
                    .to_owned()
            }
            Self::NoRepository { .. } => "look at the URL; `git clone` takes the same one".to_owned(),
            Self::GitNetwork { .. } => {
                "check the network and https_proxy; with `--offline` the commit of the last time is used".to_owned()
            }
            Self::Git { .. } => "git's own words are below".to_owned(),
            Self::Constraints { source, .. } => return source.hint(),
            Self::BadConstraints { .. } => {
                "a file of your own that is meant so can be given: `--constraints FILE`".to_owned()
            }
            Self::NoSeries { .. } => {
                "name a branch such as `git:stable/2026.1`, a version, or `--target-release`; or give a file or URL".to_owned()
            }
            Self::Offline { .. } => "build once without `--offline`".to_owned(),
            Self::Wheel { .. } => "report it to where the wheel came from; tib installs nothing of it".to_owned(),
            Self::Conflict { .. } => "constrain one of the two to a version without that file".to_owned(),
            Self::Unsatisfied { .. } => "name the missing distribution among the recipe's extra requirements".to_owned(),
            Self::NoModule { .. } => "set the recipe's agent module to one the agent has".to_owned(),
            Self::Changed { .. } => "run the command again".to_owned(),
            Self::Cache(error) => return error.hint(),
            Self::Io { .. } | Self::Process(_) | Self::Cancelled(_) => return None,
        })
    }

    fn context(&self) -> Vec<String> {
        match self {
            Self::NoWheel { tail, .. }
            | Self::Pip { tail, .. }
            | Self::Network { tail, .. }
            | Self::GitRefused { tail, .. }
            | Self::NoRepository { tail, .. }
            | Self::GitNetwork { tail, .. }
            | Self::Git { tail, .. } => tail.clone(),
            Self::Constraints { source, .. } => source.context(),
            Self::Cache(error) => error.context(),
            Self::Process(error) => error.tail().to_vec(),
            _ => Vec::new(),
        }
    }
}
