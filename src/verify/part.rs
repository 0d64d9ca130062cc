//! What was found out: results, warnings and facts.

use crate::os::ReadError;
use crate::report::{self, CheckGroup, CheckResult};

/// What a check found wrong, or why it could not be performed.
pub(crate) type Found = Result<Option<String>, ReadError>;

/// Results and warnings, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct ReportPart {
    pub(crate) results: Vec<CheckResult>,
    pub(crate) warnings: Vec<String>,
    /// What is worth telling and neither right nor wrong.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// Where results belong; the image itself unless told.
    group: Option<CheckGroup>,
}

impl ReportPart {
    /// Results will belong to `group`.
    pub(crate) fn of(group: CheckGroup) -> Self {
        Self { group: Some(group), ..Self::default() }
    }

    /// Something without which an instance hangs, or gives a secret away.
    pub(crate) fn check(&mut self, title: impl Into<String>, found: Found, why: &str, fix: &str) {
        self.results
            .push(CheckResult::new(self.group.unwrap_or(CheckGroup::Image), title, found).why(why).fix(fix));
    }

    /// Something that may be meant, or that does harm in some clouds only. What cannot be looked at is a failed check all the
    /// same.
    pub(crate) fn warn(&mut self, title: &str, found: Found, why: &str, fix: &str) {
        match found {
            Ok(None) => {}
            Ok(Some(found)) => self.warnings.push(warning(title, &found, why, fix)),
            Err(error) => self.check(title, Err(error), why, fix),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.results.extend(other.results);
        self.warnings.extend(other.warnings);
        self.facts.extend(other.facts);
    }
}

/// A warning as one sentence.
pub(crate) fn warning(title: &str, found: &str, why: &str, fix: &str) -> String {
    format!("{title}: {found}; {why} (fix: {fix})")
}

/// Several things found wrong, as one.
pub(crate) fn joined(wrong: &[String]) -> Option<String> {
    report::listed(wrong, 5, "; ", "; ")
}
