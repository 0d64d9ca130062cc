//! From `[agent]` and what is asked for to the step that installs an agent.

use std::fmt;

use super::agent_source::check_repository;
use super::error::RecipeError;
use super::lowering::{At, Lowering};
use super::model::Agent;
use super::parse::Source;
use super::values::Values;
use super::{
    AgentCode, AgentPackage, AgentSource, AgentStep, ConstraintsFrom, ConstraintsSource, Content, Request,
    StageName, Step,
};
use crate::distro::{Family, OsRelease};
use crate::given;
use crate::valid;

/// Releases that RDO has built for Enterprise Linux 9, oldest first: its builds ended in March 2026.
const RDO: [&str; 7] = ["yoga", "zed", "antelope", "bobcat", "caracal", "dalmatian", "epoxy"];

/// All `[agent]` tables as one, and where the last of them stands.
pub(super) fn merged_agent<'a>(sources: &'a [Source], last: &'a Source) -> (Option<Agent>, At<'a>) {
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
                repository: new.repository.or(old.repository),
                constraints: new.constraints.or(old.constraints),
                constraints_url: new.constraints_url.or(old.constraints_url),
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

/// Where the agent comes from.
pub(super) fn agent_source(
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
                Ok(AgentSource::Code(AgentCode::Git(git))) if git.is_local() => {
                    Err(at.error("`agent.source` cannot be a repository of the host"))
                }
                parsed => parsed.map_err(|error| fault(&error)),
            }
        }
    }
}

/// Refuses a package of the agent where nobody has made one.
pub(super) fn refuse_unpackaged(source: &AgentSource, os: &OsRelease) -> Result<(), RecipeError> {
    let refuse = |problem: String, hint: String| Err(RecipeError::NoAgentPackage { problem, hint });
    let others = "take the agent from elsewhere: `--agent pypi` or `--agent git:BRANCH`";
    let AgentSource::Package(AgentPackage { rdo }) = source else { return Ok(()) };
    if os.family == Family::Suse {
        return refuse(
            format!("the plan knows no package of the agent for {}", os.label()),
            others.to_owned(),
        );
    }
    let Some(series) = rdo else { return Ok(()) };
    let major = os.release().split('.').next().unwrap_or_default();
    if os.family != Family::Rhel || os.id == "fedora" || major != "9" {
        return refuse(
            format!("RDO's repositories are not for {}", os.label()),
            format!("they are for Enterprise Linux 9; {others}"),
        );
    }
    if !RDO.contains(&series.as_str()) {
        return refuse(
            format!("RDO has built no `{series}`"),
            format!("it has built {}; {others}", RDO.join(", ")),
        );
    }
    Ok(())
}

impl Lowering<'_> {
    /// Adds the agent, if there is one, and returns its user.
    pub(super) fn agent(
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
        let mut code = code.clone();
        if let AgentCode::Git(git) = &mut code
            && git.repository.is_none()
        {
            let repository = field("repository", &agent.repository)?;
            check_repository(&repository)
                .map_err(|fault| at.error(format!("`agent.repository`: {fault}")))?;
            git.repository = Some(repository);
        }
        let asked = match (&request.constraints, &agent.constraints) {
            (Some(asked), _) => Some(asked.clone()),
            (None, Some(_)) => {
                let text = field("constraints", &agent.constraints)?;
                match text.parse() {
                    Ok(ConstraintsSource::File(_)) => {
                        return Err(at.error("`agent.constraints` is `auto`, `none` or a URL"));
                    }
                    parsed => {
                        Some(parsed.map_err(|error| at.error(format!("`agent.constraints`: {error}")))?)
                    }
                }
            }
            (None, None) => None,
        };
        let (mut constraints, mut constraints_from) = (None, None);
        match asked {
            None | Some(ConstraintsSource::None) => {}
            Some(ConstraintsSource::File(path)) => {
                constraints = Some(Self::host_file(&path).map_err(RecipeError::Constraints)?);
            }
            Some(ConstraintsSource::Url(url)) => constraints_from = Some(ConstraintsFrom::Url(url)),
            // The recipe's way is for agents of which it can be known what they are of.
            Some(ConstraintsSource::Auto)
                if request.constraints.is_some() || matches!(code, AgentCode::Git(_)) =>
            {
                let base = field("constraints_url", &agent.constraints_url)?;
                let base = valid::url(base)
                    .map_err(|fault| at.error(format!("`agent.constraints_url`: {fault}")))?;
                constraints_from = Some(ConstraintsFrom::Auto { base, asked: request.constraints.is_some() });
            }
            Some(ConstraintsSource::Auto) => {}
        }
        let step = AgentStep {
            source: code,
            venv: valid::path(field("venv", &agent.venv)?).map_err(|fault| at.error(fault))?,
            module: field("module", &agent.module)?,
            owner: field("user", &agent.user)?,
            extra: self.texts(at, "agent.extra", &agent.extra)?,
            constraints,
            constraints_from,
            requirements: request.requirements.as_ref().map(|path| requirements(path)).transpose()?,
            commit: None,
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
}

/// Reads a list of requirements. pip would follow options in it to other files and servers.
fn requirements(path: &std::path::Path) -> Result<Content, RecipeError> {
    let wrong = |line, problem| RecipeError::Requirements { file: path.display().to_string(), line, problem };
    let content = Lowering::host_file(path).map_err(RecipeError::Constraints)?;
    let text = given::read_to_string(path).map_err(RecipeError::Constraints)?;
    let mut any = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        any |= !line.is_empty() && !line.starts_with('#');
        if line.starts_with('-') || line.contains(" --") {
            return Err(wrong(number + 1, "has an option of pip"));
        }
        if line.contains("://") && !line.starts_with('#') {
            return Err(wrong(number + 1, "has a URL"));
        }
    }
    if any { Ok(content) } else { Err(wrong(1, "and all others are empty")) }
}

fn python_minor(text: &str, at: &At<'_>) -> Result<u8, RecipeError> {
    text.strip_prefix("3.")
        .and_then(|minor| minor.parse().ok())
        .ok_or_else(|| at.error(format!("`agent.python`: `{text}` is not a Python version such as `3.11`")))
}
