//! What can go wrong while a plan runs.

use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};
use crate::guest::GuestError;
use crate::host::process::ProcessError;
use crate::os::ReadError;
use crate::trust::RepositoryKeyError;

/// A plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A step failed.
    #[error("stage {stage}, step {number} of {total} ({summary}) failed")]
    Step {
        /// Name of the stage.
        stage: &'static str,
        /// Counted from 1.
        number: usize,
        /// Steps in the stage.
        total: usize,
        /// What the step was doing.
        summary: String,
        /// Why it failed.
        source: Box<EngineError>,
    },
    /// The guest or the appliance said no.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A step names a user or group that the guest does not have.
    #[error("the guest has no {kind} named `{name}`")]
    NoSuchAccount {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The guest has nothing that can do what a step asks.
    #[error("the guest cannot {what}: {reason}")]
    Unable {
        /// What was asked.
        what: String,
        /// What is missing.
        reason: String,
    },
    /// A file of the host that a step brings has changed since the plan was made, or cannot be read.
    #[error("cannot bring `{path}` into the guest")]
    HostFile {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A repository's key is not the one that the recipe pins.
    #[error(transparent)]
    Key(#[from] RepositoryKeyError),
    /// The disk that carries packages and the agent into the guest could not be made.
    #[error("cannot make the payload disk")]
    Payload(#[source] ProcessError),
    /// Which SELinux labels the files need could not be found out.
    #[error("cannot find out which SELinux labels the files of the image need")]
    Labels(#[source] ReadError),
    /// The host's file system said no.
    #[error("cannot write `{path}`")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Diagnose for EngineError {
    fn exit(&self) -> Exit {
        match self {
            Self::Step { source, .. } => source.exit(),
            Self::Guest(error) => error.exit(),
            Self::Key(error) => error.exit(),
            Self::Labels(error) => error.exit(),
            Self::NoSuchAccount { .. } | Self::Unable { .. } => Exit::Guest,
            Self::HostFile { source, .. } | Self::Io { source, .. } => io_exit(source, Exit::Host),
            Self::Payload(ProcessError::Cancelled(_)) | Self::Cancelled(_) => Exit::Interrupted,
            Self::Payload(error) if error.tail().iter().any(|l| l.contains("No space left")) => Exit::Space,
            Self::Payload(_) => Exit::Host,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Step { source, .. } => source.hint(),
            Self::Guest(error) => error.hint(),
            Self::Key(error) => error.hint(),
            Self::Labels(error) => error.hint(),
            Self::NoSuchAccount { kind, name } => Some(format!(
                "add a `[[{kind}]]` named `{name}` to the recipe, or install the package that makes it"
            )),
            Self::Payload(_) => {
                Some("`mke2fs` (package e2fsprogs) is needed; `tib doctor` checks it".to_owned())
            }
            _ => None,
        }
    }

    fn context(&self) -> Vec<String> {
        match self {
            Self::Step { source, .. } => source.context(),
            Self::Guest(error) => error.context(),
            Self::Payload(error) => error.tail().to_vec(),
            _ => Vec::new(),
        }
    }
}
