//! Why an image could not be tried with a control plane.

use crate::cache::CacheError;
use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};
use crate::host::process::ProcessError;

/// An image could not be tried with a control plane.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The program could not be unpacked, or its report not be read.
    #[error("cannot prepare the control plane")]
    Unpack(#[source] std::io::Error),
    /// The program could not do its work.
    #[error("the image cannot be proved{}", because(message))]
    Program {
        /// What it says.
        message: Option<String>,
        /// How it ended.
        source: ProcessError,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Diagnose for ProveError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unpack(error) => io_exit(error, Exit::Host),
            // The program's codes are ours.
            Self::Program { source: ProcessError::Failed { status, .. }, .. } if status.code() == Some(2) => {
                Exit::Usage
            }
            Self::Program { .. } => Exit::Host,
            Self::Cache(error) => error.exit(),
            Self::Cancelled(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Program { source: ProcessError::Start { .. }, .. } => {
                Some("install python3, 3.11 or newer".to_owned())
            }
            Self::Cache(error) => error.hint(),
            _ => None,
        }
    }
}

fn because(message: &Option<String>) -> String {
    message.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}
