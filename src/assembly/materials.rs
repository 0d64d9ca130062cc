//! What a build brings into the guest: packages and the agent, resolved on the host where possible.

use crate::agent;
use crate::agent::{AgentRequest, AgentTree, glibc_of};
use crate::cache::{Base, Cache};
use crate::check::{Check, ServiceState, VersionWanted};
use crate::clock;
use crate::container;
use crate::container::FoundContainer;
use crate::control::Control;
use crate::distro::Family;
use crate::error::Result;
use crate::image::Image;
use crate::inspect::init;
use crate::os;
use crate::packages;
use crate::packages::{EntitledRepository, Needed, ResolveRequest, StagePackages, StageRequest};
use crate::recipe::{Content, Plan, Stage, Step};
use crate::subscription::Registration;

use super::BuildError;
use super::resolution::{Resolution, ResolvedStage};
use super::size::Target;

/// What was resolved for a plan, before it is known how large the disk must be for it.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// One for each stage of the plan, in its order.
    stages: Vec<ResolvedStage>,
    agent: Option<AgentTree>,
    containers: Vec<FoundContainer>,
}

/// Everything that a build brings into the guest.
#[derive(Debug)]
pub(crate) struct BuildMaterials {
    /// What it is.
    pub(crate) resolution: Resolution,
    /// The agent, laid out on this host. Where the packages are, their resolver knows.
    pub(crate) agent: Option<AgentTree>,
    /// Container images, whose parts are in the cache.
    pub(crate) containers: Vec<FoundContainer>,
    /// Bytes that it takes when installed, as far as that is known.
    pub(crate) installed: u64,
    /// Repositories that a subscription opens, if the guest installs packages by itself.
    pub(crate) entitled: Vec<EntitledRepository>,
}

impl Gathered {
    /// Bytes that packages and agent take when installed, as far as that is known.
    pub(crate) fn installed(&self) -> u64 {
        let packages = self.stages.iter().map(|stage| stage.packages.installed_size());
        let containers = self.containers.iter().map(|found| found.container.size);
        packages.sum::<u64>()
            + self.agent.as_ref().map_or(0, |agent| agent.size_installed)
            + containers.sum::<u64>()
    }

    /// The same with container images, which are fetched if they are not here.
    pub(crate) fn with(
        self,
        containers: Vec<FoundContainer>,
        access: &container::Access<'_>,
        control: &Control,
    ) -> Result<Self> {
        if !containers.is_empty() {
            let detail = format!("{} to embed", containers.len());
            control.events.stage("fetch", detail, || {
                containers.iter().try_for_each(|found| found.fetch(access, control))
            })?;
        }
        Ok(Self { containers, ..self })
    }

    /// Whether the guest installs packages by itself.
    pub(crate) fn is_in_guest(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage.packages, StagePackages::InGuest { .. }))
    }

    /// For the disk that is made of the base, and a registration that is still needed.
    pub(crate) fn on(
        self,
        base: &Base,
        target: &Target,
        registration: Option<&Registration>,
    ) -> BuildMaterials {
        let installed = self.installed();
        let resolution = Resolution::new(base, target, self.stages, registration.map(Registration::digest));
        let entitled =
            registration.map_or_else(Vec::new, |registration| registration.repositories().to_vec());
        let Self { agent, containers, .. } = self;
        BuildMaterials { resolution, agent, containers, installed, entitled }
    }
}

/// Whether any stage installs packages.
pub(crate) fn installs_packages(plan: &Plan) -> bool {
    plan.stages.iter().any(|stage| !StageRequest::of(stage).install.is_empty())
}

/// Whether a stage installs the agent.
pub(crate) fn has_agent(stage: &Stage) -> bool {
    stage.steps.iter().any(|step| matches!(step, Step::Agent(_)))
}

/// Days since 1970 began.
fn day_number() -> u64 {
    clock::now() / clock::DAY
}

