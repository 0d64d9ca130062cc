//! What can go wrong with a download as a whole.

use std::io;
use std::path::PathBuf;

use super::{FileCompression, Problem};
use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};
use crate::trust::checksum::Checksum;

/// Something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No URL delivered.
    #[error("cannot fetch {what}: {}", list(tried))]
    Failed {
        /// What was wanted, for a person.
        what: String,
        /// What was tried, in order.
        tried: Vec<Tried>,
    },
    /// What came is not what was to come.
    #[error("{what} is not what it should be: `{url}` delivered {found} instead of {expected}")]
    WrongDigest {
        /// What was wanted, for a person.
        what: String,
        /// Where it came from.
        url: String,
        /// The digest it should have.
        expected: Box<Checksum>,
        /// The digest it has.
        found: Box<Checksum>,
    },
    /// The archive cannot be extracted.
    #[error("cannot extract {what}: the {compression} data are damaged: {problem}")]
    Damaged {
        /// What was wanted, for a person.
        what: String,
        /// How it is compressed.
        compression: FileCompression,
        /// What the decoder says.
        problem: String,
    },
    /// The archive holds more than may be extracted.
    #[error("cannot extract {what}: it holds more than {limit} bytes")]
    TooLarge {
        /// What was wanted, for a person.
        what: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A file of ours could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done: `read`, `create`, …
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The host gives no runtime or thread.
    #[error("cannot prepare for downloads")]
    Host(#[source] io::Error),
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A URL that was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}`: {problem}{}", times(*attempts))]
pub struct Tried {
    /// The URL, without credentials.
    pub url: String,
    /// How often it was asked.
    pub attempts: u32,
    /// Why it failed the last time.
    pub problem: Problem,
}

fn list(tried: &[Tried]) -> String {
    match tried {
        [] => "there is no URL for it".to_owned(),
        tried => tried.iter().map(Tried::to_string).collect::<Vec<_>>().join("; "),
    }
}

fn times(attempts: u32) -> String {
    if attempts == 1 { String::new() } else { format!(" (tried {attempts} times)") }
}

impl FetchError {
    /// Turns the error of an I/O operation into one that says what was being done.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether every server answered that it has no such file, as when a distribution has removed a build.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Failed { tried, .. } if all(tried, Problem::is_missing))
    }

    /// Whether bytes came that are not the ones they should be: a complete new transfer may bring others.
    pub(crate) fn is_content(&self) -> bool {
        matches!(self, Self::WrongDigest { .. } | Self::Damaged { .. } | Self::TooLarge { .. })
    }
}

/// Whether something was tried and all of it ended in a problem of one kind.
fn all(tried: &[Tried], kind: fn(&Problem) -> bool) -> bool {
    !tried.is_empty() && tried.iter().all(|tried| kind(&tried.problem))
}

impl Diagnose for FetchError {
    fn exit(&self) -> Exit {
        match self {
            Self::Failed { tried, .. } if all(tried, Problem::is_content) => Exit::Integrity,
            Self::Failed { .. } => Exit::Network,
            Self::WrongDigest { .. } | Self::Damaged { .. } | Self::TooLarge { .. } => Exit::Integrity,
            Self::Io { source, .. } => io_exit(source, Exit::Host),
            Self::Host(_) => Exit::Host,
            Self::Cancelled(_) => Exit::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Failed { tried, .. } if tried.is_empty() => return None,
            Self::Failed { .. } if self.is_missing() => {
                "the server has removed it or moved it: look for a newer one"
            }
            Self::Failed { tried, .. }
                if all(tried, |p| matches!(p, Problem::Tls(_) | Problem::Setup(_))) =>
            {
                "check this host's clock and its trusted certificates (SSL_CERT_FILE names others)"
            }
            Self::Failed { tried, .. } if all(tried, Problem::is_content) => {
                "the server has another file there than expected; it may be in the middle of an update"
            }
            Self::Failed { .. } => {
                "check the network and the proxy (https_proxy, http_proxy, no_proxy); what has arrived is kept, \
                 and the next run goes on from there"
            }
            Self::WrongDigest { .. } => {
                "nothing of it was kept; if it happens again, the server or something on the way changes the file"
            }
            Self::Damaged { .. } | Self::TooLarge { .. } => "nothing of it was kept",
            Self::Io { source, .. } if io_exit(source, Exit::Host) == Exit::Space => {
                "free some space there, or set TIB_CACHE_DIR to a larger file system"
            }
            Self::Io { .. } | Self::Host(_) | Self::Cancelled(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// Why an attempt ended: a [`Problem`] of the network, or something that no other attempt can mend.
#[derive(Debug)]
pub(crate) enum Stop {
    Problem(Problem),
    Fatal(FetchError),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        Self::Fatal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(problems: &[Problem]) -> FetchError {
        let tried = problems.iter().zip(1..);
        let tried = tried.map(|(problem, attempts)| Tried {
            url: format!("http://m{attempts}/x"),
            attempts,
            problem: problem.clone(),
        });
        FetchError::Failed { what: "x.img".into(), tried: tried.collect() }
    }

    #[test]
    fn all_that_was_tried_is_said() {
        let gone = Problem::Status { code: 404, retry_after: None };
        let error = failed(&[gone.clone(), Problem::Stalled(std::time::Duration::from_secs(30))]);
        assert_eq!(
            error.to_string(),
            "cannot fetch x.img: `http://m1/x`: the server answered 404 (Not Found); \
             `http://m2/x`: nothing came for 30 s (tried 2 times)"
        );
        assert_eq!(error.exit(), Exit::Network);
        assert!(!error.is_missing() && failed(&[gone.clone(), gone]).is_missing());
        assert_eq!(failed(&[]).to_string(), "cannot fetch x.img: there is no URL for it");
        assert!(!failed(&[]).is_missing());
    }

    #[test]
    fn the_exit_code_tells_wrong_files_from_a_bad_network() {
        let size = Problem::WrongSize { expected: 1, found: 2 };
        let broken = Problem::Broken(String::new());
        let full = FetchError::io("write", "/x")(io::ErrorKind::StorageFull.into());
        let cases = [
            (failed(&[size.clone(), Problem::TooLarge { limit: 1 }]), Exit::Integrity),
            (failed(&[size, broken]), Exit::Network),
            (full, Exit::Space),
            (FetchError::io("read", "/x")(io::ErrorKind::NotFound.into()), Exit::Host),
            (Cancelled.into(), Exit::Interrupted),
        ];
        for (error, exit) in cases {
            assert_eq!(error.exit(), exit, "{error}");
        }
    }
}
