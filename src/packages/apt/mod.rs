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
mod configuration;
mod contradiction;
mod debconf;
mod error;
mod guest;
mod host;
mod install;
mod lists;
mod pins;
mod plain;
mod relation;
mod repository;
mod root;
mod solve;
mod sources;
mod status;
#[cfg(test)]
mod tests;

use std::path::Path;

use error::AptError;
#[cfg(test)]
use error::Fault;

use super::{
    DpkgAction, GuestFile, GuestScript, HostFile, Needed, PackageManager, PackageSet, ResolveRequest,
    Resolved, Resolver, Solution, StageRequest, Transaction,
};
use crate::cache::{Bucket, Cache};
use crate::control::Control;
use crate::recipe::{PackagesStep, RepositoryStep};
use crate::trust::RepositoryKey;

/// The packages of Debian's family.
#[derive(Debug, Clone, Copy)]
pub(super) struct DebianPackages;

impl PackageManager for DebianPackages {
    fn repository_files(&self, repository: &RepositoryStep, key: &RepositoryKey) -> Vec<GuestFile> {
        repository::files(repository, key)
    }

    fn script(&self, packages: &PackagesStep) -> GuestScript {
        GuestScript { purpose: INSTALLING, text: guest::script(packages) }
    }

    fn file_script(&self, file: &str) -> String {
        install::file_script(file)
    }

    fn resolver(&self) -> Option<&'static dyn Resolver> {
        Some(&Self)
    }
}

impl Resolver for DebianPackages {
    fn name(&self) -> &'static str {
        "apt"
    }

    fn usable(&self) -> crate::error::Result<()> {
        Ok(usable()?)
    }

    fn resolve(&self, request: ResolveRequest<'_>, control: &Control) -> crate::error::Result<Solution> {
        Ok(resolve(request, control)?)
    }

    fn files(&self, set: &PackageSet, cache: &Cache) -> Vec<HostFile> {
        let file = |file: &Resolved| HostFile {
            name: archive::file_name(file),
            path: archive::path(&cache.directory(Bucket::Apt), file.digest),
        };
        set.files.iter().map(file).collect()
    }

    fn ready(
        &self,
        files: Vec<HostFile>,
        directory: &Path,
        control: &Control,
    ) -> crate::error::Result<Vec<HostFile>> {
        Ok(plain::write_all(files, directory, &control.cancel)?)
    }

    fn scripts(&self, set: &PackageSet, packages: &PackagesStep, directory: &str) -> Vec<GuestScript> {
        let mut scripts = Vec::new();
        if !packages.install.is_empty() || !packages.debconf.is_empty() {
            let text = install::install_script(set, directory, &packages.debconf);
            scripts.push(GuestScript { purpose: INSTALLING, text });
        }
        if !set.removed.is_empty() {
            let text = install::removal_script(set);
            scripts.push(GuestScript { purpose: "removing packages", text });
        }
        scripts
    }
}

const INSTALLING: &str = "installing packages";

/// Checks that this host has an apt that can do this. If not, the guest's own apt has to.
///
/// # Errors
/// [`AptError::Unusable`], saying why not.
fn usable() -> Result<(), AptError> {
    host::HostApt::probe().map(|_| ())
}

/// As [`Resolver::resolve`].
///
/// # Errors
/// [`AptError::Contradiction`] if the answer is not what the recipe asks, for example because a package that it
/// installs goes with one that it removes. See [`AptError`] for the rest.
fn resolve(request: ResolveRequest<'_>, control: &Control) -> Result<Solution, AptError> {
    // Debian's family knows no subscriptions of this kind.
    let ResolveRequest { tree, arch, stages, needed, boots, entitled: _, cache, offline } = request;
    for name in stages.iter().flat_map(|stage| stage.install.iter().chain(&stage.remove)) {
        solve::check_name(name)?;
    }
    let host = host::HostApt::probe()?;
    let root = root::Root::stage(&host, cache.work()?, tree, arch, stages, control)?;
    let temp = root.path().join("tmp");
    let cache = cache.directory(Bucket::Apt);
    let apt =
        |stage| host::Apt { config: root.config(stage), temp: &temp, replaced: &root.replaced, control };

    let mut status = status::Status::parse(&root.status, &root.extended_states, arch.debian());
    let mut ledger = contradiction::Ledger::new(needed, boots);
    let mut owners = Vec::new();
    let mut indexed = false;
    let mut sets = Vec::with_capacity(stages.len());
    for (index, stage) in stages.iter().enumerate() {
        control.cancel.check()?;
        let mut set = solve::nothing();
        let apt = apt(Some(index));
        debconf::judge(stage, &status, &root.debconf, &mut owners)?;
        if !stage.install.is_empty() {
            if !root.has_sources(index) {
                return Err(AptError::NoSources);
            }
            if !indexed {
                // Once, for the sources of all stages.
                let apt = host::Apt { config: root.config(None), ..apt };
                let provided = lists::provide(&apt, &cache, root.path(), root.digest, offline);
                provided.map_err(|error| error.of_sources(&root.places, control))?;
                indexed = true;
            }
            solve::write(root.path(), &status)?;
            let before = status.clone();
            let solved = solve::install(&apt, &mut status, stage)?;
            ledger.installed(stage, &solved.chosen, &before, &status, &control.events)?;
            archive::provide(&apt, &cache, root.path(), &solved.set.files, &solved.names, offline)?;
            set = solved.set;
        }
        let before = status.clone();
        set.removed = solve::remove(&apt, root.path(), &mut status, stage)?;
        ledger.removed(stage, &before, &status, &control.events)?;
        sets.push(set);
    }
    ledger.finish(&status)?;
    debconf::warn(&owners, &status, &control.events);
    Ok(Solution { sets, installed: status.versions() })
}
