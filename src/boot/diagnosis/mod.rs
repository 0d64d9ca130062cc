//! Why an instance does not come further: causes in words that somebody understands who has not written Trove, with the
//! evidence, and what to do.

mod guest;
mod words;

pub(super) use guest::{clock, timer_was_late};
use serde::Serialize;

use super::milestone::Milestone;
use super::seen::Seen;
use crate::report::{CheckResult, Outcome};

/// Lines of evidence for one cause.
const EVIDENCE: usize = 4;

/// A cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// A name for scripts: `uid-taken`.
    pub id: String,
    /// What is wrong.
    pub title: String,
    /// What says so: lines, units, files.
    pub evidence: Vec<String>,
    /// What to do.
    pub fix: String,
    /// Whether the evidence leaves no other explanation.
    pub certain: bool,
}

impl Cause {
    fn new(id: &str, title: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id: id.to_owned(), title: title.into(), evidence: Vec::new(), fix: fix.into(), certain: true }
    }

    fn with(mut self, evidence: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.evidence.extend(evidence.into_iter().map(Into::into).take(EVIDENCE));
        self
    }

    fn perhaps(mut self) -> Self {
        self.certain = false;
        self
    }
}

/// What is known besides what was seen while it ran.
#[derive(Debug, Default)]
pub(crate) struct Context<'a> {
    /// The checks of the image at rest that failed.
    pub(crate) at_rest: Vec<&'a CheckResult>,
    /// The exchange that the control plane sends to.
    pub(crate) exchange: String,
    /// The virtual machine has a data volume.
    pub(crate) has_volume: bool,
}

/// The causes why `missing` was not reached, the likeliest first. There is always one: that the cause is not known.
pub(crate) fn diagnose(missing: Milestone, seen: &Seen, context: &Context<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    causes.extend(guest::boot(missing, seen));
    if missing == Milestone::Tests {
        causes.extend(guest::tests(seen));
    } else if matches!(missing, Milestone::Route | Milestone::Lease) {
        causes.extend(guest::lease(missing, seen));
    } else if causes.is_empty() {
        causes.extend(guest::cloud(missing, seen));
        causes.extend(words::agent(missing, seen));
        causes.extend(guest::unit(missing, seen));
        causes.extend(guest::volume(missing, seen, context));
        causes.extend(guest::broker(missing, seen, context));
        causes.extend(guest::containers(missing, seen));
        causes.extend(guest::spawn(missing, seen));
        causes.extend(guest::clock(seen));
    }
    causes.sort_by_key(|cause| !cause.certain);
    causes.extend(context.at_rest.iter().filter_map(|result| at_rest(result)));
    let mut known = Vec::<Cause>::new();
    for cause in causes {
        if known.iter().all(|other| other.id != cause.id) {
            known.push(cause);
        }
    }
    if known.is_empty() {
        let fix = "read the saved console, probe and broker logs; `tib boot --shell` attaches the console";
        let unknown = Cause::new("unknown", "tib does not know this cause", fix).perhaps();
        let last: Vec<_> =
            seen.guest.agent_lines().rev().chain(seen.console.lines().rev()).take(EVIDENCE).collect();
        known.push(unknown.with(last.into_iter().rev()));
    }
    known
}

/// A failed check of the image at rest as a cause.
fn at_rest(result: &CheckResult) -> Option<Cause> {
    let found = match &result.outcome {
        Outcome::Failed { found } => found.clone(),
        Outcome::Passed | Outcome::NotChecked { .. } => return None,
    };
    let title = format!("in the image at rest it does not hold that {}", result.title);
    let fix = result.fix.clone().unwrap_or_else(|| "see `tib verify`".to_owned());
    Some(Cause {
        id: format!("at-rest: {}", result.title),
        title,
        evidence: vec![found],
        fix,
        certain: false,
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
