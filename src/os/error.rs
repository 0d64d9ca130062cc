//! Why something in an image could not be looked at.

use std::path::{Path, PathBuf};

use crate::disk::DiskError;
use crate::error::{Diagnose, Exit, io_exit};

/// How many names a hint tells.
const SHOWN: usize = 12;

/// Something in an image could not be looked at. A check that ends this way is a check that failed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The image could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file of the image is not what it should be.
    #[error("cannot make sense of `{path}` in the image: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// tib does not know how to look at this.
    #[error("cannot read {what}: {reason}")]
    Unsupported {
        /// What was to be read.
        what: &'static str,
        /// Why tib cannot.
        reason: String,
    },
    /// Something is where a file of the image was to go.
    #[error("`{}` exists already", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// A file of the host could not be made.
    #[error("cannot {action} `{}`", path.display())]
    Host {
        /// `create`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A copy did not get its name, and what had it before could not be put back.
    #[error(
        "what was at `{}` before could not be put back: {reason}; it is now `{}`",
        path.display(),
        kept.display()
    )]
    NotRestored {
        /// Where it was.
        path: PathBuf,
        /// Where it is.
        kept: PathBuf,
        /// Why it could not be put back.
        reason: std::io::Error,
        /// Why the copy did not get its name.
        source: Box<VerifyError>,
    },
    /// There is no log of that name.
    #[error("there is no log `{name}` in the image")]
    NoSuchLog {
        /// What was asked for.
        name: String,
        /// The logs there are.
        there: Vec<String>,
    },
    /// A listing or a report could not be written.
    #[error("cannot write {what}")]
    Write {
        /// What was to be written.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

impl VerifyError {
    pub(crate) fn host(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Host { action, path: path.to_owned(), source }
    }

    pub(crate) fn malformed(path: impl AsRef<[u8]>, reason: impl Into<String>) -> Self {
        Self::Malformed { path: super::files::show(path.as_ref()), reason: reason.into() }
    }
}

impl Diagnose for VerifyError {
    fn exit(&self) -> Exit {
        match self {
            Self::Disk(error) => error.exit(),
            Self::NoSuchLog { .. } | Self::Exists { .. } => Exit::Usage,
            Self::Malformed { .. } | Self::Unsupported { .. } => Exit::Integrity,
            Self::Host { source, .. } => io_exit(source, Exit::Usage),
            Self::NotRestored { source, .. } => source.exit(),
            Self::Write { source, .. } => io_exit(source, Exit::Internal),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Disk(error) => error.hint(),
            Self::Malformed { path, .. } => {
                Some(format!("copy it with `tib extract IMAGE {path}` for a closer look"))
            }
            Self::Exists { .. } => {
                Some("choose another name with `-o`, or replace it with `--force`".to_owned())
            }
            Self::NoSuchLog { there, .. } if there.is_empty() => {
                Some("it has no logs in /var/log".to_owned())
            }
            Self::NoSuchLog { there, .. } => {
                let more = if there.len() > SHOWN { ", …" } else { "" };
                Some(format!("it has {}{more}", there[..there.len().min(SHOWN)].join(", ")))
            }
            Self::NotRestored { path, .. } => Some(format!("move it back to `{}` by hand", path.display())),
            Self::Unsupported { .. } | Self::Host { .. } | Self::Write { .. } => None,
        }
    }
}
