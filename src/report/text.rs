//! A report for a terminal.

use super::{CheckGroup, CheckResult, Outcome, Report};
use crate::shown::{Line, Text};

impl Report {
    /// The report for people, one line for each check and more for those that failed.
    pub fn to_text(&self, color: bool) -> Text {
        let mut text = Text::default();
        text.line(self.image.to_string_lossy().as_ref());
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in &self.facts {
            text.line(format!("  {name:width$}  {value}"));
        }
        for warning in &self.warnings {
            text.blank();
            text.line(format!("warning: {warning}"));
        }
        for group in CheckGroup::ALL {
            let results: Vec<_> = self.of_group(group).collect();
            if results.is_empty() {
                continue;
            }
            text.blank();
            text.line(group.name());
            for result in results {
                add(&mut text, result, color);
            }
        }
        let counts = self.counts();
        let mut last = format!("{} passed, {} failed", counts.passed, counts.failed);
        if counts.not_checked > 0 {
            last += &format!(", {} could not be checked", counts.not_checked);
        }
        text.blank();
        text.line(last);
        text
    }
}

fn add(text: &mut Text, result: &CheckResult, color: bool) {
    let (mark, code, detail) = match &result.outcome {
        Outcome::Passed => ("ok", "32", None),
        Outcome::Failed { found } => ("FAILED", "31", Some(("found", found))),
        Outcome::NotChecked { reason } => ("NOT CHECKED", "31", Some(("because", reason))),
    };
    let padding = " ".repeat("NOT CHECKED".len() - mark.len());
    let line = Line::from("  ").painted(if color { code } else { "" }, mark);
    text.line(line.with(&format!("{padding}  {}", result.title)));
    let Some((word, detail)) = detail else { return };
    let lines = [(word, Some(detail)), ("why", result.why.as_ref()), ("fix", result.fix.as_ref())];
    for (word, detail) in lines {
        if let Some(detail) = detail {
            text.line(format!("                 {word}: {detail}"));
        }
    }
}
