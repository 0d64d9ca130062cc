//! What can go wrong with a base.

use std::path::PathBuf;

use crate::cache::CacheError;
use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit};
use crate::host::process::ProcessError;
use crate::trust::checksum::Checksum;
use crate::trust::openpgp::Fingerprint;

/// A base is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The cache that it is kept in cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// `--base` says something that makes no sense.
    #[error("base `{text}` {problem}")]
    BadBase {
        /// What was given.
        text: String,
        /// What is wrong with it, as the end of a sentence.
        problem: String,
        /// What to say instead.
        hint: String,
    },
    /// A URL says where bytes are, and nothing says which they have to be.
    #[error("nothing says what `{0}` must hold")]
    UrlWithoutChecksum(String),
    /// A file or download is not what its digest says.
    #[error("`{file}` is not what it should be: its digest is {found}, wanted was {wanted}")]
    WrongChecksum {
        /// The file or URL.
        file: String,
        /// The digest it must have.
        wanted: Box<Checksum>,
        /// The digest it has.
        found: Box<Checksum>,
    },
    /// The cache does not hold an image that can be fetched.
    #[error("`{what}` is not in the cache, and nothing is fetched offline")]
    NotHere {
        /// The image.
        what: String,
    },
    /// The name says nothing of the image, and is not in the cache.
    #[error("the cache holds no image of `{0}`")]
    NotHeld(String),
    /// Somebody uses what should be removed.
    #[error("`{0}` is in use by a running tib")]
    InUse(String),
    /// A checksum file does not name the image.
    #[error("`{url}` names no file `{file}`")]
    NotListed {
        /// The checksum file.
        url: String,
        /// What was looked for: a name, or a pattern.
        file: String,
    },
    /// Nothing says where a key can be had.
    #[error("the key {0} is not in the cache, and the catalogue does not say where to get it")]
    NoKey(Fingerprint),
    /// A checksum file that nobody signed came without TLS.
    #[error("`{0}` is neither signed nor fetched over HTTPS")]
    Unprotected(String),
    /// A base would have to be made, and `--offline` forbids it.
    #[error("base `{0}` is not in the cache and cannot be made offline")]
    Offline(String),
    /// This host lacks something a bootstrap needs.
    #[error("cannot bootstrap on this host: {problem}")]
    Host {
        /// What is missing.
        problem: String,
        /// How to get it.
        fix: String,
    },
    /// A program on the host failed.
    #[error("{what} failed")]
    Program {
        /// What it was run for: `bootstrapping debian-12`.
        what: String,
        /// How it failed.
        source: ProcessError,
    },
    /// The bootstrapped tree lacks something a bootable image needs.
    #[error("the bootstrapped system is incomplete: {0}")]
    Incomplete(String),
}

impl From<Cancelled> for BaseError {
    fn from(cancelled: Cancelled) -> Self {
        CacheError::from(cancelled).into()
    }
}

impl BaseError {
    /// Says what a program was run for, and where it wrote: if it complains of a full disk, that one is meant.
    pub fn program(what: impl Into<String>, place: impl Into<PathBuf>) -> impl FnOnce(ProcessError) -> Self {
        let (what, path) = (what.into(), place.into());
        move |source| match source {
            ProcessError::Cancelled(cancelled) => cancelled.into(),
            ProcessError::Failed { ref tail, .. } if tail.iter().any(|l| l.contains("No space left")) => {
                CacheError::no_space("write below", path).into()
            }
            source => Self::Program { what, source },
        }
    }

    fn unreachable(&self) -> bool {
        const SIGNS: [&str; 5] = [
            "Could not resolve",
            "Failed to fetch",
            "Temporary failure",
            "Connection timed out",
            "Could not connect",
        ];
        self.tail().iter().any(|line| SIGNS.iter().any(|sign| line.contains(sign)))
    }

    fn tail(&self) -> &[String] {
        match self {
            Self::Program { source, .. } => source.tail(),
            _ => &[],
        }
    }
}

impl Diagnose for BaseError {
    fn exit(&self) -> Exit {
        match self {
            Self::Cache(error) => error.exit(),
            Self::BadBase { .. } | Self::UrlWithoutChecksum(_) | Self::NotHeld(_) | Self::InUse(_) => {
                Exit::Usage
            }
            Self::Offline(_) | Self::NotHere { .. } | Self::NoKey(_) => Exit::Network,
            Self::Program { .. } if self.unreachable() => Exit::Network,
            Self::Host { .. } | Self::Program { .. } => Exit::Host,
            Self::WrongChecksum { .. }
            | Self::NotListed { .. }
            | Self::Unprotected(_)
            | Self::Incomplete(_) => Exit::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Cache(error) => return error.hint(),
            Self::BadBase { hint, .. } => return Some(hint.clone()),
            Self::Host { fix, .. } => return Some(fix.clone()),
            Self::UrlWithoutChecksum(_) => {
                "add the digest its maker publishes: `--checksum sha256:…` (or sha512); \
                 `--insecure-skip-verify` takes whatever comes, and records that"
            }
            Self::WrongChecksum { .. } => {
                "compare with what its maker publishes; the file may be damaged, or another build"
            }
            Self::NotHere { what } => {
                return Some(format!(
                    "run `tib base fetch {what}` with a network, here or with the same TIB_CACHE_DIR"
                ));
            }
            Self::NotHeld(_) => "`tib base list` shows what is here; `tib base fetch ID` fetches",
            Self::InUse(_) => "wait until it has ended, and try again",
            Self::NotListed { .. } => {
                "its maker may have changed the name; `tib base show ID` lists builds known by digest, and \
                 `--base URL --checksum …` takes any image"
            }
            Self::NoKey(_) => "give a file with it: `tib base fetch ID --key FILE`",
            Self::Unprotected(_) => "use the maker's own https address",
            Self::Offline(_) => "run once without `--offline`, or give an image with `--base FILE`",
            Self::Program { .. } if self.unreachable() => {
                "check the network, this host's package sources, and http_proxy"
            }
            Self::Program { .. } => "its last lines say why; `-v` shows all of them",
            Self::Incomplete(_) => return None,
        };
        Some(hint.to_owned())
    }

    fn context(&self) -> Vec<String> {
        self.tail().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_printed_decides_the_exit_code() {
        let failed = |line: &str| {
            let status = std::os::unix::process::ExitStatusExt::from_raw(256);
            let tail = vec![line.to_owned()];
            BaseError::program("x", "/")(ProcessError::Failed { program: "p".into(), status, tail })
        };
        let cases = [
            ("E: Could not resolve 'mirror.invalid'", Exit::Network),
            ("tar: write error: No space left on device", Exit::Space),
            ("E: something else", Exit::Host),
        ];
        for (line, exit) in cases {
            assert_eq!(failed(line).exit(), exit, "{line}");
        }
        assert_eq!(
            BaseError::program("x", "/")(ProcessError::Cancelled(Cancelled)).exit(),
            Exit::Interrupted
        );
    }
}
