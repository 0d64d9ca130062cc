//! What can be wrong with the catalogue, or with what is asked of it.

use crate::distro::Arch;
use crate::error::{Diagnose, Exit, io_exit};
use crate::toml_text::did_you_mean;

/// The catalogue cannot be read, or does not have what is wanted.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A directory or file of entries cannot be read.
    #[error("cannot read the catalogue")]
    Read {
        /// The cause, which names the file.
        source: std::io::Error,
    },
    /// A line of a file is wrong.
    #[error("{file}:{line}: {message}")]
    Invalid {
        /// The file.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// An entry makes no sense.
    #[error("entry `{id}` of the catalogue: {message}")]
    Entry {
        /// The entry.
        id: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is no such image.
    #[error("the catalogue has no image `{name}`{}", did_you_mean(near.as_deref()))]
    NotFound {
        /// What was asked for.
        name: String,
        /// The nearest name there is.
        near: Option<String>,
    },
    /// The image is not made for this architecture.
    #[error("`{id}` is not published for {arch}")]
    NoArch {
        /// The entry.
        id: String,
        /// What was asked for.
        arch: Arch,
        /// What there is.
        known: Vec<String>,
    },
    /// The maker publishes no such build.
    #[error("`{id}` has no build `{build}`")]
    NoBuild {
        /// The entry.
        id: String,
        /// What was asked for.
        build: String,
    },
    /// The image cannot be fetched.
    #[error("`{id}` cannot be fetched: {reason}")]
    LocalOnly {
        /// The entry.
        id: String,
        /// Why.
        reason: String,
        /// Where a person gets it.
        url: String,
    },
}

impl Diagnose for CatalogueError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { source } => io_exit(source, Exit::Recipe),
            Self::Invalid { .. } | Self::Entry { .. } => Exit::Recipe,
            Self::NotFound { .. } | Self::NoArch { .. } | Self::NoBuild { .. } | Self::LocalOnly { .. } => {
                Exit::Usage
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some(
                "`tib base list --all` lists the catalogue; write `./NAME` for a file of this directory"
                    .to_owned(),
            ),
            Self::NoArch { known, .. } => Some(format!("it is for {}", known.join(" and "))),
            Self::NoBuild { id, .. } => Some(format!("`tib base show {id}` lists the builds it has")),
            Self::LocalOnly { id, url, .. } => {
                Some(format!("get it from {url}, then `tib base import FILE --as {id} --checksum sha256:…`"))
            }
            Self::Entry { .. } | Self::Invalid { .. } | Self::Read { .. } => None,
        }
    }
}
