//! The main job, readable as a story: base, plan, materials, stages, export, verification, evidence.

mod artifacts;
mod containers;
mod error;
mod in_image;
mod inspect;
mod jobs;
mod keys;
mod log;
mod materials;
mod output;
mod publication;
mod resolution;
mod size;
mod space;
mod stages;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::agent;
use crate::agent::{Release, Settling};
use crate::base;
use crate::base::{BaseRequest, BaseSpec};
use crate::cache::{Base, Cache};
use crate::container::FoundContainer;
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::{Compression, Policy};
use crate::error::Result;
use crate::event::Events;
use crate::evidence::{Manifest, ManifestInput, StageDigest};
use crate::given;
use crate::image::Image;
use crate::os;
use crate::packages::EntitledRepository;
use crate::recipe::{
    AgentCode, AgentSource, ConstraintsSource, Container, EmbedContainer, GivenArtifact, Library, Plan,
    Recipe, RecipeError, Request, Step, package_name,
};
use crate::rename::same_file;
use crate::report::Report;
use crate::size::Size;
use crate::subscription::{self, Registration, Subscription};
use crate::trust::checksum::Checksum;
use crate::verify;

pub use error::BuildError;
use inspect::{inspect, refuse_without_system};
use output::Output;
pub use publication::Publication;
use resolution::Resolution;

/// What to build, and how.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Name of a recipe, or a recipe file.
    pub recipe: String,
    /// Where recipes are looked for before the built-in ones.
    pub recipe_dirs: Vec<PathBuf>,
    /// What to start from; `None` leaves it to the recipe.
    pub base: Option<BaseSpec>,
    /// The digest the base must have.
    pub checksum: Option<Checksum>,
    /// Believe whatever the base's server sends.
    pub skip_verify: bool,
    /// Where catalogue entries are looked for before the built-in ones.
    pub catalogue_dirs: Vec<PathBuf>,
    /// The agent; `None` leaves it to the recipe.
    pub agent: Option<AgentSource>,
    /// Constraints for the agent's requirements.
    pub constraints: Option<ConstraintsSource>,
    /// Requirements that take the place of the agent's own.
    pub requirements: Option<PathBuf>,
    /// The control plane's release, which the agent is to fit.
    pub target_release: Option<Release>,
    /// Container images to put into the image.
    pub containers: Vec<EmbedContainer>,
    /// Files that the recipe leaves to a person to bring; `None`: the plan is only looked at, and they may be missing.
    pub artifacts: Option<Vec<GivenArtifact>>,
    /// Build nothing of a plan with warnings.
    pub strict: bool,
    /// The image to write; `None` names it after the recipe, in the current directory.
    pub output: Option<PathBuf>,
    /// Size of the image's disk; `None` for what is needed.
    pub size: Option<Size>,
    /// Public keys that may log in.
    pub ssh_keys: Vec<String>,
    /// Options of the recipe.
    pub settings: BTreeMap<String, String>,
    /// How the image is compressed.
    pub compression: Compression,
    /// Replace an existing image.
    pub force: bool,
    /// Open no connection.
    pub offline: bool,
    /// Run every stage again.
    pub no_cache: bool,
    /// Where the cache is; `None` for the user's own.
    pub cache_dir: Option<PathBuf>,
    /// Whose subscription opens Red Hat's repositories.
    pub subscription: Option<Subscription>,
}

impl BuildRequest {
    /// Asks for what a recipe makes of a base by itself.
    pub fn new(recipe: String, base: BaseSpec) -> Self {
        Self {
            recipe,
            recipe_dirs: Vec::new(),
            base: Some(base),
            checksum: None,
            skip_verify: false,
            catalogue_dirs: Vec::new(),
            agent: None,
            constraints: None,
            target_release: None,
            containers: Vec::new(),
            requirements: None,
            artifacts: Some(Vec::new()),
            strict: false,
            output: None,
            size: None,
            ssh_keys: Vec::new(),
            settings: BTreeMap::new(),
            compression: Compression::Zstd,
            force: false,
            offline: false,
            no_cache: false,
            cache_dir: None,
            subscription: None,
        }
    }
}

