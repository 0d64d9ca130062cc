//! What a file contains: text of a recipe, a file of the host, or what somebody publishes.

use std::path::PathBuf;

use serde::Serialize;

use crate::digest::Digest;

/// What a file contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Text written in the recipe.
    Text(String),
    /// A file of the host, read when the plan is made.
    Host {
        /// Absolute path on the host. No digest depends on it.
        path: PathBuf,
        /// SHA-256 of its content.
        sha256: Digest,
        /// Length in bytes.
        size: u64,
    },
    /// A file that somebody publishes: only the key of a repository can be one. It is fetched when a build starts.
    Url(String),
}
