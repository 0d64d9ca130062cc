//! What can be wrong with an image.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};

/// An image cannot be read, or must not be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The file could not be opened, read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// `open`, `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The header asks for something tib refuses (encryption, foreign backing file, unknown feature, …).
    #[error("`{}` is refused: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        reason: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// The image contradicts itself or is truncated.
    #[error("damaged image: {0}")]
    Damaged(String),
    /// The image holds nothing tib understands at this place (no partition table, unknown file system).
    #[error("{0}")]
    Unsupported(String),
    /// Everything in the image can be read, and nothing of it is an operating system.
    #[error("no operating system in the image: {0}")]
    NoSystem(String),
    /// No such file or directory in the image.
    #[error("no such file in the image: `{0}`")]
    NotFound(String),
    /// A path in the image is of the wrong kind (not a directory, not a file, too many links).
    #[error("`{path}` in the image {problem}")]
    WrongKind {
        /// The path.
        path: String,
        /// What is wrong, such as `is not a directory`.
        problem: String,
    },
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Diagnose for DiskError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } => match source.kind() {
                // Most likely a slip of the pen.
                ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory => Exit::Usage,
                _ => io_exit(source, Exit::Integrity),
            },
            Self::Cancelled(_) => Exit::Interrupted,
            Self::NotFound(_) | Self::WrongKind { .. } => Exit::Usage,
            Self::Refused { .. } | Self::Damaged(_) | Self::NoSystem(_) | Self::Unsupported(_) => {
                Exit::Integrity
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { hint, .. } => hint.clone(),
            Self::Damaged(_) => {
                Some("fetch or copy the image again; `qemu-img check` may say more".to_owned())
            }
            Self::Io { source, .. } if io_exit(source, Exit::Integrity) == Exit::Space => {
                Some("make room on that file system, or choose another place".to_owned())
            }
            Self::NoSystem(_) => {
                Some("give a cloud image of a distribution, or `--base bootstrap:debian-12`".to_owned())
            }
            _ => None,
        }
    }
}
