//! Packages for a guest of Red Hat's family, resolved and fetched by the host's dnf.
//!
//! The appliance is slow and the host is not: so dnf's API on the host, in a private root that has the base image's
//! repositories, keys, modules and package database, works out what a stage needs and fetches it. What comes is verified
//! here ([`package_file`]), and the guest runs rpm alone. The same cache serves `--offline` builds.
//!
//! Of the image's configuration only what is known to be harmless counts, and no plugin. The package database is read by
//! tib and handed to the host's rpm as headers, so that every form of it serves, also one that this rpm does not know.
//!
//! Each stage is resolved against the package database as the stage before leaves it, which is what happens in the guest.

mod answer;
mod archive;
mod configuration;
mod error;
mod guest;
mod host;
mod install;
mod keys;
mod ledger;
mod metadata;
mod mirrored;
mod package_file;
mod repositories;
pub(super) mod repository;
mod root;
mod solve;
#[cfg(test)]
mod tests;

use error::DnfError;

use super::{
    GuestFile, GuestScript, HostFile, Needed, PackageManager, PackageSet, ResolveRequest, Resolved, Resolver,
    RpmTransaction, Solution, StageRequest, Transaction,
};
use crate::cache::{Bucket, Cache};
use crate::control::Control;
use crate::recipe::{PackagesStep, RepositoryStep};
use crate::trust::RepositoryKey;
use answer::Removed;
use solve::Solver;

/// The packages of Fedora's and Red Hat's family.
#[derive(Debug, Clone, Copy)]
pub(super) struct DnfPackages;

const INSTALLING: &str = "installing packages";

impl PackageManager for DnfPackages {
    fn repository_files(&self, repository: &RepositoryStep, key: &RepositoryKey) -> Vec<GuestFile> {
        repository::files("/etc/yum.repos.d", repository, key)
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

impl Resolver for DnfPackages {
    fn name(&self) -> &'static str {
        "dnf"
    }

    fn usable(&self) -> crate::error::Result<()> {
        Ok(version().map(drop)?)
    }

    fn resolve(&self, request: ResolveRequest<'_>, control: &Control) -> crate::error::Result<Solution> {
        Ok(resolve(request, control)?)
    }

    fn files(&self, set: &PackageSet, cache: &Cache) -> Vec<HostFile> {
        let cache = cache.directory(Bucket::Dnf);
        let file = |file: &Resolved| HostFile {
            name: install::file_name(file),
            path: archive::package(&cache, file.digest),
        };
        let mut files: Vec<_> = set.files.iter().map(file).collect();
        if let Transaction::Rpm(transaction) = &set.transaction {
            files.extend(transaction.keys.iter().map(|&digest| HostFile {
                name: install::key_name(digest),
                path: archive::key(&cache, digest),
            }));
        }
        files
    }

    fn scripts(&self, set: &PackageSet, packages: &PackagesStep, directory: &str) -> Vec<GuestScript> {
        let mut scripts = Vec::new();
        if !packages.install.is_empty() {
            scripts.push(GuestScript { purpose: INSTALLING, text: install::install_script(set, directory) });
        }
        if !set.removed.is_empty() {
            let text = install::removal_script(set);
            scripts.push(GuestScript { purpose: "removing packages", text });
        }
        scripts
    }
}

/// The version of the host's dnf, if it can do this.
pub(super) fn version() -> Result<String, DnfError> {
    host::HostDnf::probe().map(|host| host.version)
}

/// As [`super::any_repositories`].
#[cfg(any(test, fuzzing, debug_assertions))]
pub(super) fn any_repositories(text: &[u8]) {
    configuration::any_text(text);
}

/// As [`super::published_key`].
///
/// # Errors
/// [`DnfError`].
pub(super) fn published_key(
    repository: &str,
    url: &str,
    cache: &Cache,
    offline: bool,
    control: &Control,
) -> Result<String, DnfError> {
    let keys = keys::Keys { directory: archive::keys(&cache.directory(Bucket::Dnf)), offline, control };
    // What is no text is no armoured key, which is told with the repository's name when it is looked at.
    Ok(String::from_utf8_lossy(&keys.fetch(repository, url)?).into_owned())
}

/// The set of a stage for which there is nothing to do.
fn nothing() -> PackageSet {
    PackageSet {
        files: Vec::new(),
        present: Vec::new(),
        removed: Vec::new(),
        transaction: Transaction::Rpm(RpmTransaction::default()),
    }
}

/// As [`Resolver::resolve`].
///
/// # Errors
/// [`DnfError::Contradiction`] if the answer is not what the recipe asks. See [`DnfError`] for the rest.
fn resolve(request: ResolveRequest<'_>, control: &Control) -> Result<Solution, DnfError> {
    let ResolveRequest { tree, arch, stages, needed, boots, entitled, cache, offline } = request;
    for name in stages.iter().flat_map(|stage| stage.install.iter().chain(&stage.remove)) {
        solve::check_name(name)?;
    }
    let host = host::HostDnf::probe()?;
    let root = root::Root::stage(cache.work()?, tree, arch)?;
    let cache = cache.directory(Bucket::Dnf);
    let mut solver = Solver::new(&host, root, cache, offline, control)?;
    solver.settle(tree, stages, entitled)?;

    let mut ledger = ledger::Ledger::new(needed, boots);
    let mut sets = Vec::with_capacity(stages.len());
    for (index, stage) in stages.iter().enumerate() {
        control.cancel.check()?;
        solver.modules(stage)?;
        let mut set = nothing();
        if !stage.install.is_empty() {
            set = solver.install(index, stage)?;
            ledger.installed(stage, &set, &control.events)?;
        }
        if !stage.remove.is_empty() {
            let removed = solver.remove(index, stage)?;
            set.removed = removed.iter().map(Removed::full_name).collect();
            ledger.removed(stage, &removed, &solver.installed()?, &control.events)?;
        }
        sets.push(set);
    }
    let installed = solver.installed()?;
    ledger.finish(&installed)?;
    Ok(Solution { sets, installed })
}
