//! What a datastore's packages write once and instances must not share: removed when the image is sealed, and looked for
//! by the sealing gate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::when::{OneOrMany, When};

/// Files that identify one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) when: Option<When>,
    /// Absolute path, or several; `*` and `?` match within one name.
    pub(super) path: OneOrMany<String>,
    /// What it is, as in `the server's UUID`.
    pub(super) what: String,
    /// How an instance gets its own, as in `mysqld writes a new one when it starts`.
    pub(super) renewed: String,
}

/// What sealing takes out for a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdentityRule {
    /// Where: an absolute path in which `*` and `?` match within one name.
    pub path: String,
    /// What it is.
    pub what: String,
    /// How an instance gets its own.
    pub renewed: String,
}
