//! What an image promises its agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an image promises its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// A container engine; the agent runs the database in containers.
    Container,
    /// The database's packages, where the agents of 2016 look for them.
    Classic,
}
