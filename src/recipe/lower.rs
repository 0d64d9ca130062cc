//! From a recipe and what is asked of it to the plan.
//!
//! Recipes count in order, those that are extended first. An item that names the same thing as one of an
//! earlier recipe (a path, a unit, a package, …) takes its place; twice in one recipe is an error.

use std::collections::BTreeMap;

use super::agent_items::{agent_source, merged_agent, refuse_unpackaged};
use super::error::RecipeError;
use super::items;
use super::lowering::{At, Lowering};
use super::model::RecipeFile;
use super::parse::Source;
use super::request::check_ssh_keys;
use super::values::Values;
use super::when::{AgentKind, Situation};
use super::{
    AgentPackage, AgentSource, Container, PackagesStep, Plan, Request, Stage, StageName, Step,
    container_steps, derive,
};
use toml::Spanned;

use crate::digest::{Digest, Hasher};
use crate::distro::OsRelease;
use crate::valid;

/// Makes the plan.
///
/// `sources` are the recipes that count, in order, and `last`, the last of them, is the one asked for.
pub(super) fn plan(sources: &[Source], last: &Source, request: &Request<'_>) -> Result<Plan, RecipeError> {
    let (agent, agent_at) = merged_agent(sources, last);
    let mut values = Values::new(sources, last.name(), request.os, &request.settings);
    let source = agent_source(&agent, &agent_at, request, last.name(), &values)?;
    if let (AgentSource::Package(AgentPackage { rdo: Some(series) }), Ok(values)) = (&source, &mut values) {
        values.name_release(series);
    }
    let kind = AgentKind::of(&source);
    // Told before what is wrong with the values, which may be that they are for other systems.
    match &values {
        Ok(values) => refuse_unsupported(sources, &situation(sources, request.os, kind, values.options()))?,
        Err(_) => refuse_unsupported(sources, &situation(sources, request.os, kind, &BTreeMap::new()))?,
    }
    let values = &values?;
    let now = situation(sources, request.os, kind, values.options());
    let mut lowering = Lowering {
        sources,
        values,
        now,
        entries: Vec::new(),
        packages: BTreeMap::new(),
        debconf: BTreeMap::new(),
        environment: BTreeMap::new(),
        checks: Vec::new(),
        notes: Vec::new(),
    };
    super::unsupported::refuse(&lowering)?;
    items::lower(&mut lowering)?;
    let identities = super::identity_items::lower(&mut lowering)?;
    let contract = lowering.now.contract;
    let agent_user = lowering.agent(&agent, &agent_at, &source, request)?;
    let datastore = datastore(sources)?;
    refuse_unpackaged(&source, request.os)?;
    lowering.keys(request, agent_user, last.name())?;
    lowering.containers(&request.containers, last.name())?;
    let sum =
        |bytes: fn(&Container) -> u64| request.containers.iter().map(bytes).fold(0, u64::saturating_add);
    let needs = lowering.needs()?.saturating_add(sum(|container| container.size));
    let min_disk = match lowering.largest(|file| file.min_disk.as_ref())? {
        0 => 0,
        // Each is there twice for a moment: as its archive, and unpacked.
        bytes => bytes.saturating_add(sum(|container| container.size.saturating_add(container.unpacked))),
    };
    let min_ram = lowering.largest(|file| file.min_ram.as_ref())?;
    let recipe_digest = digest(sources, values, &source);
    let Lowering { checks, notes, .. } = &mut lowering;
    let (explicit, notes) = (std::mem::take(checks), std::mem::take(notes));
    let stages = lowering.stages();
    let mut checks = derive::checks(&stages);
    checks.extend(explicit);
    let mut seen = Vec::new();
    checks.retain(|check| {
        !seen.contains(check) && {
            seen.push(check.clone());
            true
        }
    });
    Ok(Plan {
        recipe: last.name().to_owned(),
        recipe_digest,
        os: request.os.clone(),
        contract,
        datastore,
        stages,
        checks,
        identities,
        boots: sources.iter().rev().find_map(|source| source.file.boots).unwrap_or(true),
        needs,
        min_disk,
        min_ram,
        notes,
        warnings: Vec::new(),
    })
}

fn situation<'a>(
    sources: &[Source],
    os: &'a OsRelease,
    agent: AgentKind,
    options: &'a BTreeMap<String, String>,
) -> Situation<'a> {
    let contract = sources.iter().rev().find_map(|source| source.file.contract);
    Situation { os, agent, contract, options }
}

fn refuse_unsupported(sources: &[Source], now: &Situation<'_>) -> Result<(), RecipeError> {
    let supports = |source: &&Source| source.file.when.as_ref().is_none_or(|when| when.holds(now));
    match sources.iter().find(|source| !supports(source)) {
        None => Ok(()),
        Some(source) => {
            Err(RecipeError::Unsupported { recipe: source.name().to_owned(), os: now.os.label() })
        }
    }
}

