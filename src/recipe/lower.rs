//! From a recipe and what is asked of it to the plan.
//!
//! Recipes count in order, those that are extended first. An item that names the same thing as one of an
//! earlier recipe (a path, a unit, a package, …) takes its place; twice in one recipe is an error.

use std::collections::BTreeMap;
use std::fmt;

use super::error::RecipeError;
use super::items;
use super::lowering::{At, Lowering};
use super::model::{Agent, RecipeFile};
use super::parse::Source;
use super::request::check_ssh_keys;
use super::values::Values;
use super::when::Situation;
use super::{AgentCode, AgentSource, AgentStep, PackagesStep, Plan, Request, Stage, StageName, Step, derive};
use toml::Spanned;

use crate::digest::{Digest, Hasher};
use crate::distro::OsRelease;
use crate::valid;

/// Makes the plan.
///
/// `sources` are the recipes that count, in order, and `last`, the last of them, is the one asked for.
pub(super) fn plan(sources: &[Source], last: &Source, request: &Request<'_>) -> Result<Plan, RecipeError> {
    let (agent, agent_at) = merged_agent(sources, last);
    let values = Values::new(sources, last.name(), request.os, &request.settings);
    let source = agent_source(&agent, &agent_at, request, last.name(), &values)?;
    let has_agent = source != AgentSource::None;
    // Told before what is wrong with the values, which may be that they are for other systems.
    match &values {
        Ok(values) => {
            refuse_unsupported(sources, &situation(sources, request.os, has_agent, values.options()))?;
        }
        Err(_) => refuse_unsupported(sources, &situation(sources, request.os, has_agent, &BTreeMap::new()))?,
    }
    let values = &values?;
    let now = situation(sources, request.os, has_agent, values.options());
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
    lowering.keys(request, agent_user, last.name())?;
    let needs = lowering.needs()?;
    let min_disk = lowering.largest(|file| file.min_disk.as_ref())?;
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
        datastore: sources.iter().rev().find_map(|source| source.file.datastore.clone()),
        stages,
        checks,
        identities,
        boots: sources.iter().rev().find_map(|source| source.file.boots).unwrap_or(true),
        needs,
        min_disk,
        min_ram,
        notes,
    })
}

fn situation<'a>(
    sources: &[Source],
    os: &'a OsRelease,
    agent: bool,
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

/// All `[agent]` tables as one, and where the last of them stands.
fn merged_agent<'a>(sources: &'a [Source], last: &'a Source) -> (Option<Agent>, At<'a>) {
    let mut merged: Option<Agent> = None;
    let mut at = At { source: last, index: sources.len(), span: last.file.name.span() };
    for (index, source) in sources.iter().enumerate() {
        let Some(table) = &source.file.agent else { continue };
        at = At { source, index, span: table.span() };
        let new = table.get_ref().clone();
        merged = Some(match merged {
            None => new,
            Some(old) => Agent {
                source: new.source.or(old.source),
                user: new.user.or(old.user),
                venv: new.venv.or(old.venv),
                module: new.module.or(old.module),
                extra: [old.extra, new.extra].concat(),
                python: new.python.or(old.python),
            },
        });
    }
    (merged, at)
}

fn agent_source(
    agent: &Option<Agent>,
    at: &At<'_>,
    request: &Request<'_>,
    recipe: &str,
    values: &Result<Values, RecipeError>,
) -> Result<AgentSource, RecipeError> {
    match (agent, &request.agent) {
        (None, None | Some(AgentSource::None)) => Ok(AgentSource::None),
        (None, Some(_)) => Err(RecipeError::NoAgent(recipe.to_owned())),
        (Some(_), Some(source)) => Ok(source.clone()),
        (Some(agent), None) => {
            // Without values there is no plan; that the recipe is for other systems is told before that.
            let Ok(values) = values else { return Ok(AgentSource::None) };
            let fault = |fault: &dyn fmt::Display| at.error(format!("`agent.source`: {fault}"));
            let text =
                values.render(agent.source.as_deref().unwrap_or("none")).map_err(|error| fault(&error))?;
            match text.parse() {
                Ok(AgentSource::Code(AgentCode::Path(_))) => {
                    Err(at.error("`agent.source` cannot be a path of the host"))
                }
                parsed => parsed.map_err(|error| fault(&error)),
            }
        }
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
    /// Adds the agent, if there is one, and returns its user.
    fn agent(
        &mut self,
        agent: &Option<Agent>,
        at: &At<'_>,
        source: &AgentSource,
        request: &Request<'_>,
    ) -> Result<Option<String>, RecipeError> {
        let Some(agent) = agent else { return Ok(None) };
        let field = |key: &str, value: &Option<String>| match value {
            Some(value) => self.text(at, &format!("agent.{key}"), value),
            None => Err(at.error(format!("`[agent]` has no `{key}`"))),
        };
        let user = agent.user.is_some().then(|| field("user", &agent.user)).transpose()?;
        let AgentSource::Code(code) = source else { return Ok(user) };
        let constraints = request.constraints.as_ref().map(|path| Self::host_file(path)).transpose();
        let step = AgentStep {
            source: code.clone(),
            venv: valid::path(field("venv", &agent.venv)?).map_err(|fault| at.error(fault))?,
            module: field("module", &agent.module)?,
            owner: field("user", &agent.user)?,
            extra: self.texts(at, "agent.extra", &agent.extra)?,
            constraints: constraints.map_err(RecipeError::Constraints)?,
        };
        self.push(StageName::Agent, Step::Agent(step));
        let oldest = agent.python.as_ref().map(|text| self.text(at, "agent.python", text)).transpose()?;
        let oldest = oldest.map(|text| python_minor(&text, at)).transpose()?;
        if let (Some(oldest), Some(found)) = (oldest, self.now.os.python_minor)
            && found < oldest
        {
            self.notes.push(format!(
                "The agent is written for Python 3.{oldest} or newer and {} has 3.{found}: only an older release \
                 of the agent can run there.",
                self.now.os.label()
            ));
        }
        Ok(user)
    }

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
        Step::Directory { .. } => 4,
        Step::File(_) => 5,
        Step::Link { .. } => 6,
        Step::Selinux(_) => 7,
        Step::Apparmor(_) => 8,
        Step::Script(_) => 9,
        Step::Service(_) => 10,
        Step::Agent(_) => 11,
        Step::AuthorizedKeys { .. } => 12,
    }
}

fn python_minor(text: &str, at: &At<'_>) -> Result<u8, RecipeError> {
    text.strip_prefix("3.")
        .and_then(|minor| minor.parse().ok())
        .ok_or_else(|| at.error(format!("`agent.python`: `{text}` is not a Python version such as `3.11`")))
}
