//! What every image with a guest agent must fulfil: the known ways an instance stays in BUILD, checked at rest.

mod cloud;
mod find;
mod links;
mod python;
mod sudo;
mod unit;
mod venv;

use crate::disk::Tree;
use crate::os::{ReadError, UnitIndex};
use crate::recipe::AgentStep;
use crate::report::{self, CheckGroup, CheckResult};

/// What a check found wrong, or why it could not be performed.
type Found = Result<Option<String>, ReadError>;

/// The guest agent of an image, and what was checked of it.
#[derive(Debug)]
pub struct AgentFindings {
    /// The unit of the guest agent; `None` if there is none, or if it could not be read.
    pub agent: Option<String>,
    /// What was checked.
    pub results: Vec<CheckResult>,
}

/// Checks what Trove relies on. Unit links are checked in every image, the rest where there is a guest agent. If the
/// recipe installs one (`wanted`), a unit must run it.
pub fn agent(tree: &mut dyn Tree, wanted: Option<&AgentStep>) -> AgentFindings {
    let mut results = vec![
        result("no unit link leads nowhere", links::dangling(tree))
            .why("what the link stands for does not start at boot")
            .fix("disable the unit, or install the package it comes from"),
    ];
    let venv = wanted.map(|step| step.venv.as_str());
    let found = UnitIndex::read(tree)
        .map_err(ReadError::from)
        .and_then(|index| Ok((unit::Agent::find(tree, &index, venv)?, index)));
    let (agent, index) = match found {
        Ok(found) => found,
        Err(error) => {
            results.push(result("the guest agent's unit can be read", Err(error)));
            return AgentFindings { agent: None, results };
        }
    };
    if let Some(step) = wanted {
        let missing = || format!("no unit runs anything in {}", step.venv);
        results.push(
            result("a unit runs the recipe's guest agent", Ok(agent.is_none().then(missing)))
                .why("the agent's code is there, but nothing would start it")
                .fix("add a unit for the agent to the recipe, and enable it"),
        );
    }
    if let Some(agent) = &agent {
        results.extend(agent.check(tree, &index));
        results.extend(cloud::check(tree, &index));
        results.extend(sudo::check(tree, agent));
        results.extend(python::check(tree, agent));
    }
    AgentFindings { agent: agent.map(|agent| agent.name().to_owned()), results }
}

fn result(title: impl Into<String>, found: Found) -> CheckResult {
    CheckResult::new(CheckGroup::Image, title, found)
}

/// Several things found wrong, as one.
fn joined(wrong: &[String]) -> Option<String> {
    report::listed(wrong, 5, "; ", "; ")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