/// Resolves everything the plan needs. The base is closed as soon as packages are: an appliance that read it must not run
/// beside that of the build.
pub(crate) fn gather(
    plan: &Plan,
    base: Image,
    cache: &Cache,
    entitled: &[EntitledRepository],
    offline: bool,
    control: &Control,
) -> Result<Gathered> {
    let steps = || plan.stages.iter().flat_map(|stage| &stage.steps);
    let networked = steps().find_map(|step| match step {
        Step::Script(script) if script.network => Some(script.purpose.clone()),
        _ => None,
    });
    if let (true, Some(purpose)) = (offline, networked) {
        return Err(BuildError::OfflineScript { purpose }.into());
    }
    let packages = packages(plan, base, cache, entitled, offline, control)?;
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
                cache,
                offline,
            };
            Some(agent::resolve(&request, control)?)
        }
        None => None,
    };
    let stage = |(stage, packages): (&Stage, _)| ResolvedStage {
        stage: stage.name,
        packages,
        agent: agent.as_ref().filter(|_| has_agent(stage)).map(|bundle| bundle.agent.clone()),
    };
    let stages = plan.stages.iter().zip(packages).map(stage).collect();
    Ok(Gathered { stages, agent: agent.map(|bundle| bundle.tree), containers: Vec::new() })
}

fn packages(
    plan: &Plan,
    base: Image,
    cache: &Cache,
    entitled: &[EntitledRepository],
    offline: bool,
    control: &Control,
) -> Result<Vec<StagePackages>> {
    let wanted: Vec<StageRequest<'_>> = plan.stages.iter().map(StageRequest::of).collect();
    if wanted.iter().all(StageRequest::is_idle) {
        needs_systemd_of(base, plan)?;
        return Ok(vec![StagePackages::Nothing; plan.stages.len()]);
    }
    let resolver = match packages::resolver(plan.os.family) {
        Ok(resolver) => resolver,
        Err(reason) => return in_guest(plan, &wanted, &reason, offline, control),
    };
    let solution = base.read(|tree| {
        let request = ResolveRequest {
            tree,
            arch: plan.os.arch,
            stages: &wanted,
            needed: &needed(plan),
            boots: plan.boots,
            entitled,
            cache,
            offline,
        };
        resolver.resolve(request, control)
    })?;
    foresee(plan, &solution.installed)?;
    let of = |(stage, set): (&StageRequest<'_>, _)| match stage.is_idle() {
        true => StagePackages::Nothing,
        false => StagePackages::Resolved(set),
    };
    Ok(wanted.iter().zip(solution.sets).map(of).collect())
}

/// What the purpose of the image needs beyond what the recipe names.
fn needed(plan: &Plan) -> Vec<Needed> {
    let mut needed = Vec::new();
    if plan.stages.iter().any(has_agent) {
        needed.push(Needed { name: "python3", why: "the agent runs with" });
        needed.push(Needed { name: "sudo", why: "the agent does everything through" });
    }
    if plan.checks.iter().any(|check| matches!(check, Check::Datasources { .. })) {
        needed.push(Needed { name: "cloud-init", why: "instances get their configuration through" });
    }
    needed
}

/// Refuses a plan whose checks of packages cannot come true, which is known as soon as all packages are.
fn foresee(plan: &Plan, installed: &[(String, String)]) -> Result<()> {
    if may_change_packages(plan) {
        return Ok(());
    }
    let version_of = |name: &str| {
        let at = installed.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(installed[at].1.as_str())
    };
    for check in &plan.checks {
        let Check::Package { name, installed: wanted, version } = check else { continue };
        let problem = match (version_of(name), wanted, version) {
            (None, true, _) => "it will not be installed".to_owned(),
            (Some(found), false, _) => format!("version {found} will be installed"),
            (Some(found), true, Some(version)) => match VersionWanted::parse(version) {
                Ok(wanted) if os::accepts_version(Some(plan.os.family), found, &wanted) == Some(false) => {
                    format!("version {found} will be installed")
                }
                _ => continue,
            },
            _ => continue,
        };
        return Err(BuildError::Foreseen { check: check.title(), problem }.into());
    }
    // What makes systemd the first process.
    let systemd = if plan.os.family == Family::Debian { "systemd-sysv" } else { "systemd" };
    if let Some(unit) = systemd_unit(plan).filter(|_| version_of(systemd).is_none()) {
        return Err(BuildError::NoSystemd { os: plan.os.pretty.clone(), unit: unit.to_owned() }.into());
    }
    Ok(())
}

