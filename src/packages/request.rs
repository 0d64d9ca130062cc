//! What is asked of a resolver.

use super::EntitledRepository;
use crate::cache::Cache;
use crate::disk::Tree;
use crate::distro::Arch;
use crate::recipe::{RepositoryStep, Stage, Step};
use crate::toml_text::Place;
use std::collections::BTreeMap;

/// What one stage of a plan wants.
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
    /// Debian: answers as `debconf-set-selections` reads them.
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
    pub(super) fn place(&self, package: &str) -> String {
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

/// What is to be resolved.
pub struct ResolveRequest<'a> {
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
    /// Repositories that a subscription opens, besides those that the base knows. Their files end with the registration.
    pub entitled: &'a [EntitledRepository],
    /// Where indexes and package files are kept.
    pub cache: &'a Cache,
    /// Use only what is in the cache.
    pub offline: bool,
}

impl std::fmt::Debug for ResolveRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResolveRequest")
            .field("arch", &self.arch)
            .field("stages", &self.stages)
            .field("needed", &self.needed)
            .field("boots", &self.boots)
            .field("entitled", &self.entitled)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}
