//! Packages for a Debian-family guest, resolved and fetched by the host's apt.
//!
//! The appliance is slow and the host is not: so the host's apt, in a private root that has the base image's
//! sources, keys and package database, works out what a stage needs, verifies and fetches it into the cache.
//! The guest only unpacks and configures. The same cache serves `--offline` builds.
//!
//! The image's `apt.conf.d` is not loaded, because it may hold commands. So settings in there (a default
//! release, say) do not count; sources, preferences and keys do.
//!
//! Each stage is resolved against the package database as the stage before leaves it, which is what happens
//! in the guest. What a stage installs therefore never depends on a later one, and layers can be reused.

mod answer;
mod archive;
mod contradiction;
mod debconf;
mod error;
mod host;
mod install;
mod lists;
mod relation;
mod repository;
mod root;
mod solve;
mod sources;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub use error::{AptError, Contradiction, Fault, UnknownPackage};
pub use install::{install_script, removal_script};
pub use repository::{key_path, pin_entry, pin_path, sources_entry, sources_path};

use crate::cancel::Cancel;
use crate::disk::Tree;
use crate::distro::Arch;
use crate::event::Events;
use crate::recipe::{RepositoryStep, Stage, Step};
use crate::toml_text::Place;

/// A package file in the cache, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// Package name, with the architecture (`libc6:i386`) when that is not the guest's own.
    pub name: String,
    /// Version.
    pub version: String,
    /// Debian's name of the architecture, or `all`.
    pub arch: String,
    /// The file in the cache.
    pub path: PathBuf,
    /// SHA-256 of the file, lower case.
    pub sha256: String,
    /// Length of the file in bytes.
    pub size: u64,
    /// Bytes it takes when installed, as its maker says.
    pub installed_size: u64,
    /// The recipe names it; otherwise it is a dependency.
    pub requested: bool,
    /// No version of it was installed before.
    pub new: bool,
}

impl PackageFile {
    /// The name that apt gives to the file.
    pub fn file_name(&self) -> String {
        answer::file_name(&self.name, &self.version, &self.arch)
    }
}

/// What a stage installs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageSet {
    /// The files, in the order in which they are unpacked.
    pub files: Vec<PackageFile>,
    /// What dpkg does, in order.
    pub order: Vec<Action>,
    /// Packages that the recipe names and that are installed already: from now on they are wanted.
    pub present: Vec<String>,
    /// Packages that are removed with their configuration after that, in order: those that the recipe names, what
    /// depends on them, and what came as a dependency and is not needed any more.
    pub removed: Vec<String>,
}

/// Something dpkg does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Unpacks the file with this index in [`PackageSet::files`].
    Unpack(usize),
    /// Configures a package.
    Configure(String),
    /// Removes a package that stands in the way.
    Remove(String),
}

impl PackageSet {
    /// Canonical lines for the digest of a stage: what is installed, whatever order apt chose.
    pub fn digest_text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for file in &self.files {
            let how = if file.requested { "requested" } else { "dependency" };
            lines.push(format!("{} {} {} sha256:{} {how}", file.name, file.version, file.arch, file.sha256));
        }
        lines.extend(self.present.iter().map(|name| format!("{name} present")));
        lines.extend(self.order.iter().filter_map(|action| match action {
            Action::Remove(name) => Some(format!("{name} removed")),
            _ => None,
        }));
        lines.extend(self.removed.iter().map(|name| format!("{name} purged")));
        lines.sort_unstable();
        lines.iter().fold(String::new(), |mut text, line| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
            text
        })
    }

    /// Bytes that everything takes when installed.
    pub fn installed_size(&self) -> u64 {
        self.files.iter().map(|file| file.installed_size).sum()
    }
}

/// What one stage of a plan wants of apt.
#[derive(Debug, Clone, Default)]
pub struct StageRequest<'a> {
    /// The stage's name, for messages.
    pub name: &'a str,
    /// Repositories it adds; they stay for the stages after it.
    pub repositories: Vec<&'a RepositoryStep>,
    /// Packages to install, `name` or `name=version`.
    pub install: Vec<&'a str>,
    /// Those of them whose recommended packages are to be installed, too.
    pub recommends: Vec<&'a str>,
    /// Packages to remove after that.
    pub remove: Vec<&'a str>,
    /// Answers as `debconf-set-selections` reads them.
    pub debconf: Vec<&'a str>,
    /// Where the recipe speaks of a package, by its name.
    pub places: BTreeMap<&'a str, &'a Place>,
}

impl<'a> StageRequest<'a> {
    /// Collects what the steps of a stage want.
    pub fn of(stage: &'a Stage) -> Self {
        let mut request = Self { name: stage.name.name(), ..Self::default() };
        for step in &stage.steps {
            match step {
                Step::Repository(repository) => request.repositories.push(repository),
                Step::Packages(packages) => {
                    request.install.extend(packages.install.iter().map(String::as_str));
                    request.recommends.extend(packages.recommends.iter().map(String::as_str));
                    request.remove.extend(packages.remove.iter().map(String::as_str));
                    request.debconf.extend(packages.debconf.iter().map(String::as_str));
                    request.places.extend(packages.places.iter().map(|(name, place)| (name.as_str(), place)));
                }
                _ => {}
            }
        }
        request
    }

