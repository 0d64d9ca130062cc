//! Whether a unit starts at boot: what checks demand and recipes set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a unit starts at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It starts.
    Enabled,
    /// It does not start by itself.
    Disabled,
    /// It cannot be started at all.
    Masked,
}

impl ServiceState {
    /// `enable`, `disable`, `mask`.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Enabled => "enable",
            Self::Disabled => "disable",
            Self::Masked => "mask",
        }
    }
}
