//! Runs the stages whose layers are missing, all in one appliance, and keeps a layer of each.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cache::files::remove_tree;
use crate::cache::{Base, Cache, CacheError, FileLock, Layer, LayerMeta, LockName, WorkDir};
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::{self, DiskError, Policy, VirtualDisk};
use crate::engine::{self, EngineError, Labels, Payload, PayloadPath, Scaffold};
use crate::error::Result;
use crate::event::Event;
use crate::guest::{Drive, DriveFormat, Session, SessionOptions, SessionTree};
use crate::packages::{StagePackages, TlsClient};
use crate::recipe::Plan;

use super::jobs::{Job, Jobs, LayerId, Work};
use super::materials::BuildMaterials;
use super::size::Target;
use super::space::{self, SpaceWatch};
use super::{BuildError, artifacts, log};

/// The working overlay, in its directory.
const DISK: &str = "disk.qcow2";

/// Where the disk of a finished build is. It stays there while this value lives.
#[derive(Debug)]
pub(crate) enum SealedDisk {
    /// In the cache.
    Layer(Layer),
    /// In a working directory: the build keeps nothing.
    Work(WorkDir),
}

impl SealedDisk {
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Layer(layer) => layer.path.clone(),
            Self::Work(work) => work.path().join(DISK),
        }
    }
}

/// The last layer of a build.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) disk: SealedDisk,
    /// All layers, in order.
    pub(crate) layers: Vec<LayerId>,
    /// The full log of the appliance.
    pub(crate) log: PathBuf,
}

/// Brings the plan to its end, or takes its end from the cache.
pub(crate) fn run(
    plan: &Plan,
    base: &Base,
    materials: &BuildMaterials,
    target: &Target,
    no_cache: bool,
    cache: &Cache,
    control: &Control,
) -> Result<Sealed> {
    let jobs = Jobs::of(plan, &materials.resolution);
    let log = log::path(cache, &plan.recipe)?;
    // The newest layer there is; everything after it is missing.
    let Claim { found, turns } =
        if no_cache { Claim::default() } else { claim(&jobs, &plan.recipe, cache, control)? };
    let first = found.as_ref().map_or(0, |(index, _)| index + 1);
    for Job { layer, .. } in jobs.iter().take(first) {
        // Only the newest is read, but a change in a late stage needs the others again.
        let is_there = cache.touch_layer(layer.digest);
        let state = if is_there { "is in the cache" } else { "is not needed: a later one is in the cache" };
        let detail = format!("layer {} {state}", layer.digest.short());
        control.events.emit(Event::StageStarted { stage: layer.stage.clone(), detail });
        let elapsed = std::time::Duration::ZERO;
        control.events.emit(Event::StageFinished { stage: layer.stage.clone(), elapsed, cached: true });
    }
    if let Some((index, layer)) = &found
        && jobs.is_last(*index)
    {
        return Ok(Sealed { disk: SealedDisk::Layer(layer.clone()), layers: jobs.layers(), log });
    }
    let start = match &found {
        Some((_, layer)) => {
            let sha256 = layer.sha256;
            Start { path: &layer.path, format: disk::Format::Qcow2, sha256, growth: None }
        }
        None => {
            let growth = target.growth.as_ref();
            Start { path: &base.path, format: base.format, sha256: base.digest, growth }
        }
    };
    // Unpacked once on the disk, and once more in the copy of each layer where blocks cannot be shared.
    // Container images are there as archives as well, and on the payload disk.
    let archives: u64 = materials.containers.iter().map(|found| found.container.size).sum();
    let brought: u64 = plan.artifacts().filter_map(|step| step.found.as_ref()).map(|found| found.size).sum();
    space::require(cache.root(), 2 * materials.installed + 2 * archives + 2 * brought)?;
    let watch = SpaceWatch::start(cache.root(), control);
    let control = watch.control();
    let build = Build { plan, base, materials, jobs: &jobs, first, keep: !no_cache, cache, control };
    let result = build.run(&start, target, &log, turns);
    match (result, watch.verdict()) {
        (Ok(disk), _) => Ok(Sealed { disk, layers: jobs.layers(), log }),
        (Err(_), Some(full)) => Err(full.into()),
        (Err(Stop::Engine(source)), None) => Err(BuildError::Logged { source, log }.into()),
        (Err(Stop::Other(failure)), None) => Err(failure),
    }
}

/// What the overlay of a build is made upon.
struct Start<'a> {
    path: &'a Path,
    format: disk::Format,
    /// Of the file at `path`.
    sha256: Digest,
    /// What is left to do until the root fills the disk. In a layer it does.
    growth: Option<&'a disk::Growth>,
}

enum Stop {
    Engine(EngineError),
    Other(crate::error::Failure),
}

impl<E: Into<EngineError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

struct Build<'a> {
    plan: &'a Plan,
    base: &'a Base,
    materials: &'a BuildMaterials,
    jobs: &'a Jobs<'a>,
    /// The first job that is not done yet.
    first: usize,
    /// Whether layers are kept for later builds.
    keep: bool,
    cache: &'a Cache,
    control: &'a Control,
}

