//! Why something in an image could not be read.

use crate::disk::DiskError;
use crate::error::{Diagnose, Exit};

/// Something in an image could not be read. A check that ends this way is a check that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
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
}

impl ReadError {
    pub(crate) fn malformed(path: impl AsRef<[u8]>, reason: impl Into<String>) -> Self {
        Self::Malformed { path: super::files::show(path.as_ref()), reason: reason.into() }
    }
}

impl Diagnose for ReadError {
    fn exit(&self) -> Exit {
        match self {
            Self::Disk(error) => error.exit(),
            Self::Malformed { .. } | Self::Unsupported { .. } => Exit::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Disk(error) => error.hint(),
            Self::Malformed { path, .. } => {
                Some(format!("copy it with `tib extract IMAGE {path}` for a closer look"))
            }
            Self::Unsupported { .. } => None,
        }
    }
}
