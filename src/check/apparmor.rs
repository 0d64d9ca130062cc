//! AppArmor: what a profile does, which checks demand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a profile does with what it does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileMode {
    /// Forbids it.
    Enforce,
    /// Logs it.
    Complain,
    /// Ends the program.
    Kill,
    /// Asks somebody.
    Prompt,
    /// Allows all.
    Unconfined,
    /// It is not loaded: a link below `disable/` says so.
    Disabled,
}

impl ProfileMode {
    /// As checks and `tib inspect` have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Complain => "complain",
            Self::Kill => "kill",
            Self::Prompt => "prompt",
            Self::Unconfined => "unconfined",
            Self::Disabled => "disabled",
        }
    }

    /// Whether a kernel has to have loaded the profile for that.
    pub fn is_loaded(self) -> bool {
        self != Self::Disabled
    }
}

/// What must be true of a profile of AppArmor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApparmorCheck {
    /// Its name, such as `/usr/sbin/mysqld`; or that of its file in `/etc/apparmor.d`, which stands for all profiles in it
    /// that are not within others.
    pub profile: String,
    /// `false`: there must be no such profile.
    #[serde(default = "super::yes", skip_serializing_if = "super::is_yes")]
    pub exists: bool,
    /// What it does, by its own flags and the links in `disable/` and `force-complain/`. Any but `disabled` asks for something
    /// that loads it at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ProfileMode>,
    /// Rules that must stand in the files of `local/` that it includes, one a line. Comments and runs of spaces do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
}

impl ApparmorCheck {
    /// Something declares the profile.
    pub fn new(profile: impl Into<String>) -> Self {
        Self { profile: profile.into(), exists: true, mode: None, local: None }
    }
}

/// The rules of a text, one a line: without comments, and with single spaces.
pub fn rules(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| {
            let line = line.trim_start();
            !line.starts_with('#') || line.starts_with("#include")
        })
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
}
