//! The plan: ordered stages of steps with their digests, made before anything runs.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AgentStep, Check, Step};
use crate::os::OsRelease;

/// A SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Wraps the 32 bytes of a finished hash.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
    }
}

/// The stages of every build, stable first, volatile last.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum StageName {
    /// Common packages and settings.
    System,
    /// The database, or what runs its containers.
    Datastore,
    /// The guest agent.
    Agent,
    /// The operator's own files, users, keys.
    Site,
}

impl StageName {
    /// In the order in which they run.
    pub const ALL: [Self; 4] = [Self::System, Self::Datastore, Self::Agent, Self::Site];

    /// The name in plans, recipes and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Datastore => "datastore",
            Self::Agent => "agent",
            Self::Site => "site",
        }
    }
}

/// Steps that make one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Which stage.
    pub name: StageName,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// A recipe resolved for one operating system and one set of options: everything a build will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Name of the recipe.
    pub recipe: String,
    /// Digest over the texts of the recipe and all it extends, the values of its options, and the agent's source (of
    /// one's own code: that it is that).
    pub recipe_digest: Digest,
    /// The operating system it is resolved for.
    pub os: OsRelease,
    /// Datastore the image is for, as Trove's `--datastore` names it; `None` for `trove-guest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datastore: Option<String>,
    /// Stages that have steps, in order. Sealing always follows and is not listed.
    pub stages: Vec<Stage>,
    /// What the finished image must hold.
    pub checks: Vec<Check>,
    /// The image starts by itself. If not, somebody gives it a kernel.
    #[serde(skip_serializing_if = "is_true")]
    pub boots: bool,
    /// Bytes the recipe needs on the root file system beyond what the base uses.
    pub needs: u64,
    /// Things the user should know before building, one sentence each.
    pub notes: Vec<String>,
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Plan {
    /// The step that installs the guest agent, if one does.
    pub fn agent(&self) -> Option<&AgentStep> {
        self.stages.iter().flat_map(|stage| &stage.steps).find_map(|step| match step {
            Step::Agent(agent) => Some(agent),
            _ => None,
        })
    }

    /// The digest of stage `index`: over `before` (the digest of the stage before, or of the base image), the
    /// steps in canonical form (which has no paths of the host), what was `resolved` for them (package files, agent
    /// files), and the engine's `semantics` version.
    ///
    /// # Panics
    /// If there is no such stage.
    pub fn stage_digest(&self, index: usize, before: Digest, resolved: &str, semantics: u32) -> Digest {
        let stage = &self.stages[index];
        let stage = Stage { name: stage.name, steps: stage.steps.iter().map(Step::anywhere).collect() };
        // Steps are plain data without maps that could fail to serialise or change order.
        let steps = serde_json::to_string(&stage).expect("steps always serialise");
        Digest::of(format!("{before}\n{semantics}\n{resolved}\n{steps}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_round_trip_and_reject_the_rest() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        for bad in ["", "zz", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }
}
