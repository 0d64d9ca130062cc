//! Why a checksum, or a file of them, cannot be used.

use super::Algorithm;
use crate::error::{Diagnose, Exit};
use crate::shown::escape;

/// A text that is no checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not `sha256:` and 64, or `sha512:` and 128 hexadecimal digits", escape(.0))]
pub struct BadChecksum(pub(crate) String);

impl Diagnose for BadChecksum {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("`sha256sum FILE` prints the digits; write `sha256:` in front of them".to_owned())
    }
}

/// A checksum file as a whole is refused. The caller knows its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumFileError {
    /// There is nothing in it. Publishers have put such files on their sites.
    #[error("the checksum file is empty")]
    Empty,
    /// It is far larger than a list of images.
    #[error("the checksum file is larger than {limit} bytes")]
    TooLarge {
        /// The largest one that is read, in bytes.
        limit: usize,
    },
    /// No line has a digest that can be used: an error page, say, or names of files in other directories
    /// only.
    #[error("the checksum file has no SHA-256 or SHA-512 of a file beside it")]
    NothingUsable,
    /// It has digests, but none that can be relied on.
    #[error("the checksum file has only weak digests, MD5 or SHA-1")]
    OnlyWeak,
    /// It contradicts itself about the content of a file.
    #[error("the checksum file has two different {algorithm} digests for `{}`", escape(name))]
    TwoDigests {
        /// The file; empty for a digest without a name.
        name: String,
        /// Of which algorithm.
        algorithm: Algorithm,
    },
    /// It contradicts itself about the length of a file.
    #[error("the checksum file has two different sizes for `{}`", escape(name))]
    TwoSizes {
        /// The file.
        name: String,
    },
}

impl Diagnose for ChecksumFileError {
    fn exit(&self) -> Exit {
        Exit::Integrity
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Empty => "the site may be updating: try again in some minutes, or another mirror",
            Self::TooLarge { .. } | Self::NothingUsable => {
                "look at the file with a browser: the site may have moved it, or show an error page instead"
            }
            Self::OnlyWeak => "take a SHA-256 from a source you trust and give it with `--checksum sha256:…`",
            Self::TwoDigests { .. } | Self::TwoSizes { .. } => {
                "the file may be damaged or forged: compare it with another mirror's before you use either"
            }
        };
        Some(hint.to_owned())
    }
}
