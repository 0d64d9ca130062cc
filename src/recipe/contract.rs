//! What an image promises its agent.

use schemars::JsonSchema;
use serde::Deserialize;

/// What an image promises its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Contract {
    /// A container engine; the agent runs the database in containers.
    Container,
    /// The database's packages, where the agents of 2016 look for them.
    Classic,
}
