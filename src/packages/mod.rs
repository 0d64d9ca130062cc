//! Packages: what package managers run in guests, and what of them can be resolved on this host. One folder for each
//! package manager.
//!
//! [`manager`] knows the one of a guest. Where it has a [`Resolver`] that this host can use, packages are chosen, verified
//! and fetched before the guest runs; otherwise the guest's own package manager does all of that, over the network.

mod apt;
mod dnf;
mod entitled;
mod fault;
mod mirrored;
mod probe;
mod request;
mod set;
#[cfg(test)]
mod testing;
mod zypper;

use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::control::Control;
use crate::distro::Family;
use crate::error::Result;
use crate::mirror::Mirrors;
use crate::recipe::{PackagesStep, RepositoryStep};
use crate::trust::RepositoryKey;

pub use entitled::{EntitledRepository, TlsClient, repository_file};
pub use mirrored::rename_sources;
pub use request::{Needed, ResolveRequest, StageRequest};
pub use set::{DpkgAction, PackageSet, Resolved, RpmTransaction, StagePackages, Transaction};

/// A text file that something needs in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Absolute path.
    pub path: String,
    /// Content.
    pub text: String,
}

/// Shell for the guest, run with `set -eu`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestScript {
    /// What it does, for messages: `installing packages`.
    pub purpose: &'static str,
    /// The script.
    pub text: String,
}

/// A package file on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// The name that [`Resolver::scripts`] expects it to have.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Fetches the key of a repository from where its owner publishes it, or from the cache when `offline`. Whether it is the
/// right one is for [`RepositoryKey::of`] to say.
///
/// # Errors
/// If it cannot be had.
pub fn published_key(
    repository: &str,
    url: &str,
    cache: &Cache,
    offline: bool,
    control: &Control,
) -> Result<String> {
    Ok(dnf::published_key(repository, url, cache, offline, control)?)
}

/// Asks whether the repositories that a recipe adds are there: for guests that fetch packages by themselves, too late to be told.
///
/// # Errors
/// Which one is not, or not for us.
pub fn probe(family: Family, repositories: &[&RepositoryStep], control: &Control) -> Result<()> {
    let place = |step: &&RepositoryStep| probe::Place {
        repository: Some(step.name.clone()),
        // The guest asks what the image names.
        url: control.mirrors.in_image(&step.url).unwrap_or_else(|| step.url.clone()),
        suite: (family == Family::Debian).then(|| step.suite.clone().unwrap_or_else(|| "./".to_owned())),
    };
    let places: Vec<_> = repositories.iter().map(place).collect();
    // The guest knows no mirror.
    let direct = control.clone().with_mirrors(Mirrors::default());
    match probe::find_wrong(&places, &direct) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// The package manager of a family of guests.
pub trait PackageManager: Sync {
    /// Files that configure a repository in the guest.
    fn repository_files(&self, repository: &RepositoryStep, key: &RepositoryKey) -> Vec<GuestFile>;

    /// Shell that installs and removes packages with the guest's own package manager, over the network.
    fn script(&self, packages: &PackagesStep) -> GuestScript;

    /// Shell that installs one package file of the guest, quoted for it, without a network. What it depends on must be there.
    fn file_script(&self, file: &str) -> String;

    /// What resolves its packages on a host, if tib has that.
    fn resolver(&self) -> Option<&'static dyn Resolver> {
        None
    }
}

/// Chooses packages for a guest on this host, and fetches them.
pub trait Resolver: Sync {
    /// Its name, for a directory of the payload disk.
    fn name(&self) -> &'static str;

    /// Whether this host can do it.
    ///
    /// # Errors
    /// Why not.
    fn usable(&self) -> Result<()>;

    /// Resolves every stage, and makes sure that all files it needs are in the cache and verified.
    ///
    /// Safe to run in several processes with one cache.
    ///
    /// # Errors
    /// No answer, or one that contradicts what the recipe asks.
    fn resolve(&self, request: ResolveRequest<'_>, control: &Control) -> Result<Solution>;

    /// Where the files of a set that this resolver made are in the cache.
    fn files(&self, set: &PackageSet, cache: &Cache) -> Vec<HostFile>;

    /// Puts files that this resolver made into the form that a guest installs fastest, in `directory`, which exists; and says where
    /// each is then.
    ///
    /// # Errors
    /// Those of writing.
    fn ready(&self, files: Vec<HostFile>, directory: &Path, control: &Control) -> Result<Vec<HostFile>> {
        let _ = (directory, control);
        Ok(files)
    }

    /// Scripts that install and remove what is in a set that this resolver made, with its files in `directory` of the
    /// guest. Those that have nothing to do are left out.
    fn scripts(&self, set: &PackageSet, packages: &PackagesStep, directory: &str) -> Vec<GuestScript>;
}

/// What a [`Resolver`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// One set for each stage.
    pub sets: Vec<PackageSet>,
    /// Names and versions of everything that is installed in the end, sorted.
    pub installed: Vec<(String, String)>,
}

impl PackageSet {
    /// Who made it.
    pub fn resolver(&self) -> &'static dyn Resolver {
        match self.transaction {
            Transaction::Apt(_) => &apt::DebianPackages,
            Transaction::Rpm(_) => &dnf::DnfPackages,
        }
    }
}

/// The version of dnf with which this host can resolve packages of guests of Red Hat's family.
///
/// # Errors
/// What is missing, with the package that has it.
pub fn dnf_version() -> Result<String> {
    Ok(dnf::version()?)
}

/// For the fuzzer: reads any text as a file of dnf's repositories.
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn any_repositories(text: &[u8]) {
    dnf::any_repositories(text);
}

/// The package manager of a family.
pub fn manager(family: Family) -> &'static dyn PackageManager {
    match family {
        Family::Debian => &apt::DebianPackages,
        Family::Rhel => &dnf::DnfPackages,
        Family::Suse => &zypper::ZypperPackages,
    }
}

/// What resolves packages for guests of a family on this host.
///
/// # Errors
/// Why there is nothing, as text for people: then the guest's own package manager has to.
pub fn resolver(family: Family) -> Result<&'static dyn Resolver, String> {
    let resolver =
        manager(family).resolver().ok_or_else(|| "zypper resolves in the guest only".to_owned())?;
    resolver.usable().map_err(|failure| failure.to_string())?;
    Ok(resolver)
}