impl Build<'_> {
    fn run(
        &self,
        start: &Start<'_>,
        target: &Target,
        log: &Path,
        mut turns: VecDeque<FileLock>,
    ) -> Result<SealedDisk, Stop> {
        let other = |failure: crate::error::Failure| Stop::Other(failure);
        let work = self.cache.work().map_err(|error| other(error.into()))?;
        let overlay = work.path().join(DISK);
        let backing = relative(start.path, self.cache);
        disk::create_overlay(&overlay, &backing, start.format, target.size)
            .map_err(|error| other(error.into()))?;
        let mut drives = vec![Drive::writable(&overlay, DriveFormat::Qcow2)];
        let archives = work.path().join("brought");
        let payload = self.payload(&archives).map_err(other)?;
        let has_payload = !payload.is_empty();
        if has_payload {
            let image = work.path().join("payload.img");
            payload.write(&work.path().join("staging"), &image, self.control)?;
            // They are on that disk now, and large.
            remove_tree(&archives)
                .map_err(|source| other(CacheError::io("remove", &archives)(source).into()))?;
            drives.push(Drive::read_only(image, DriveFormat::Raw));
        }
        let (others, last) = self.jobs.missing(self.first);
        let network = others.iter().any(|job| job.work.needs_network());
        let options =
            SessionOptions { drives, network, log: Some(log.to_owned()), ..SessionOptions::default() };

        let mut session =
            self.control.events.stage("appliance", "starting, with the disk attached", || {
                let mut session = Session::launch(&options, self.control)?;
                if let Some(growth) = start.growth {
                    session.grow_root(growth)?;
                }
                session.mount_root(false)?;
                Ok::<_, Stop>(session)
            })?;
        for job in others {
            let started = self.started(job);
            self.carry_out(job, &mut session, has_payload)?;
            if self.keep {
                session.unmount()?;
                self.store(&overlay, start, job)?;
                // Whoever waits for this very layer goes on with it.
                drop(turns.pop_front());
                session.mount_root(false)?;
            }
            self.finished(job, started);
        }
        let started = self.started(last);
        self.carry_out(last, &mut session, has_payload)?;
        let mut session = self.label(session, &overlay, work.path())?;
        session.trim()?;
        // Errors in writing back are told only here.
        session.shutdown()?;
        let layer = if self.keep { self.store(&overlay, start, last)? } else { None };
        self.finished(last, started);
        Ok(layer.map_or_else(|| SealedDisk::Work(work), SealedDisk::Layer))
    }

    fn carry_out(&self, job: &Job<'_>, session: &mut Session, has_payload: bool) -> Result<(), Stop> {
        let (stage, resolved) = match job.work {
            Work::Stage(stage, resolved) => (stage, resolved),
            Work::Seal => return Ok(engine::seal(session, &self.plan.identities)?),
        };
        let mut scaffold = Scaffold::enter(session)?;
        if matches!(resolved.packages, StagePackages::InGuest { .. }) {
            scaffold.entitle(session, &self.materials.entitled)?;
        }
        if has_payload {
            session.mount_payload(1, engine::PAYLOAD_MOUNT)?;
        }
        let materials = engine::StageMaterials {
            os: &self.plan.os,
            packages: &resolved.packages,
            agent: self.materials.agent.as_ref(),
        };
        engine::run_stage(session, stage, &materials, self.control)?;
        if has_payload {
            session.umount_payload(engine::PAYLOAD_MOUNT)?;
        }
        Ok(scaffold.leave(session)?)
    }

    /// Gives the files of the sealed guest their SELinux labels. Nothing is mounted while the host reads them off the disk, in
    /// a fraction of the time that the appliance would need; only file systems that the host cannot read are left to that.
    fn label(&self, mut session: Session, overlay: &Path, directory: &Path) -> Result<Session, Stop> {
        if !engine::is_labelled(&mut session)? {
            return Ok(session);
        }
        let failed = |error: DiskError| Stop::Other(error.into());
        let events = &self.control.events;
        session.unmount()?;
        let disk = VirtualDisk::open(overlay, &Policy::within(self.cache.root())).map_err(failed)?;
        let labels = match disk.tree() {
            Ok(mut tree) => {
                let labels = Labels::compute(&mut *tree, directory, events)?;
                session.mount_root(false)?;
                labels
            }
            Err(DiskError::Unsupported(reason)) => {
                session.mount_root(false)?;
                let mut tree = SessionTree::new(session, reason);
                let labels = Labels::compute(&mut tree, directory, events)?;
                session = tree.into_session();
                labels
            }
            Err(error) => return Err(failed(error)),
        };
        labels.set(&mut session, events)?;
        Ok(session)
    }

    /// Everything the missing stages bring in bulk. What is made for it is put into `directory`, which
    /// is not there yet.
    fn payload(&self, directory: &Path) -> Result<Payload> {
        let mut payload = Payload::default();
        let (others, _) = self.jobs.missing(self.first);
        if others.iter().any(|job| job.work.brings_containers()) {
            fs_err::create_dir(directory).map_err(CacheError::io("create", directory))?;
            for (index, found) in self.materials.containers.iter().enumerate() {
                let archive = directory.join(format!("{index}.tar"));
                found.write_archive(self.cache, &archive, self.control)?;
                payload.add(PayloadPath::container(&found.container.file()), archive);
            }
        }
        for step in others.iter().flat_map(|job| job.work.artifacts()) {
            fs_err::create_dir_all(directory).map_err(CacheError::io("create", directory))?;
            let file = artifacts::stage(step, directory, self.cache, self.control)?;
            payload.add(PayloadPath::artifact(&step.name), file);
        }
        for resolved in self.materials.resolution.stages.iter().skip(self.first) {
            if let StagePackages::Resolved(set) = &resolved.packages {
                let ready = directory.join(resolved.stage.name());
                fs_err::create_dir_all(&ready).map_err(CacheError::io("create", &ready))?;
                let (place, resolver) = (PayloadPath::packages(set, resolved.stage), set.resolver());
                let files = resolver.files(set, self.cache);
                for file in resolver.ready(files, &ready, self.control)? {
                    payload.add(place.file(&file.name), file.path);
                }
            }
            if resolved.agent.is_some()
                && let Some(tree) = &self.materials.agent
            {
                payload.add(PayloadPath::agent(), &tree.path);
            }
        }
        let entitled = self
            .materials
            .entitled
            .iter()
            .flat_map(|repository| repository.client.iter().flat_map(TlsClient::files));
        for file in entitled.collect::<std::collections::BTreeSet<_>>() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            payload.add(PayloadPath::subscription().file(&name), file);
        }
        Ok(payload)
    }

    /// Keeps a copy of the overlay; `None` if another tib is in its way.
    fn store(&self, overlay: &Path, start: &Start<'_>, job: &Job<'_>) -> Result<Option<Layer>, Stop> {
        let layer = &job.layer;
        let meta = LayerMeta {
            stage: layer.stage.clone(),
            recipe: self.plan.recipe.clone(),
            before: job.before,
            base: self.base.digest,
            parent: start.sha256,
            tib: env!("CARGO_PKG_VERSION").to_owned(),
            created: crate::clock::now(),
        };
        let kept = self
            .cache
            .store_layer(layer.digest, overlay, &meta, &self.control.cancel)
            .map_err(|error| Stop::Other(error.into()))?;
        if kept.is_none() {
            let digest = layer.digest.short();
            self.control.events.note(format!(
                "layer {digest} is not kept: another tib still reads the one that is in its place"
            ));
        }
        Ok(kept)
    }

    fn started(&self, job: &Job<'_>) -> Instant {
        self.control
            .events
            .emit(Event::StageStarted { stage: job.layer.stage.clone(), detail: job.work.detail() });
        Instant::now()
    }

    fn finished(&self, job: &Job<'_>, started: Instant) {
        let stage = job.layer.stage.clone();
        self.control.events.emit(Event::StageFinished { stage, elapsed: started.elapsed(), cached: false });
    }
}

