//! A report as a web page: one file that loads nothing, runs nothing and can be sent to anybody.
//!
//! Names in it come from images, so everything is escaped by the template engine, and a policy in the page forbids
//! the browser to run or load anything should that ever fail. Filters are style sheets' work.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::ReportError;
use super::{CheckGroup, CheckResult, Outcome, Report};
use crate::shown::escape;

/// Its name ends in `.html`, which is what makes the engine escape.
const NAME: &str = "page.html";

#[derive(Serialize)]
struct Page {
    version: &'static str,
    class: &'static str,
    verdict: String,
    name: String,
    facts: Vec<(&'static str, String)>,
    counts: [Count; 3],
    problems: Vec<Row>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    name: &'static str,
    heading: &'static str,
    passed: usize,
    rows: Vec<Row>,
}

#[derive(Clone, Serialize)]
struct Row {
    id: String,
    class: &'static str,
    outcome: &'static str,
    title: String,
    details: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct Count {
    class: &'static str,
    name: &'static str,
    number: usize,
}

impl Report {
    /// The report as one self-contained web page.
    ///
    /// # Errors
    /// [`ReportError::Html`] when the page cannot be made.
    pub fn to_html(&self) -> Result<String, ReportError> {
        Ok(self.page()?)
    }

    fn page(&self) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Only delimiters can be wrong, and these are the default ones.
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).build().unwrap_or_default());
        environment.add_template(NAME, include_str!("page.html"))?;
        let counts = self.counts();
        let count = |class, name, number| Count { class, name, number };
        let path = escape(&self.image.to_string_lossy());
        let name =
            self.image.file_name().map_or_else(|| path.clone(), |name| escape(&name.to_string_lossy()));
        let mut facts = vec![("Image", path)];
        facts.extend(self.facts.iter().map(|(what, value)| (*what, escape(value))));
        facts.extend(self.warnings.iter().map(|warning| ("Warning", escape(warning))));
        let groups: Vec<_> = CheckGroup::ALL
            .into_iter()
            .map(|group| self.group(group))
            .filter(|group| !group.rows.is_empty())
            .collect();
        let all = self.results.len();
        let (class, verdict) = match all - counts.passed {
            0 if all > 0 => ("passed", format!("Passed all {all} checks")),
            wrong => ("failed", format!("Failed {wrong} of {all} checks")),
        };
        let problems = groups.iter().flat_map(|group| &group.rows).filter(|row| row.class != "passed");
        let problems = problems.cloned().collect();
        let counts = [
            count("passed", "passed", counts.passed),
            count("failed", "failed", counts.failed),
            count("not-checked", "could not be checked", counts.not_checked),
        ];
        let version = env!("CARGO_PKG_VERSION");
        let page = Page { version, class, verdict, name, facts, counts, problems, groups };
        environment.get_template(NAME)?.render(Serde(page))
    }

    fn group(&self, group: CheckGroup) -> Group {
        let row = |(number, result)| row(format!("{}-{number}", group.name()), result);
        let rows: Vec<_> = self.of_group(group).enumerate().map(row).collect();
        let heading = match group {
            CheckGroup::Image => "What every image for Trove must fulfil",
            CheckGroup::Configuration => "What Trove's configuration files and the image must agree on",
            CheckGroup::Recipe => "What its recipe asks",
            CheckGroup::Checks => "What files of checks ask",
            CheckGroup::Sealing => "Nothing of the build is left",
            CheckGroup::Boot => "How far an instance of it comes",
        };
        Group {
            name: group.name(),
            heading,
            passed: self.of_group(group).filter(|r| r.passed()).count(),
            rows,
        }
    }
}

fn row(id: String, result: &CheckResult) -> Row {
    let (class, outcome, found) = match &result.outcome {
        Outcome::Passed => ("passed", "✓ passed", None),
        Outcome::Failed { found } => ("failed", "✗ failed", Some(("Found", found))),
        Outcome::NotChecked { reason } => ("not-checked", "? not checked", Some(("Because", reason))),
    };
    let hints = [("Why", &result.why), ("Fix", &result.fix)];
    let hints = hints.into_iter().filter_map(|(word, text)| Some((word, text.as_ref()?)));
    let details = found.into_iter().chain(hints).map(|(word, text)| (word, escape(text))).collect();
    Row { id, class, outcome, title: escape(&result.title), details }
}
