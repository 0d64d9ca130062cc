//! What every image with a guest agent must fulfil: the known ways an instance stays in BUILD, checked at rest.

mod at_boot;
mod baked;
mod classic;
pub(super) mod cloud;
mod conditions;
mod confinement;
mod directories;
pub(super) mod docker;
mod find;
pub(super) mod kernel;
mod links;
mod login;
mod network;
mod order;
mod owner;
mod privileges;
pub(super) mod python;
mod sandbox;
mod settings;
pub(super) mod start;
mod sudo;
pub(super) mod unit;
mod variables;
mod venv;
mod volume;

use crate::disk::Tree;
use crate::distro::Family;
use crate::os::{ReadError, UnitIndex};
use crate::recipe::{AgentStep, Contract, Plan};
use crate::report::CheckResult;

use super::part::{self, ReportPart};

/// What an agent expects of a datastore, alone.
#[cfg(test)]
pub(super) fn datastore_findings(tree: &mut dyn Tree, name: &str, family: Family) -> Vec<CheckResult> {
    classic::check(tree, name, family).results
}

/// What is known of an image beside its files.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The agent that its recipe installs: a unit must run it.
    pub agent: Option<&'a AgentStep>,
    /// What its recipe promises the agent. Without one it is a matter of what the image has.
    pub contract: Option<Contract>,
    /// The datastore of its recipe.
    pub datastore: Option<&'a str>,
    /// The kernel's command line.
    pub command_line: Option<&'a str>,
    /// Its distribution's family.
    pub family: Family,
}

impl<'a> Known<'a> {
    /// What a plan says.
    pub fn of(plan: Option<&'a Plan>, command_line: Option<&'a str>, family: Family) -> Self {
        Self {
            agent: plan.and_then(Plan::agent),
            contract: plan.and_then(|plan| plan.contract),
            datastore: plan.and_then(|plan| plan.datastore.as_deref()),
            command_line,
            family,
        }
    }
}

/// The guest agent of an image, and what was checked of it.
#[derive(Debug, Default)]
pub struct AgentFindings {
    /// The unit of the guest agent; `None` if there is none, or if it could not be read.
    pub agent: Option<String>,
    /// What was checked.
    pub results: Vec<CheckResult>,
    /// What is allowed and worth a look.
    pub warnings: Vec<String>,
    /// What else is worth telling: a name and a value each.
    pub facts: Vec<(&'static str, String)>,
    /// The agent itself, for what else is to be found out about it.
    pub(super) subject: Option<Subject>,
}

/// An agent, and what is known of the image around it.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) agent: unit::Agent,
    pub(super) index: UnitIndex,
    /// It runs databases as containers.
    pub(super) container: bool,
}

/// Checks what Trove relies on. Unit links are checked in every image, a database's place where a recipe promises it, the rest
/// where there is a guest agent. If the recipe installs one, a unit must run it.
pub fn agent(tree: &mut dyn Tree, known: &Known) -> AgentFindings {
    let mut part = ReportPart::default();
    part.check(
        "no unit link leads nowhere",
        links::dangling(tree),
        "what the link stands for does not start at boot",
        "disable the unit, or install the package it comes from",
    );
    let subject = match examine(tree, known, &mut part) {
        Ok(subject) => subject,
        Err(error) => {
            part.check(
                "the guest agent's unit can be read",
                Err(error),
                "tib cannot tell whether the agent starts",
                "look at the units below /etc/systemd/system and /usr/lib/systemd/system",
            );
            None
        }
    };
    AgentFindings {
        agent: subject.as_ref().map(|subject| subject.agent.name().to_owned()),
        results: part.results,
        warnings: part.warnings,
        facts: part.facts,
        subject,
    }
}

fn examine(tree: &mut dyn Tree, known: &Known, part: &mut ReportPart) -> Result<Option<Subject>, ReadError> {
    let index = UnitIndex::read(tree)?;
    let agent = unit::Agent::find(tree, &index, known.agent.map(|step| step.venv.as_str()))?;
    if let Some(step) = known.agent {
        part.check(
            "a unit runs the recipe's guest agent",
            Ok(agent.is_none().then(|| format!("no unit runs anything in {}", step.venv))),
            "the agent's code is there, but nothing would start it",
            "add a unit for the agent to the recipe, and enable it",
        );
    }
    let Some(agent) = agent else {
        if let (Some(Contract::Classic), Some(datastore)) = (known.contract, known.datastore) {
            part.add(classic::check(tree, datastore, known.family));
        }
        return Ok(None);
    };
    let container = match known.contract {
        Some(contract) => contract == Contract::Container,
        None => docker::is_there(tree, &index)?,
    };
    part.add(start::check(tree, &index, &agent, known.command_line));
    part.add(settings::check(tree, &index, &agent, known.command_line));
    part.add(python::check(tree, &agent));
    part.add(order::check(tree, &index, &agent, container));
    part.add(directories::check(tree, &agent));
    if container {
        part.add(owner::check_database_id(tree));
    }
    part.add(cloud::check(tree, &index, known.command_line));
    part.add(owner::check_owner(tree, &agent));
    part.add(sudo::check(tree, &agent));
    part.add(volume::check(tree));
    if container {
        part.add(docker::check(tree, &index, &agent, known.command_line));
    } else {
        let guess = if known.datastore.is_some() { None } else { classic::datastore(tree)? };
        if let Some(datastore) = known.datastore.or(guess) {
            part.add(classic::check(tree, datastore, known.family));
        }
        part.add(login::check(tree));
    }
    part.add(baked::check(tree));
    part.add(confinement::check(tree, &agent, container));
    part.add(kernel::check(tree));
    part.add(network::check(tree, &index));
    Ok(Some(Subject { agent, index, container }))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