/// What a build takes from the cache, and what it has to make.
#[derive(Debug, Default)]
struct Claim {
    /// The newest layer, and its place in the chain.
    found: Option<(usize, Layer)>,
    /// For each missing layer, in order: nobody else makes it while its lock is held.
    turns: VecDeque<FileLock>,
}

/// Finds the newest layer, and waits until nobody else makes one of those that are missing. Locks are taken along the
/// chain, and a layer has one chain only, so two builds cannot wait for each other.
fn claim(jobs: &Jobs<'_>, recipe: &str, cache: &Cache, control: &Control) -> Result<Claim> {
    let layers = jobs.layers();
    let lock = |layer: &LayerId| {
        let path = cache.lock_path(&LockName::MakingLayer(layer.digest));
        FileLock::exclusive(&path, &format!("stage {} of {recipe}", layer.stage), control)
    };
    let mut told = control.clone();
    loop {
        let found = newest(&layers, cache, &told)?;
        // What is wrong with a layer is told once, however often it is looked at.
        told = control.quiet();
        let first = found.as_ref().map_or(0, |(index, _)| index + 1);
        let Some(missing) = layers.get(first) else { return Ok(Claim { found, ..Claim::default() }) };
        let mut turns = VecDeque::from([lock(missing)?]);
        // It may have been made while we waited.
        if cache.layer(missing.digest, &control.quiet())?.is_some() {
            continue;
        }
        for layer in &layers[first + 1..] {
            turns.push_back(lock(layer)?);
        }
        return Ok(Claim { found, turns });
    }
}

/// The newest layer that the cache has, and its place in the chain.
fn newest(layers: &[LayerId], cache: &Cache, control: &Control) -> Result<Option<(usize, Layer)>> {
    for (index, layer) in layers.iter().enumerate().rev() {
        if let Some(layer) = cache.layer(layer.digest, control)? {
            return Ok(Some((index, layer)));
        }
    }
    Ok(None)
}

/// How overlays name what they are backed by: all disks lie two levels below the cache's root.
fn relative(path: &Path, cache: &Cache) -> String {
    let below = path.strip_prefix(cache.root()).unwrap_or(path);
    format!("../../{}", below.display())
}
