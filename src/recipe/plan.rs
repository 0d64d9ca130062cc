//! The plan: ordered stages of steps with their digests, made before anything runs.

use serde::{Deserialize, Serialize};

use super::{AgentStep, ArtifactStep, Container, Contract, IdentityRule, Step};
use crate::check::{Check, PathKind};
use crate::digest::Digest;
use crate::distro::OsRelease;

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
    /// What the image promises its agent; `None` if the recipe does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// Stages that have steps, in order. Sealing always follows and is not listed.
    pub stages: Vec<Stage>,
    /// What the finished image must hold.
    pub checks: Vec<Check>,
    /// What sealing takes out besides what it always does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<IdentityRule>,
    /// The image starts by itself. If not, somebody gives it a kernel.
    #[serde(skip_serializing_if = "is_true")]
    pub boots: bool,
    /// Bytes the recipe needs on the root file system beyond what the base uses.
    pub needs: u64,
    /// Bytes of disk that an instance needs at least; 0 if the recipe does not say.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_disk: u64,
    /// Bytes of memory that an instance needs at least; 0 if the recipe does not say.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_ram: u64,
    /// Things the user should know before building, one sentence each.
    pub notes: Vec<String>,
    /// What is likely to go wrong with it, one sentence each. `--strict` builds nothing then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Plan {
    /// GiB of disk that an instance needs at least, of an image whose disk is so large: Glance's `min_disk`.
    pub fn min_disk_gib(&self, virtual_size: u64) -> u64 {
        self.min_disk.max(virtual_size).div_ceil(1 << 30)
    }

    /// MiB of memory that an instance needs at least: Glance's `min_ram`.
    pub fn min_ram_mib(&self) -> u64 {
        self.min_ram.div_ceil(1 << 20)
    }
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

    /// The same, to complete it with what is found when a build begins.
    pub fn agent_mut(&mut self) -> Option<&mut AgentStep> {
        self.stages.iter_mut().flat_map(|stage| &mut stage.steps).find_map(|step| match step {
            Step::Agent(agent) => Some(agent),
            _ => None,
        })
    }

    /// The steps that bring files of a person's.
    pub fn artifacts(&self) -> impl Iterator<Item = &ArtifactStep> {
        self.stages.iter().flat_map(|stage| &stage.steps).filter_map(|step| match step {
            Step::Artifact(artifact) => Some(&**artifact),
            _ => None,
        })
    }

    /// The same, to complete them with what is found when a build begins.
    pub fn artifacts_mut(&mut self) -> impl Iterator<Item = &mut ArtifactStep> {
        self.stages.iter_mut().flat_map(|stage| &mut stage.steps).filter_map(|step| match step {
            Step::Artifact(artifact) => Some(&mut **artifact),
            _ => None,
        })
    }

    /// Brings the checks up to date after files were found: they are to be the files with these digests.
    pub fn derive_artifact_checks(&mut self) {
        let digests: Vec<_> = self
            .artifacts()
            .filter_map(|step| Some((step.path.clone()?, step.found.as_ref()?.sha256.to_string())))
            .collect();
        for (of, digest) in digests {
            let found = self.checks.iter_mut().find_map(|check| match check {
                Check::Path(check) if check.path == of && check.kind == Some(PathKind::File) => Some(check),
                _ => None,
            });
            if let Some(check) = found {
                check.sha256 = Some(digest);
            }
        }
    }

    /// Whether the image may be passed on, as far as the licences of what a person brings tell.
    pub fn is_redistributable(&self) -> bool {
        self.artifacts().all(|artifact| artifact.license.is_none())
    }

    /// The container images that are put into the guest.
    pub fn containers(&self) -> &[Container] {
        let found = self.stages.iter().flat_map(|stage| &stage.steps).find_map(|step| match step {
            Step::Containers { containers } => Some(containers.as_slice()),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// The digest of stage `index`: over `before` (the digest of the stage before, or of the base image), the
    /// steps in canonical form (which has no paths of the host), what was `resolved` for them (package files, agent
    /// files), and the engine's `semantics` version.
    ///
    /// # Panics
    /// If there is no such stage.
    pub fn stage_digest(&self, index: usize, before: Digest, resolved: Digest, semantics: u32) -> Digest {
        let stage = &self.stages[index];
        let stage = Stage { name: stage.name, steps: stage.steps.iter().map(Step::anywhere).collect() };
        // Steps are plain data without maps that could fail to serialise or change order.
        let steps = serde_json::to_string(&stage).expect("steps always serialise");
        Digest::of(format!("{before}\n{semantics}\n{resolved}\n{steps}").as_bytes())
    }
}
