//! Why an image could not be booted. That it does not come up is no error, but a result.

use crate::cache::CacheError;
use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};
use crate::host::process::ProcessError;
use crate::image::ImageError;

/// An image could not be tried out.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A program that is needed is not installed.
    #[error("{what} is not installed on this host")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A program could not be started, or failed.
    #[error("{doing} failed")]
    Process {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: ProcessError,
    },
    /// The private broker did not start.
    #[error("the private message broker did not start")]
    Broker {
        /// Its last lines.
        output: Vec<String>,
    },
    /// What was asked for makes no sense.
    #[error("{problem}")]
    Request {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// Files of the virtual machine could not be made.
    #[error("cannot prepare the virtual machine")]
    Prepare {
        /// Why not.
        source: std::io::Error,
    },
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl BootError {
    /// For files of the virtual machine.
    pub(crate) fn prepare(source: std::io::Error) -> Self {
        Self::Prepare { source }
    }
}

impl Diagnose for BootError {
    fn exit(&self) -> Exit {
        match self {
            Self::Request { .. } => Exit::Usage,
            Self::Missing { .. } | Self::Broker { .. } | Self::Process { .. } => Exit::Host,
            Self::Prepare { source } => io_exit(source, Exit::Host),
            Self::Image(error) => error.exit(),
            Self::Cache(error) => error.exit(),
            Self::Cancelled(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { hint, .. } => Some((*hint).to_owned()),
            Self::Request { hint, .. } => Some(hint.clone()),
            Self::Image(error) => error.hint(),
            Self::Cache(error) => error.hint(),
            Self::Process { .. } | Self::Broker { .. } | Self::Prepare { .. } | Self::Cancelled(_) => None,
        }
    }

    fn context(&self) -> Vec<String> {
        match self {
            Self::Broker { output } => output.clone(),
            Self::Process { source, .. } => source.tail().to_vec(),
            Self::Image(error) => error.context(),
            _ => Vec::new(),
        }
    }
}
