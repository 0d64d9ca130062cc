//! What every image with a guest agent must fulfil: the known ways an instance stays in BUILD, checked at rest.

mod agent;
mod cloud;
mod links;
pub(super) mod metadata;
mod python;
pub(super) mod requirement;
mod sudo;

use super::{CheckGroup, CheckResult, VerifyError};
use crate::disk::Tree;

/// What a check found wrong, or why it could not be performed.
type Found = Result<Option<String>, VerifyError>;

/// Checks what Trove relies on. Unit links are checked in every image, the rest when a guest agent's unit exists.
pub fn contract(tree: &mut dyn Tree) -> Vec<CheckResult> {
    let mut results = vec![
        result("no unit link leads nowhere", links::dangling(tree))
            .why("what the link stands for does not start at boot")
            .fix("disable the unit, or install the package it comes from"),
    ];
    match agent::Agent::find(tree) {
        Ok(None) => {}
        Ok(Some(agent)) => {
            results.extend(agent.check(tree));
            results.extend(cloud::check(tree));
            results.extend(sudo::check(tree, &agent));
            results.extend(python::check(tree, &agent));
        }
        Err(error) => results.push(result("the guest agent's unit can be read", Err(error))),
    }
    results
}

fn result(title: impl Into<String>, found: Found) -> CheckResult {
    CheckResult::new(CheckGroup::Image, title, found)
}

/// Several things found wrong, as one.
fn joined(wrong: &[String]) -> Option<String> {
    const SHOWN: usize = 5;
    match wrong.len() {
        0 => None,
        n if n <= SHOWN => Some(wrong.join("; ")),
        n => Some(format!("{}; and {} more", wrong[..SHOWN].join("; "), n - SHOWN)),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
