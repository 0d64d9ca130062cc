//! SELinux: how it starts, which recipes set, and labels of files, which checks demand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What SELinux does with what its policy forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SelinuxMode {
    /// Forbids it.
    Enforcing,
    /// Logs it.
    Permissive,
    /// It is not loaded.
    Disabled,
}

impl SelinuxMode {
    /// As `/etc/selinux/config` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforcing => "enforcing",
            Self::Permissive => "permissive",
            Self::Disabled => "disabled",
        }
    }
}