/// Whether a script may install or remove packages behind the back of what resolves them on this host: by itself, or by way of a file
/// that the plan brings. If that cannot be told, it may.
fn may_change_packages(plan: &Plan) -> bool {
    let family = plan.os.family;
    let steps = || plan.stages.iter().flat_map(|stage| &stage.steps);
    let mut scripts = steps().filter_map(|step| match step {
        Step::Script(script) => Some(script),
        _ => None,
    });
    let mut files = steps().filter_map(|step| match step {
        Step::File(file) => Some(&file.content),
        _ => None,
    });
    if plan.artifacts().any(|step| step.install) {
        return true;
    }
    let Some(first) = scripts.next() else { return false };
    std::iter::once(first)
        .chain(scripts)
        .any(|script| script.network || names_a_tool(family, script.text.as_bytes()))
        || files.any(|content| match content {
            Content::Text(text) => names_a_tool(family, text.as_bytes()),
            Content::Url(_) => true,
            Content::Host { path, size, .. } => {
                *size > LONGEST_SCRIPT
                    || fs_err::read(path).map_or(true, |content| names_a_tool(family, &content))
            }
        })
}

/// Bytes. Scripts are no longer; what is, is not searched.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// Whether the name of a program that installs packages is one of the words of a text: `apt` in `apt-get` and `apt_pkg`, and
/// not in `capture`.
fn names_a_tool(family: Family, text: &[u8]) -> bool {
    let tools: &[&[u8]] = match family {
        Family::Debian => &[b"apt", b"aptitude", b"dpkg", b"gdebi", b"tasksel"],
        Family::Rhel | Family::Suse => &[b"dnf", b"dnf5", b"microdnf", b"rpm", b"yum", b"zypper"],
    };
    text.split(|byte| !byte.is_ascii_alphanumeric()).any(|word| tools.contains(&word))
}

/// Refuses a plan that installs nothing and starts units, on a base without systemd. Where that is only beside another first
/// process, the kernel's command line may decide, and the finished image is asked.
fn needs_systemd_of(base: Image, plan: &Plan) -> Result<()> {
    let Some(unit) = systemd_unit(plan).filter(|_| !may_change_packages(plan)) else { return Ok(()) };
    match base.read(|tree| Ok(init::has_systemd(tree)?))? {
        true => Ok(()),
        false => Err(BuildError::NoSystemd { os: plan.os.pretty.clone(), unit: unit.to_owned() }.into()),
    }
}

/// A unit that the plan wants to start and that only systemd can.
fn systemd_unit(plan: &Plan) -> Option<&str> {
    plan.stages.iter().flat_map(|stage| &stage.steps).find_map(|step| match step {
        Step::Service(service) if service.state == ServiceState::Enabled => {
            let native = [".service", ".socket", ".timer", ".mount", ".path", ".target"];
            native.iter().any(|suffix| service.unit.ends_with(suffix)).then_some(service.unit.as_str())
        }
        _ => None,
    })
}

/// Tells of a plan whether its packages will take the slow way.
///
/// # Errors
/// When they do, and the build is offline.
pub(super) fn foresee_way(plan: &Plan, offline: bool, control: &Control) -> Result<()> {
    let wanted: Vec<StageRequest<'_>> = plan.stages.iter().map(StageRequest::of).collect();
    if !wanted.iter().all(StageRequest::is_idle)
        && let Err(reason) = packages::resolver(plan.os.family)
    {
        in_guest(plan, &wanted, &reason, offline, control)?;
    }
    Ok(())
}

/// The slow way, for guests whose packages this host cannot resolve.
fn in_guest(
    plan: &Plan,
    wanted: &[StageRequest<'_>],
    reason: &str,
    offline: bool,
    control: &Control,
) -> Result<Vec<StagePackages>> {
    let os = plan.os.label();
    // Removing and answering needs no network.
    if wanted.iter().any(|stage| !stage.install.is_empty()) {
        if offline {
            return Err(BuildError::OfflinePackages { os }.into());
        }
        control.events.note(format!(
            "packages of {os} are installed from inside the guest, over the network: {reason}"
        ));
        // Before an appliance starts, and by name.
        let repositories: Vec<_> = wanted.iter().flat_map(|stage| &stage.repositories).copied().collect();
        packages::probe(plan.os.family, &repositories, control)?;
    }
    let day = day_number();
    let of = |stage: &StageRequest<'_>| match stage.is_idle() {
        true => StagePackages::Nothing,
        false => StagePackages::InGuest { day },
    };
    Ok(wanted.iter().map(of).collect())
}

#[cfg(test)]
#[path = "materials_tests.rs"]
mod tests;
