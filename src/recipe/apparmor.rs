//! What a recipe sets of AppArmor: the items of `[[apparmor]]`, and what the step does that they become.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::content::Content;
use super::when::When;
use crate::check::{ApparmorCheck, Check, ProfileMode};

/// A profile of AppArmor, for guests that have AppArmor.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Apparmor {
    pub(super) when: Option<When>,
    /// Name of the profile's file in `/etc/apparmor.d`, such as `usr.sbin.mysqld`.
    pub(super) profile: String,
    /// The whole profile; without it and `source`, it comes with a package.
    pub(super) text: Option<String>,
    /// A file of the host that holds it, relative to the recipe.
    pub(super) source: Option<String>,
    /// Rules to add to `/etc/apparmor.d/local/PROFILE`, which the profile must include.
    pub(super) local: Option<String>,
    /// What becomes of what it forbids; left as it is by default.
    pub(super) mode: Option<ApparmorMode>,
}

/// How a profile is loaded at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApparmorMode {
    /// It forbids: no link says otherwise, and its own flags must not.
    Enforce,
    /// It only logs: a link in `force-complain`.
    Complain,
    /// It is not loaded: a link in `disable`.
    Disable,
}

impl ApparmorMode {
    /// As recipes have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Complain => "complain",
            Self::Disable => "disable",
        }
    }

    /// What the profile does then.
    fn wanted(self) -> ProfileMode {
        match self {
            Self::Enforce => ProfileMode::Enforce,
            Self::Complain => ProfileMode::Complain,
            Self::Disable => ProfileMode::Disabled,
        }
    }
}

/// What is set of one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApparmorStep {
    /// Name of its file.
    pub profile: String,
    /// The profile itself, if the recipe brings it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Rules to add; they end with a newline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// How it is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ApparmorMode>,
}

impl ApparmorStep {
    /// The profile's file.
    pub fn path(&self) -> String {
        format!("/etc/apparmor.d/{}", self.profile)
    }

    /// The site's additions to it.
    pub fn local_path(&self) -> String {
        format!("/etc/apparmor.d/local/{}", self.profile)
    }

    /// The link that keeps it from being loaded.
    pub fn disable_path(&self) -> String {
        format!("/etc/apparmor.d/disable/{}", self.profile)
    }

    /// The link that makes it log only.
    pub fn complain_path(&self) -> String {
        format!("/etc/apparmor.d/force-complain/{}", self.profile)
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let parts = [
            self.content.as_ref().map(|_| "written"),
            self.local.as_ref().map(|_| "local additions"),
            self.mode.map(ApparmorMode::name),
        ];
        format!(
            "AppArmor profile {}: {}",
            self.profile,
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        )
    }

    /// What the finished image must hold of it.
    pub(super) fn checks(&self) -> Vec<Check> {
        let (mode, local) = (self.mode.map(ApparmorMode::wanted), self.local.clone());
        let check = ApparmorCheck { mode, local, ..ApparmorCheck::new(self.profile.as_str()) };
        vec![Check::Apparmor(Box::new(check))]
    }
}