/// A finished image.
#[derive(Debug, Clone, Serialize)]
pub struct Built {
    /// The image.
    pub image: PathBuf,
    /// Its manifest.
    pub manifest: PathBuf,
    /// SHA-256 of the image.
    pub sha256: Digest,
    /// Bytes of the file.
    pub file_size: u64,
    /// Bytes of its disk.
    pub virtual_size: u64,
    /// GiB of disk that an instance needs at least.
    pub min_disk: u64,
    /// MiB of memory that an instance needs at least; 0 if the recipe does not say.
    pub min_ram: u64,
    /// The operating system in it.
    pub os: String,
    /// The datastore it is for.
    pub datastore: Option<String>,
    /// The agent's version, if it holds one.
    pub agent: Option<String>,
    /// Whether the licences of what a person brought let it be passed on.
    pub redistributable: bool,
    /// Number of packages in it.
    pub packages: usize,
    /// Number of checks it passed.
    pub checks: usize,
    /// Seconds the build took.
    pub seconds: f64,
}

/// Makes the plan for a build without building, as `--dry-run` shows it.
///
/// # Errors
/// As [`build`], up to the plan.
pub fn plan(request: &BuildRequest, control: &Control) -> Result<Plan> {
    let cache = Cache::open(request.cache_dir.clone())?;
    let recipe = Library::new(request.recipe_dirs.clone()).load(&request.recipe)?;
    check_files(request, &recipe)?;
    let base = base(request, &recipe, &cache, control)?;
    let mut image = open(&base, &cache, control)?;
    let (os, _) = inspect(&mut image)?;
    image.close()?;
    let _shelves = cache.use_shelves(control)?;
    let containers = containers::find(request, &recipe, &os, &cache, control)?;
    let mut plan = recipe.plan(&plan_request(request, &os, &containers))?;
    artifacts::find(&mut plan, request, &recipe, &cache, control)?;
    settle(&mut plan, request, &cache, control)?;
    materials::foresee_way(&plan, request.offline, control)?;
    in_image::name_mirrors(&mut plan, &control.mirrors);
    Ok(plan)
}

