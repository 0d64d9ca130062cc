//! The outcome of checks, for people and for machines.

mod error;
mod html;
mod junit;
mod list;
mod text;

pub use error::ReportError;

use std::path::PathBuf;

use serde::Serialize;

pub(crate) use list::listed;

use crate::error::Failure;

/// The version of the JSON form.
pub const VERSION: u32 = 1;

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The image is as it should be.
    Passed,
    /// It is not.
    Failed {
        /// What was found instead.
        found: String,
    },
    /// The check could not be performed, which is a failure.
    NotChecked {
        /// Why not.
        reason: String,
    },
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckGroup {
    /// What the recipe asks for.
    Recipe,
    /// What files of checks ask for.
    Checks,
    /// Nothing of the build is left.
    Sealing,
    /// What every image that Trove starts must fulfil.
    Image,
    /// What Trove's configuration files and the image must agree on.
    Configuration,
    /// How far an instance of the image comes.
    Boot,
}

impl CheckGroup {
    /// All groups, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::Image, Self::Configuration, Self::Recipe, Self::Checks, Self::Sealing, Self::Boot];

    /// `recipe`, `checks`, `sealing`, `image`, `configuration`, `boot`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Checks => "checks",
            Self::Sealing => "sealing",
            Self::Image => "image",
            Self::Configuration => "configuration",
            Self::Boot => "boot",
        }
    }
}

/// One check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// What was checked: `package mariadb-server is installed`.
    pub title: String,
    /// What it is about.
    pub group: CheckGroup,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do when it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl CheckResult {
    /// Whether the image is as it should be.
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// Turns what a check found wrong (`None`: nothing) into its result.
    pub fn new(
        group: CheckGroup,
        title: impl Into<String>,
        found: Result<Option<String>, impl Into<Failure>>,
    ) -> Self {
        let outcome = match found {
            Ok(None) => Outcome::Passed,
            Ok(Some(found)) => Outcome::Failed { found },
            Err(error) => Outcome::NotChecked { reason: error.into().to_string() },
        };
        Self { title: title.into(), group, outcome, why: None, fix: None }
    }

    /// Says why it matters.
    pub fn why(mut self, why: &str) -> Self {
        self.why = Some(why.to_owned());
        self
    }

    /// Says what to do when it fails.
    pub fn fix(mut self, fix: &str) -> Self {
        self.fix = Some(fix.to_owned());
        self
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Checks that could not be performed.
    pub not_checked: usize,
}

/// All checks of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The image file.
    pub image: PathBuf,
    /// What else a reader of the report wants to know: a name and a value each.
    pub facts: Vec<(&'static str, String)>,
    /// What nobody would call wrong, but everybody would want to know before using the image.
    pub warnings: Vec<String>,
    /// What was checked, in order.
    pub results: Vec<CheckResult>,
}

impl Report {
    /// Begins a report without results.
    pub fn new(image: impl Into<PathBuf>) -> Self {
        Self { image: image.into(), facts: Vec::new(), warnings: Vec::new(), results: Vec::new() }
    }

    /// Whether every check passed, and there was one.
    pub fn passed(&self) -> bool {
        !self.results.is_empty() && self.results.iter().all(CheckResult::passed)
    }

    /// The checks that did not pass, one line each.
    pub fn failures(&self) -> Vec<String> {
        let line = |result: &CheckResult| match &result.outcome {
            Outcome::Passed => None,
            Outcome::Failed { found } => Some(format!("{}: {found}", result.title)),
            Outcome::NotChecked { reason } => Some(format!("{}: could not check: {reason}", result.title)),
        };
        self.results.iter().filter_map(line).collect()
    }

    /// How many checks ended how.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for result in &self.results {
            match result.outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Failed { .. } => counts.failed += 1,
                Outcome::NotChecked { .. } => counts.not_checked += 1,
            }
        }
        counts
    }

    /// The report as JSON; [`VERSION`] says which form. Values are as they are: what prints them makes them harmless.
    pub fn to_json(&self) -> serde_json::Value {
        let facts = self.facts.iter();
        let facts: Vec<_> =
            facts.map(|(name, value)| serde_json::json!({ "name": name, "value": value })).collect();
        serde_json::json!({
            "version": VERSION,
            "image": self.image.to_string_lossy(),
            "passed": self.passed(),
            "facts": facts,
            "warnings": self.warnings,
            "counts": self.counts(),
            "results": self.results,
        })
    }

    fn of_group(&self, group: CheckGroup) -> impl Iterator<Item = &CheckResult> {
        self.results.iter().filter(move |result| result.group == group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::ReadError;

    fn sample() -> Report {
        let mut report = Report::new("out/mariadb <1>.qcow2");
        report.facts = vec![
            ("Operating system", "Debian\u{1b} 12".to_owned()),
            ("Guest agent", "none found".to_owned()),
        ];
        report.warnings = vec!["it takes <long>\nto start".to_owned()];
        let damaged = ReadError::Unsupported { what: "the installed packages", reason: "no\u{1b}".into() };
        report.results = vec![
            CheckResult::new(
                CheckGroup::Recipe,
                "package mariadb-server is installed",
                Ok::<_, ReadError>(None),
            ),
            CheckResult::new(CheckGroup::Recipe, "package curl is not installed", Err(damaged)),
            CheckResult::new(
                CheckGroup::Sealing,
                "no SSH host keys",
                Ok::<_, ReadError>(Some("/etc/ssh/ssh_host_a\n_key".to_owned())),
            )
            .why("every instance would have the same identity")
            .fix("remove them; sshd makes new ones at first boot"),
        ];
        report
    }

    #[test]
    fn a_check_that_could_not_be_performed_is_a_failure() {
        let mut report = sample();
        assert_eq!(report.counts(), Counts { passed: 1, failed: 1, not_checked: 1 });
        assert!(!report.passed());
        report.results.remove(2);
        assert!(!report.passed(), "one could not be performed");
        report.results.remove(1);
        assert!(report.passed());
        report.results.clear();
        assert!(!report.passed(), "nothing was checked");
    }

    #[test]
    fn text() {
        insta::assert_snapshot!(sample().to_text(false));
    }

    #[test]
    fn colour_marks_only_the_state() {
        let (plain, coloured) = (sample().to_text(false), sample().to_text(true));
        assert!(!plain.contains('\u{1b}'));
        let stripped = coloured.replace("\u{1b}[32m", "").replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
        assert_eq!(stripped, *plain);
        assert_ne!(coloured, plain);
    }

    #[test]
    fn json() {
        insta::assert_json_snapshot!(sample().to_json());
    }

    #[test]
    fn a_page_escapes_what_it_shows() {
        let mut report = sample();
        report.facts.push(("Operating system", "<img src=x onerror=alert(1)>\u{1b}".to_owned()));
        report.results[0].title = "</th><script>alert(\"1\")</script> {{ name }}".to_owned();
        let page = report.to_html().unwrap();
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{1b}'));
        assert!(
            page.contains(
                "&lt;&#x2f;th&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;&#x2f;script&gt; {{ name }}"
            )
        );
        for text in
            ["mariadb &lt;1&gt;.qcow2", "every instance would have the same identity", "a\\n_key", "Failed"]
        {
            assert!(page.contains(text), "{text}");
        }
        assert_eq!(page.matches("<tr class=").count(), report.results.len());
        assert!(!page.contains("//"), "a URL, or what could become one");
    }

    #[test]
    fn junit() {
        insta::assert_snapshot!(sample().to_junit().unwrap());
    }
}
