//! What can be wrong with a file of checks.

use crate::error::{Diagnose, Exit, io_exit};
use crate::toml_text::Place;

/// A file of checks is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CheckFileError {
    /// It could not be read.
    #[error("cannot read the checks")]
    Read(
        /// The cause, which names the file.
        #[source]
        std::io::Error,
    ),
    /// A line of it is wrong.
    #[error("{place}: {message}")]
    Invalid {
        /// Where.
        place: Place,
        /// What is wrong with it.
        message: String,
    },
}

impl Diagnose for CheckFileError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read(source) => io_exit(source, Exit::Recipe),
            Self::Invalid { .. } => Exit::Recipe,
        }
    }
}