/// Builds an image: everything from a recipe's name to a checked file with its evidence.
///
/// # Errors
/// Any room's error. No image has been made or replaced then, nor its evidence, and what is in the cache is good.
pub fn build(request: &BuildRequest, control: &Control) -> Result<Built> {
    let started = Instant::now();
    // What can be wrong with the request is found before anything slow happens.
    let recipe = Library::new(request.recipe_dirs.clone()).load(&request.recipe)?;
    recipe.check_settings(&request.settings)?;
    check_files(request, &recipe)?;
    let output = Output::prepare(request.output.clone(), recipe.name(), request.force, control)?;
    if let Some(BaseSpec::File(base)) = &request.base
        && same_file(base, &output.image())
    {
        return Err(BuildError::IsBase(base.clone()).into());
    }
    let cache = Cache::open(request.cache_dir.clone())?;
    let _claim = output.claim(&cache)?;
    if !request.offline {
        subscription::clean_up(&cache, control)?;
    }
    let base = base(request, &recipe, &cache, control)?;
    let mut image = open(&base, &cache, control)?;
    let (os, disk) = inspect(&mut image)?;
    let _shelves = cache.use_shelves(control)?;
    let containers = containers::find(request, &recipe, &os, &cache, control)?;
    let mut plan = recipe.plan(&plan_request(request, &os, &containers))?;
    artifacts::find(&mut plan, request, &recipe, &cache, control)?;
    settle(&mut plan, request, &cache, control)?;
    for note in &plan.notes {
        control.events.note(note.clone());
    }
    warn(&plan.warnings, request.strict, &control.events)?;
    // What cannot become a disk with room for the recipe itself will not have room for its packages either.
    size::decide(request.size, &disk, plan.needs)?;

    let no_boot_loader = no_boot_loader(&plan, &mut image)?;
    warn(no_boot_loader.as_slice(), request.strict, &control.events)?;

    keys::fetch(&mut plan, &cache, request.offline, control)?;
    let mut registration = register(request, &plan, &mut image, &cache, control)?;
    let entitled = entitled(request, &plan, registration.as_ref(), &cache);
    let gathered = control.events.stage("resolve", "packages and agent, on the host", || {
        materials::gather(&plan, image, &cache, &entitled, request.offline, control)
    })?;
    // Only now: what is resolved depends on what the sources are, and not on what the image calls them.
    in_image::name_mirrors(&mut plan, &control.mirrors);
    let gathered = gathered.with(containers, &containers::access(request, &os, &cache), control)?;
    if !gathered.is_in_guest()
        && let Some(registration) = registration.take()
    {
        // Whatever the guest gets is here.
        registration.leave();
    }
    let target = size::decide(request.size, &disk, gathered.installed().max(plan.needs))?;
    let materials = gathered.on(&base, &target, registration.as_ref());
    let resolution = &materials.resolution;
    // What its source said already is not said again of its version.
    if let Some(release) = request.target_release.filter(|_| plan.warnings.is_empty()) {
        let misfit = match (resolution.agent(), packaged_agent(&plan, resolution)) {
            (Some(agent), _) => agent.misfit(release),
            (None, Some((name, version))) => release.misfit_of_package(&name, &version),
            (None, None) => None,
        };
        warn(misfit.as_slice(), request.strict, &control.events)?;
    }
    let sealed = stages::run(&plan, &base, &materials, &target, request.no_cache, &cache, control)?;
    if let Some(registration) = registration {
        registration.leave();
    }

    let unverified = output.begin(control)?;
    let exported = control.events.stage("export", format!("writing {}", output.image().display()), || {
        unverified.export(&sealed.disk.path(), &cache, request.compression, control)
    })?;
    let (report, packages) = control
        .events
        .stage("verify", "reading the finished image", || examine(&unverified.path(), &plan, control))?;
    control.cancel.check()?;
    if !report.passed() {
        return Err(BuildError::Checks {
            report: Box::new(report),
            log: Some(sealed.log).filter(|log| log.exists()),
        }
        .into());
    }
    for warning in &report.warnings {
        control.events.warning(warning.clone());
    }
    let manifest = Manifest::new(ManifestInput {
        plan: &plan,
        base: resolution.base.digest,
        base_size: resolution.base.virtual_size,
        origin: &base.origin,
        agent: resolution.agent(),
        agent_package: agent_package(&plan),
        stages: sealed
            .layers
            .iter()
            .map(|layer| StageDigest { stage: &layer.stage, digest: layer.digest })
            .collect(),
        packages: &packages,
        report: &report,
        export: &exported,
        compression: request.compression,
    });
    unverified.publish(&exported, &manifest, control)?;
    Ok(Built {
        manifest: output.manifest(),
        image: output.image().to_owned(),
        sha256: exported.sha256,
        file_size: exported.file_size,
        virtual_size: exported.virtual_size,
        min_disk: plan.min_disk_gib(exported.virtual_size),
        min_ram: plan.min_ram_mib(),
        os: os.pretty,
        datastore: plan.datastore.clone(),
        agent: resolution.agent().map(|agent| format!("{} {}", agent.name, agent.version)),
        redistributable: plan.is_redistributable(),
        packages: packages.len(),
        checks: report.results.len(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Registers a system like the guest, if its packages come from where only registered systems may read.
fn register(
    request: &BuildRequest,
    plan: &Plan,
    image: &mut Image,
    cache: &Cache,
    control: &Control,
) -> Result<Option<Registration>> {
    let (os, installs) = (&plan.os, materials::installs_packages(plan));
    let asked = match &request.subscription {
        Some(asked) if subscription::has_subscriptions(os) => asked,
        Some(_) => {
            control.events.note(format!("{} needs no subscription: nothing is registered", os.pretty));
            return Ok(None);
        }
        None if subscription::has_subscriptions(os) && installs && !request.offline => {
            control.events.note(format!(
                "the repositories of {} are open to registered systems only: `--rhsm-org` and a key register one for \
                 as long as it is needed",
                os.pretty
            ));
            return Ok(None);
        }
        None => return Ok(None),
    };
    if !installs || request.offline {
        return Ok(None);
    }
    let products = subscription::installed_products(&mut image.tree()?)?;
    let registration = control.events.stage("register", format!("at {}", asked.server), || {
        Registration::enter(asked, os, &products, cache, control)
    })?;
    Ok(Some(registration))
}

/// The repositories that the subscription opens: those of the registration, or offline those of an earlier one.
fn entitled(
    request: &BuildRequest,
    plan: &Plan,
    registration: Option<&Registration>,
    cache: &Cache,
) -> Vec<EntitledRepository> {
    match (registration, &request.subscription) {
        (Some(registration), _) => registration.repositories().to_vec(),
        (None, Some(asked)) if request.offline => {
            subscription::known(asked, &plan.os, cache).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Opens the base. That is done once: what is read of it until its stages run is read from there.
fn open(base: &Base, cache: &Cache, control: &Control) -> Result<Image> {
    Ok(Image::open(&base.path, &Policy::within(cache.root()), control)?)
}

/// Files that the request names must be there, which is found out before a base is fetched or made.
fn check_files(request: &BuildRequest, recipe: &Recipe) -> Result<()> {
    artifacts::check(request, recipe)?;
    if let Some(AgentSource::Code(code @ AgentCode::Path(_))) = &request.agent {
        agent::check_source(code)?;
    }
    if let Some(ConstraintsSource::File(path)) = &request.constraints {
        given::read(path).map_err(RecipeError::Constraints)?;
    }
    if let Some(path) = &request.requirements {
        given::read(path).map_err(RecipeError::Constraints)?;
    }
    Ok(())
}

/// Completes a plan with what is found now: the commit of a branch, and constraints.
fn settle(plan: &mut Plan, request: &BuildRequest, cache: &Cache, control: &Control) -> Result<()> {
    let Some(step) = plan.agent_mut() else { return Ok(()) };
    let _shelves = cache.use_shelves(control)?;
    let with = Settling { cache, offline: request.offline, target: request.target_release };
    let warnings = agent::settle(step, &with, control)?;
    plan.warnings.extend(warnings);
    Ok(())
}

/// Tells what is likely to go wrong, or refuses to go on with it.
fn warn(warnings: &[String], strict: bool, events: &Events) -> Result<(), BuildError> {
    if strict && !warnings.is_empty() {
        return Err(BuildError::Strict(warnings.to_vec()));
    }
    warnings.iter().for_each(|warning| events.warning(warning.clone()));
    Ok(())
}

/// Name and version of the agent that the package manager installs, as far as that is known before it has.
fn packaged_agent(plan: &Plan, resolution: &Resolution) -> Option<(String, String)> {
    let name = agent_package(plan)?;
    let found = resolution.packages().find(|package| package.name == name)?;
    Some((found.name.clone(), found.version.clone()))
}

/// The package that is the agent, if the plan installs it so.
fn agent_package(plan: &Plan) -> Option<&'static str> {
    let names = plan.stages.iter().flat_map(|stage| &stage.steps).filter_map(|step| match step {
        Step::Packages(step) => Some(&step.install),
        _ => None,
    });
    let names: Vec<&str> = names.flatten().map(|text| package_name(text)).collect();
    agent::PACKAGES.into_iter().find(|known| names.contains(known))
}

/// The build would only find out at its end. A recipe may well install a boot loader.
fn no_boot_loader(plan: &Plan, base: &mut Image) -> Result<Option<String>> {
    let found = verify::no_boot_loader(base.layout()?).filter(|_| plan.boots);
    Ok(found.map(|found| {
        format!("firmware finds no boot loader on the base, and the build fails unless the recipe brings one ({found})")
    }))
}

/// What the build starts from, in the cache.
fn base(request: &BuildRequest, recipe: &Recipe, cache: &Cache, control: &Control) -> Result<Base> {
    let wanted = base_request(request, recipe)?;
    let resolve = || base::resolve(&wanted, cache, control);
    match wanted.spec {
        // These take a while at most once, and tell of it themselves.
        BaseSpec::File(ref path) => {
            if path.exists() {
                refuse_without_system(path, control)?;
            }
            resolve()
        }
        BaseSpec::Bootstrap(_) => resolve(),
        BaseSpec::Url(_) | BaseSpec::Catalogue(..) => {
            control.events.stage("base", wanted.spec.to_string(), resolve)
        }
    }
}

fn base_request(request: &BuildRequest, recipe: &Recipe) -> Result<BaseRequest> {
    let spec = match (&request.base, recipe.base()) {
        (Some(spec), _) => spec.clone(),
        (None, Some(recommended)) => recommended.parse()?,
        (None, None) => return Err(BuildError::NoBase { recipe: recipe.name().to_owned() }.into()),
    };
    Ok(BaseRequest {
        checksum: request.checksum,
        offline: request.offline,
        skip_verify: request.skip_verify,
        catalogue_dirs: request.catalogue_dirs.clone(),
        ..BaseRequest::new(spec)
    })
}

fn plan_request<'a>(
    request: &BuildRequest,
    os: &'a crate::distro::OsRelease,
    containers: &[FoundContainer],
) -> Request<'a> {
    let containers: Vec<Container> = containers.iter().map(|found| found.container.clone()).collect();
    Request {
        os,
        settings: request.settings.clone(),
        agent: request.agent.clone(),
        constraints: request.constraints.clone(),
        containers,
        requirements: request.requirements.clone(),
        ssh_keys: request.ssh_keys.clone(),
        ssh_user: None,
    }
}

/// Opens the finished image read-only and looks for everything it must and must not hold.
fn examine(image: &std::path::Path, plan: &Plan, control: &Control) -> Result<(Report, Vec<os::Package>)> {
    let mut opened = Image::open(image, &Policy::default(), control)?;
    let layout = opened.layout()?.clone();
    opened.read(|tree| {
        let report = verify::examine(tree, image, &layout, Some(plan), &[], None);
        // An image whose packages cannot be listed has no manifest worth the name.
        Ok((report, os::packages(tree)?))
    })
}