/// The database of the recipe. One that extends those of two has to say which it is.
fn datastore(sources: &[Source]) -> Result<Option<String>, RecipeError> {
    let named = |source: &Source| source.file.datastore.clone();
    let Some((last, extended)) = sources.split_last() else { return Ok(None) };
    if let Some(datastore) = named(last) {
        return Ok(Some(datastore));
    }
    let mut known = extended.iter().filter_map(named);
    let Some(first) = known.next() else { return Ok(None) };
    match known.find(|other| *other != first) {
        None => Ok(Some(first)),
        Some(other) => Err(RecipeError::Refused {
            recipe: last.name().to_owned(),
            because: format!("it extends recipes of two databases, `{first}` and `{other}`"),
            instead: "extend one of them: an image has one database, and packages of two exclude each other"
                .to_owned(),
        }),
    }
}

/// What was asked for, wherever and in whatever words: a default that is given is the same as one that is not.
fn digest(sources: &[Source], values: &Values, agent: &AgentSource) -> Digest {
    let mut hash = Hasher::default();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    sources.iter().for_each(|source| add(&source.text));
    for (name, value) in values.options() {
        add(name);
        add(value);
    }
    add(&agent.anywhere().to_string());
    hash.finish()
}

impl<'a> Lowering<'a> {
    fn keys(
        &mut self,
        request: &Request<'_>,
        agent: Option<String>,
        recipe: &str,
    ) -> Result<(), RecipeError> {
        check_ssh_keys(&request.ssh_keys)?;
        if request.ssh_keys.is_empty() {
            return Ok(());
        }
        let user = request.ssh_user.clone().or(agent);
        let user = user.ok_or_else(|| RecipeError::NoKeyUser(recipe.to_owned()))?;
        let mut keys = request.ssh_keys.clone();
        keys.sort();
        keys.dedup();
        self.push(StageName::Site, Step::AuthorizedKeys { user, keys });
        Ok(())
    }

    /// Adds container images, which only an agent that runs containers can use.
    fn containers(&mut self, wanted: &[Container], recipe: &str) -> Result<(), RecipeError> {
        let names = wanted.iter().map(|container| container.name.clone());
        container_steps::check(names, self.now.contract, recipe)?;
        for step in container_steps::steps(wanted) {
            self.push(StageName::Site, step);
        }
        Ok(())
    }

    /// What all recipes need together.
    fn needs(&self) -> Result<u64, RecipeError> {
        let mut sum = 0_u64;
        for (index, source) in self.sources.iter().enumerate() {
            if let Some(needs) = &source.file.needs {
                let at = At { source, index, span: needs.span() };
                sum = sum.saturating_add(valid::size(needs.get_ref()).map_err(|fault| at.error(fault))?);
            }
        }
        Ok(sum)
    }

    /// The largest size that one of the recipes asks for; 0 if none does.
    fn largest(&self, key: impl Fn(&RecipeFile) -> Option<&Spanned<String>>) -> Result<u64, RecipeError> {
        let mut largest = 0;
        for (index, source) in self.sources.iter().enumerate() {
            if let Some(size) = key(&source.file) {
                let at = At { source, index, span: size.span() };
                largest = largest.max(valid::size(size.get_ref()).map_err(|fault| at.error(fault))?);
            }
        }
        Ok(largest)
    }

    /// The steps by stage, in the order in which they run.
    fn stages(mut self) -> Vec<Stage> {
        let mut merged: BTreeMap<StageName, PackagesStep> = BTreeMap::new();
        for (name, package) in std::mem::take(&mut self.packages) {
            let step = merged.entry(package.stage).or_default();
            if package.recommends {
                step.recommends.push(name.clone());
            }
            if package.install { &mut step.install } else { &mut step.remove }.push(package.text);
            step.places.insert(name, package.place);
        }
        for (stage, lines) in std::mem::take(&mut self.debconf) {
            let step = merged.entry(stage).or_default();
            for (line, place) in lines {
                let owner = line.split_whitespace().next().unwrap_or_default().to_owned();
                step.places.entry(owner).or_insert(place);
                step.debconf.push(line);
            }
        }
        for (stage, variables) in std::mem::take(&mut self.environment) {
            // Without packages nothing runs that could read them.
            if let Some(step) = merged.get_mut(&stage) {
                step.environment = variables;
            }
        }
        for (stage, step) in merged {
            self.push(stage, Step::Packages(step));
        }
        // Stable: within a kind, the order of the recipes stays.
        self.entries.sort_by_key(|entry| (entry.stage, rank(&entry.step)));
        let stage = |name| {
            let steps =
                self.entries.iter().filter(|entry| entry.stage == name).map(|entry| entry.step.clone());
            Stage { name, steps: steps.collect() }
        };
        StageName::ALL.into_iter().map(stage).filter(|stage| !stage.steps.is_empty()).collect()
    }
}

/// The order of kinds within a stage. Users come before packages so that a package cannot take an id that is
/// fixed for one of them; everything that a package's files or users are needed for comes after it.
fn rank(step: &Step) -> u8 {
    match step {
        Step::Repository(_) => 0,
        Step::Group(_) => 1,
        Step::User(_) => 2,
        Step::Packages(_) => 3,
        Step::Artifact(_) => 4,
        Step::Directory { .. } => 5,
        Step::File(_) => 6,
        Step::Link { .. } => 7,
        Step::Selinux(_) => 8,
        Step::Apparmor(_) => 9,
        Step::Script(_) => 10,
        Step::Service(_) => 11,
        Step::Agent(_) => 12,
        Step::AuthorizedKeys { .. } => 13,
        Step::Containers { .. } => 14,
    }
}
