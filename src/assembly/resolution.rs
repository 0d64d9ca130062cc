//! What a build has resolved, as one value: it decides, with the plan, over everything that gets into the image.
//!
//! It holds digests and no path of this host. Layers are named after it and the manifest is written from it, so that neither
//! can depend on anything that is not in here.

use serde::{Deserialize, Serialize};

use super::size::Target;
use crate::agent::ResolvedAgent;
use crate::cache::Base;
use crate::digest::Digest;
use crate::packages::{Resolved, StagePackages};
use crate::recipe::{Stage, StageName, Step};

/// What a build has resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resolution {
    /// What it starts from.
    pub(crate) base: ResolvedBase,
    /// The disk that it makes of that.
    pub(crate) disk: ResolvedDisk,
    /// One for each stage of the plan, in its order.
    pub(crate) stages: Vec<ResolvedStage>,
    /// The digest of the repositories that a subscription opens to a guest that installs packages by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entitled: Option<Digest>,
}

/// The base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResolvedBase {
    /// SHA-256 of the disk's file.
    pub(crate) digest: Digest,
    /// Bytes of that disk.
    pub(crate) virtual_size: u64,
}

/// The image's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResolvedDisk {
    /// Its bytes.
    pub(crate) size: u64,
    /// Whether the root fills it.
    pub(crate) filled: bool,
}

/// What is brought into the guest for one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResolvedStage {
    /// Which stage.
    pub(crate) stage: StageName,
    /// Its packages.
    pub(crate) packages: StagePackages,
    /// The agent, if this stage installs one.
    pub(crate) agent: Option<ResolvedAgent>,
}

impl Resolution {
    pub(crate) fn new(
        base: &Base,
        target: &Target,
        stages: Vec<ResolvedStage>,
        entitled: Option<Digest>,
    ) -> Self {
        Self {
            base: ResolvedBase { digest: base.digest, virtual_size: base.virtual_size },
            disk: ResolvedDisk { size: target.size, filled: target.filled },
            stages,
            entitled,
        }
    }

    /// The agent, if any stage installs one.
    pub(crate) fn agent(&self) -> Option<&ResolvedAgent> {
        self.stages.iter().find_map(|stage| stage.agent.as_ref())
    }

    /// All packages that are installed and known beforehand.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Resolved> {
        self.stages.iter().flat_map(|stage| match &stage.packages {
            StagePackages::Resolved(set) => set.files.as_slice(),
            StagePackages::Nothing | StagePackages::InGuest { .. } => &[],
        })
    }

    /// The digest that the chain of layers starts with: of the base and the disk, and of repositories that the guest uses by
    /// itself.
    pub(crate) fn start(&self) -> Digest {
        match self.entitled {
            Some(entitled) => digest(&(self.base.digest, &self.disk, entitled)),
            None => digest(&(self.base.digest, &self.disk)),
        }
    }
}

impl ResolvedStage {
    /// The digest of what decides over the guest.
    pub(crate) fn digest(&self) -> Digest {
        digest(&(self.packages.digest(), &self.agent))
    }

    /// Whether `stage`, for which this was resolved, goes to the network from inside the guest.
    pub(crate) fn needs_network(&self, stage: &Stage) -> bool {
        let in_guest = matches!(self.packages, StagePackages::InGuest { .. });
        stage.steps.iter().any(|step| match step {
            Step::Packages(packages) => in_guest && !packages.install.is_empty(),
            Step::Script(script) => script.network,
            _ => false,
        })
    }
}

fn digest(value: &impl Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(value).expect("plain data with text keys always serialises"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentBundle;
    use crate::packages::PackageSet;

    fn resolution() -> Resolution {
        let stage = |stage, packages, agent| ResolvedStage { stage, packages, agent };
        Resolution {
            base: ResolvedBase { digest: Digest::of(b"base"), virtual_size: 2 << 30 },
            disk: ResolvedDisk { size: 3 << 30, filled: true },
            stages: vec![
                stage(StageName::System, StagePackages::InGuest { day: 20_000 }, None),
                stage(StageName::Datastore, StagePackages::Resolved(PackageSet::example()), None),
                stage(StageName::Agent, StagePackages::Nothing, Some(AgentBundle::example(true).agent)),
            ],
            entitled: None,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let resolution = resolution();
        let text = serde_json::to_string_pretty(&resolution).unwrap();
        let read: Resolution = serde_json::from_str(&text).unwrap();
        assert_eq!(read, resolution);
        assert_eq!(read.start(), resolution.start());
        let digests = |resolution: &Resolution| -> Vec<Digest> {
            resolution.stages.iter().map(ResolvedStage::digest).collect()
        };
        assert_eq!(digests(&read), digests(&resolution));
        assert_eq!(read.agent().unwrap().version, "26.0.0");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn digests_follow_what_was_resolved() {
        let start = |change: fn(&mut Resolution)| {
            let mut resolution = resolution();
            change(&mut resolution);
            resolution.start()
        };
        let first = start(|_| {});
        assert_ne!(first, start(|resolution| resolution.base.digest = Digest::of(b"other")));
        assert_ne!(first, start(|resolution| resolution.disk.size += 1 << 30));
        assert_ne!(first, start(|resolution| resolution.disk.filled = false));
        assert_ne!(first, start(|resolution| resolution.entitled = Some(Digest::of(b"repositories"))));
        assert_eq!(first, start(|resolution| resolution.stages.clear()), "stages are digested one by one");

        let stage = |change: fn(&mut ResolvedAgent)| {
            let mut stage = resolution().stages.remove(2);
            stage.agent.iter_mut().for_each(change);
            stage.digest()
        };
        let first = stage(|_| {});
        assert_ne!(first, stage(|agent| agent.files[0].sha256 = Digest::of(b"other")));
        assert_ne!(first, stage(|agent| agent.files[0].requested = true));
        assert_ne!(first, stage(|agent| agent.layout += 1));
        assert_ne!(first, stage(|agent| agent.python_minor += 1));
        assert_ne!(first, ResolvedStage { agent: None, ..resolution().stages.remove(2) }.digest());
    }
}