    /// Whether there is nothing to resolve for it.
    pub fn is_idle(&self) -> bool {
        self.install.is_empty() && self.remove.is_empty() && self.debconf.is_empty()
    }

    /// Where the recipe speaks of a package: a line of a file, or else the stage.
    fn place(&self, package: &str) -> String {
        self.places.get(package).map_or_else(|| format!("stage {}", self.name), ToString::to_string)
    }
}

/// A package that must not go, whatever the recipe installs and removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Its name.
    pub name: &'static str,
    /// Why, as the end of a sentence that speaks of it: `the agent runs with`.
    pub why: &'static str,
}

/// What apt answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// One set for each stage.
    pub sets: Vec<PackageSet>,
    /// Names and versions of everything that is installed in the end, sorted.
    pub installed: Vec<(String, String)>,
}

/// What is to be resolved.
pub struct AptRequest<'a> {
    /// The files of the base image.
    pub tree: &'a mut dyn Tree,
    /// The guest's architecture; any, no code of the guest runs.
    pub arch: Arch,
    /// Stages of the plan, in order.
    pub stages: &'a [StageRequest<'a>],
    /// What must not go.
    pub needed: &'a [Needed],
    /// The image starts with a kernel of its own. If not, somebody gives it one.
    pub boots: bool,
    /// Where indexes and package files are kept.
    pub cache_dir: &'a Path,
    /// Use only what is in the cache.
    pub offline: bool,
}

impl std::fmt::Debug for AptRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AptRequest")
            .field("arch", &self.arch)
            .field("stages", &self.stages)
            .field("needed", &self.needed)
            .field("boots", &self.boots)
            .field("cache_dir", &self.cache_dir)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// Checks that this host has an apt that can do this. If not, the guest's own apt has to.
///
/// # Errors
/// [`AptError::Unusable`], saying why not.
pub fn usable() -> Result<(), AptError> {
    host::HostApt::probe().map(|_| ())
}

/// Resolves every stage, and makes sure that all files it needs are in the cache and verified.
///
/// Safe to run in several processes with one cache.
///
/// # Errors
/// [`AptError::Contradiction`] if the answer is not what the recipe asks, for example because a package that it
/// installs goes with one that it removes. See [`AptError`] for the rest.
pub fn resolve(request: AptRequest<'_>, events: &Events, cancel: &Cancel) -> Result<Resolution, AptError> {
    let AptRequest { tree, arch, stages, needed, boots, cache_dir, offline } = request;
    for name in stages.iter().flat_map(|stage| stage.install.iter().chain(&stage.remove)) {
        solve::check_name(name)?;
    }
    let host = host::HostApt::probe()?;
    // apt changes directories, so paths must not depend on ours.
    let cache = std::path::absolute(cache_dir).map_err(AptError::io("find", cache_dir))?;
    let (directory, _in_use) = root::new_directory(&cache)?;
    let root = root::Root::stage(&host, directory, tree, arch, stages, events)?;
    let temp = root.path().join("tmp");
    let apt = |stage| host::Apt { config: root.config(stage), temp: &temp, events, cancel };

    let mut status = status::Status::parse(&root.status, &root.extended_states, arch.debian());
    let mut ledger = contradiction::Ledger::new(needed, boots);
    let mut owners = Vec::new();
    let mut indexed = false;
    let mut sets = Vec::with_capacity(stages.len());
    for (index, stage) in stages.iter().enumerate() {
        cancel.check()?;
        let mut set = PackageSet::default();
        let apt = apt(Some(index));
        debconf::judge(stage, &status, &root.debconf, &mut owners)?;
        if !stage.install.is_empty() {
            if !root.has_sources(index) {
                return Err(AptError::NoSources);
            }
            if !indexed {
                // Once, for the sources of all stages.
                let apt = host::Apt { config: root.config(None), ..apt };
                lists::provide(&apt, &cache, root.path(), root.digest, offline)?;
                indexed = true;
            }
            solve::write(root.path(), &status)?;
            let before = status.clone();
            let solved = solve::install(&apt, &cache, &mut status, stage)?;
            ledger.installed(stage, &solved.chosen, &before, &status, events)?;
            archive::provide(&apt, &cache, root.path(), &solved.set.files, &solved.names, offline)?;
            set = solved.set;
        }
        let before = status.clone();
        set.removed = solve::remove(&apt, root.path(), &mut status, stage)?;
        ledger.removed(stage, &before, &status, events)?;
        sets.push(set);
    }
    ledger.finish(&status)?;
    debconf::warn(&owners, &status, events);
    Ok(Resolution { sets, installed: status.versions() })
}
