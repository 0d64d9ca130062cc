//! What a build brings into the guest: packages and the agent, resolved on the host where possible.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cancel::Cancel;
use crate::disk::Policy;
use crate::engine::StagePackages;
use crate::error::Result;
use crate::event::Events;
use crate::os::Family;
use crate::recipe::{Plan, Stage, Step};
use crate::source::agent::{self, AgentBundle, AgentRequest, glibc_of};
use crate::source::apt::{self, AptRequest, StageRequest};
use crate::source::{Base, Cache};

use super::{BuildError, with_tree};

/// Packages of every stage of the plan, in its order, and the agent.
#[derive(Debug)]
pub(super) struct Materials {
    pub(super) packages: Vec<StagePackages>,
    pub(super) agent: Option<AgentBundle>,
}

impl Materials {
    /// What was resolved for a stage, as canonical text for its digest.
    pub(super) fn resolved(&self, index: usize, stage: &Stage) -> String {
        let packages = match &self.packages[index] {
            StagePackages::Resolved(set) => set.digest_text(),
            // What a mirror holds is not known beforehand: such a layer is good for a day.
            StagePackages::InGuest => format!("in the guest, day {}\n", today()),
        };
        let agent = match &self.agent {
            Some(agent) if has_agent(stage) => agent.digest_text(),
            _ => String::new(),
        };
        format!("{packages}{agent}")
    }

    /// Bytes that packages and agent take when installed, as far as that is known.
    pub(super) fn installed(&self) -> u64 {
        let packages = self.packages.iter().map(|packages| match packages {
            StagePackages::Resolved(set) => set.installed_size(),
            StagePackages::InGuest => 0,
        });
        packages.sum::<u64>() + self.agent.as_ref().map_or(0, |agent| agent.size_installed)
    }

    /// Whether a stage goes to the network from inside the guest.
    pub(super) fn needs_network(&self, index: usize, stage: &Stage) -> bool {
        let in_guest = matches!(self.packages[index], StagePackages::InGuest);
        stage.steps.iter().any(|step| match step {
            Step::Packages(packages) => in_guest && !packages.install.is_empty(),
            Step::Script(script) => script.network,
            _ => false,
        })
    }
}

/// Whether a stage installs the agent.
pub(super) fn has_agent(stage: &Stage) -> bool {
    stage.steps.iter().any(|step| matches!(step, Step::Agent(_)))
}

fn today() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| time.as_secs() / (24 * 60 * 60))
}

/// Resolves everything the plan needs.
pub(super) fn gather(
    plan: &Plan,
    base: &Base,
    cache: &Cache,
    offline: bool,
    events: &Events,
    cancel: &Cancel,
) -> Result<Materials> {
    let steps = || plan.stages.iter().flat_map(|stage| &stage.steps);
    let networked = steps().find_map(|step| match step {
        Step::Script(script) if script.network => Some(script.purpose.clone()),
        _ => None,
    });
    if let (true, Some(purpose)) = (offline, networked) {
        return Err(BuildError::OfflineScript { purpose }.into());
    }
    let packages = packages(plan, base, cache, offline, events, cancel)?;
    let step = steps().find_map(|step| match step {
        Step::Agent(step) => Some(step),
        _ => None,
    });
    let agent = match step {
        Some(step) => {
            let python_minor =
                plan.os.python_minor.ok_or_else(|| BuildError::NoPython { os: plan.os.pretty.clone() })?;
            let request = AgentRequest {
                step,
                python_minor,
                arch: plan.os.arch,
                glibc: glibc_of(&plan.os),
                cache_dir: cache.root(),
                offline,
            };
            Some(agent::resolve(&request, events, cancel)?)
        }
        None => None,
    };
    Ok(Materials { packages, agent })
}

fn packages(
    plan: &Plan,
    base: &Base,
    cache: &Cache,
    offline: bool,
    events: &Events,
    cancel: &Cancel,
) -> Result<Vec<StagePackages>> {
    let wanted: Vec<StageRequest<'_>> =
        plan.stages.iter().map(|stage| StageRequest::of(&stage.steps)).collect();
    if wanted.iter().all(|stage| stage.install.is_empty()) {
        return Ok(vec![StagePackages::Resolved(apt::PackageSet::default()); plan.stages.len()]);
    }
    if plan.os.family != Family::Debian {
        return in_guest(plan, "it knows only apt", offline, events);
    }
    if let Err(error) = apt::usable() {
        return in_guest(plan, &error.to_string(), offline, events);
    }
    let sets = with_tree(&base.path, &Policy::within(cache.root()), events, cancel, |tree| {
        let request = AptRequest {
            tree,
            arch: plan.os.arch,
            stages: &wanted,
            cache_dir: &cache.directory("apt"),
            offline,
        };
        Ok(apt::resolve(request, events, cancel)?)
    })?;
    Ok(sets.into_iter().map(StagePackages::Resolved).collect())
}

/// The slow way, for guests whose packages this host cannot resolve.
fn in_guest(plan: &Plan, reason: &str, offline: bool, events: &Events) -> Result<Vec<StagePackages>> {
    let os = plan.os.label();
    if offline {
        return Err(BuildError::OfflinePackages { os }.into());
    }
    events.note(format!("packages of {os} are installed from inside the guest, over the network: {reason}"));
    Ok(vec![StagePackages::InGuest; plan.stages.len()])
}
