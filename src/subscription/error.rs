//! What can go wrong with a subscription.

use std::io;
use std::path::PathBuf;

use crate::cache::CacheError;
use crate::error::{Diagnose, Exit, io_exit};
use crate::fetch::{FetchError, Problem};

use super::certificate::Malformed;

/// A subscription cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// What was asked for makes no sense.
    #[error("{what} of the subscription {problem}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// What is wrong with it, as the end of a sentence.
        problem: String,
    },
    /// A file that the user names cannot be read.
    #[error("cannot read `{}`, which the subscription needs", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The server says no.
    #[error("cannot {what} at `{server}`: {}", said(*status, message.as_deref()))]
    Refused {
        /// What was being done.
        what: &'static str,
        /// Whose answer it is.
        server: String,
        /// The HTTP status.
        status: u16,
        /// What the server says to it, without secrets.
        message: Option<String>,
    },
    /// The server gave no answer.
    #[error(transparent)]
    Unreachable(#[from] FetchError),
    /// The server may have registered a consumer, and did not get so far as to say which.
    #[error("it is not known whether `{server}` has registered `{name}`: its answer did not arrive")]
    Unsure {
        /// Which server.
        server: String,
        /// The name of the consumer.
        name: String,
        /// What came instead.
        source: FetchError,
    },
    /// An answer makes no sense.
    #[error("`{server}` gave an answer that makes no sense ({what}): {problem}")]
    Answer {
        /// Which server.
        server: String,
        /// What was asked.
        what: &'static str,
        /// What is wrong with the answer.
        problem: String,
    },
    /// A certificate makes no sense.
    #[error("cannot read {what}")]
    Certificate {
        /// Which one.
        what: String,
        /// What is wrong with it.
        source: Malformed,
    },
    /// A user belongs to several organisations, or to none.
    #[error("the user belongs to {}", organisations(.0))]
    Organisation(Vec<String>),
    /// The consumer has no access to anything.
    #[error("the organisation `{org}` gives access to no content")]
    NoContent {
        /// The organisation.
        org: String,
    },
    /// A repository that was named is none of those that there are.
    #[error("the subscription has no repository `{name}` for this system")]
    NoRepository {
        /// What was asked for.
        name: String,
        /// What is called similarly.
        similar: Option<String>,
    },
    /// No repository is on.
    #[error("the subscription has no repository that is on for {system}")]
    NothingOn {
        /// The system.
        system: String,
        /// Repositories that could be.
        available: Vec<String>,
    },
    /// A file of ours could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

fn said(status: u16, message: Option<&str>) -> String {
    match message {
        Some(message) => format!("it says: {message} ({status})"),
        None => format!("it answered {status}"),
    }
}

fn organisations(all: &[String]) -> String {
    match all {
        [] => "no organisation".to_owned(),
        all => format!("{} organisations: {}", all.len(), all.join(", ")),
    }
}

impl SubscriptionError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

fn is_tls(error: &FetchError) -> bool {
    matches!(error, FetchError::Failed { tried, .. }
        if tried.iter().any(|tried| matches!(tried.problem, Problem::Tls(_) | Problem::Setup(_))))
}

impl Diagnose for SubscriptionError {
    fn exit(&self) -> Exit {
        match self {
            Self::Setting { .. } | Self::File { .. } | Self::Organisation(_) | Self::NoRepository { .. } => {
                Exit::Usage
            }
            // Keys, passwords and names are what the user gives.
            Self::Refused { status: 400..=499, .. } => Exit::Usage,
            Self::Refused { .. } | Self::Unsure { .. } | Self::Answer { .. } => Exit::Network,
            Self::NoContent { .. } | Self::NothingOn { .. } => Exit::Usage,
            Self::Certificate { .. } => Exit::Integrity,
            Self::Unreachable(error) => error.exit(),
            Self::Io { source, .. } => io_exit(source, Exit::Host),
            Self::Cache(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Refused { status: 401, .. } => "check the user and the password",
            Self::Refused { status: 403, .. } => "this user or key may not register systems there",
            Self::Refused { status: 404, .. } => {
                "check `--rhsm-server` with its path (Red Hat's is `/subscription`, Satellite's `/rhsm`)"
            }
            Self::Refused { status: 400..=499, .. } => {
                "check `--rhsm-org` and the key: keys are listed in the console of the organisation, or in Satellite"
            }
            Self::Unreachable(error) if is_tls(error) => {
                "give the authority of the server's certificate with `--rhsm-ca FILE`. Red Hat's own is on every RHEL: \
                 `tib cat BASE /etc/rhsm/ca/redhat-uep.pem >ca.pem`; Satellite's is `/pub/katello-server-ca.crt` on it"
            }
            Self::Unreachable(error) => return error.hint(),
            Self::Unsure { name, .. } => {
                return Some(format!(
                    "look for `{name}` among the organisation's systems, and remove it there if it is listed"
                ));
            }
            Self::Organisation(_) => "say which one with `--rhsm-org`",
            Self::NoContent { .. } => {
                "enable Simple Content Access for the organisation, or let the activation key bring a subscription; \
                 tib attaches none"
            }
            Self::NoRepository { similar: Some(similar), .. } => {
                return Some(format!("did you mean `{similar}`?"));
            }
            Self::NoRepository { .. } => {
                "`subscription-manager repos --list` on a registered system of the same release shows all names"
            }
            Self::NothingOn { available, .. } if available.is_empty() => {
                "the subscription has none for this release and architecture"
            }
            Self::NothingOn { available, .. } => {
                let first: Vec<_> = available.iter().take(4).map(|name| format!("`{name}`")).collect();
                return Some(format!("name some with `--rhsm-repo`, such as {}", first.join(", ")));
            }
            Self::Cache(error) => return error.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
