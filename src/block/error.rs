//! What can be wrong with an image.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};

/// What is wrong with a path of an image that was to be read as a file.
pub(crate) const IS_DIRECTORY: &str = "is a directory";
/// What is wrong with a path of an image that leads nowhere, since links on it lead to one another.
pub(crate) const TOO_MANY_LINKS: &str = "goes through too many links";

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
    /// What is wanted lies in something encrypted, which nobody can read without its key.
    #[error("{0}, and tib cannot unlock it")]
    Locked(String),
    /// Everything in the image can be read, and nothing of it is an operating system.
    #[error("no operating system in the image: {0}")]
    NoSystem(String),
    /// More than one file system is the root of an operating system.
    #[error("more than one operating system in the image, in {0}: tib cannot know which is meant")]
    SeveralSystems(String),
    /// No such file or directory in the image: its path. Behind a link that leads nowhere stands, after a closing
    /// quote, an arrow and an opening quote, where it leads.
    #[error("no such file in the image: `{0}`")]
    NotFound(String),
    /// A path in the image is no directory, where only a directory can be: something is said to be in it.
    #[error("`{0}` in the image is not a directory")]
    NotDirectory(String),
    /// A path in the image is of the wrong kind (not a file, not a link, too many links).
    #[error("`{path}` in the image {problem}")]
    WrongKind {
        /// The path.
        path: String,
        /// What is wrong, such as `is not a link`.
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
            Self::NotFound(_) | Self::NotDirectory(_) | Self::WrongKind { .. } => Exit::Usage,
            Self::Refused { .. }
            | Self::Damaged(_)
            | Self::NoSystem(_)
            | Self::SeveralSystems(_)
            | Self::Locked(_)
            | Self::Unsupported(_) => Exit::Integrity,
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
            Self::Io { action: "open", source, .. } => match source.kind() {
                ErrorKind::NotFound => Some("give the path of a qcow2 or raw image; `tib build` makes one".to_owned()),
                ErrorKind::PermissionDenied => Some("give an image that you may read".to_owned()),
                _ => None,
            },
            Self::WrongKind { problem, .. } if problem == IS_DIRECTORY => {
                Some("`tib ls` lists it, and `tib extract` copies all that is in it".to_owned())
            }
            Self::WrongKind { problem, .. } if problem == TOO_MANY_LINKS => {
                Some("`tib stat` shows a link, and where it leads".to_owned())
            }
            Self::NoSystem(_) | Self::SeveralSystems(_) => {
                Some("`tib inspect --only disk` shows what is on it".to_owned())
            }
            Self::Locked(_) => Some(
                "give an image that is not encrypted; `guestfish --ro -i -a IMAGE` asks for the key and shows what is in this"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

impl DiskError {
    /// Whether nothing is at the path asked for. A file cannot have anything below it, so what is said to be there is
    /// not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::NotDirectory(_))
    }

    /// A link that leads to `target`, where nothing is.
    pub(crate) fn dangling(link: &[u8], target: &[u8]) -> Self {
        Self::NotFound(format!("{}` → `{}", String::from_utf8_lossy(link), String::from_utf8_lossy(target)))
    }
}
