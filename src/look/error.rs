//! Why something in an image could not be shown or copied.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::DiskError;
use crate::error::{Diagnose, Exit, io_exit};
use crate::os::ReadError;

/// How many names a hint tells.
const SHOWN: usize = 12;

/// Something in an image could not be shown or copied.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
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
        source: Box<LookError>,
    },
    /// There is no log of that name.
    #[error("there is no log `{name}` in the image")]
    NoSuchLog {
        /// What was asked for.
        name: String,
        /// The logs there are.
        there: Vec<String>,
    },
    /// What was read could not be written.
    #[error("cannot write {what}")]
    Write {
        /// What was to be written.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

impl From<DiskError> for LookError {
    fn from(error: DiskError) -> Self {
        ReadError::from(error).into()
    }
}

impl LookError {
    pub(super) fn host(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Host { action, path: path.to_owned(), source }
    }

    /// Turns a failed write into what the reader of the image can pass on.
    pub(super) fn write(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { what, source }
    }
}

impl Diagnose for LookError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read(error) => error.exit(),
            Self::NoSuchLog { .. } | Self::Exists { .. } => Exit::Usage,
            Self::Host { source, .. } => io_exit(source, Exit::Usage),
            Self::NotRestored { source, .. } => source.exit(),
            Self::Write { source, .. } => io_exit(source, Exit::Internal),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read(error) => error.hint(),
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
            Self::Host { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    Some("make the directory first, or choose another place with `-o`".to_owned())
                }
                _ if io_exit(source, Exit::Usage) == Exit::Space => {
                    Some("make room on that file system, or choose another place with `-o`".to_owned())
                }
                _ => Some("choose another place with `-o`".to_owned()),
            },
            Self::Write { .. } => None,
        }
    }
}
