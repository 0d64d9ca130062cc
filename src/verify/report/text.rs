//! A report for a terminal.

use std::fmt::Write as _;

use super::{CheckGroup, CheckResult, Outcome, Report};
use crate::verify::look::escape;

impl Report {
    /// The report for people, one line for each check and more for those that failed. Ends with a newline.
    pub fn to_text(&self, color: bool) -> String {
        let mut text = format!("{}\n", escape(&self.image.to_string_lossy()));
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in &self.facts {
            text += &format!("  {name:width$}  {}\n", escape(value));
        }
        for warning in &self.warnings {
            text += &format!("\nwarning: {}\n", escape(warning));
        }
        for group in CheckGroup::ALL {
            let results: Vec<_> = self.of_group(group).collect();
            if results.is_empty() {
                continue;
            }
            text += &format!("\n{}\n", group.name());
            for result in results {
                line(&mut text, result, color);
            }
        }
        let counts = self.counts();
        let _ = write!(text, "\n{} passed, {} failed", counts.passed, counts.failed);
        if counts.not_checked > 0 {
            let _ = write!(text, ", {} could not be checked", counts.not_checked);
        }
        text.push('\n');
        text
    }
}

fn line(text: &mut String, result: &CheckResult, color: bool) {
    let (mark, code, detail) = match &result.outcome {
        Outcome::Passed => ("ok", "32", None),
        Outcome::Failed { found } => ("FAILED", "31", Some(("found", found))),
        Outcome::NotChecked { reason } => ("NOT CHECKED", "31", Some(("because", reason))),
    };
    let shown = if color { format!("\u{1b}[{code}m{mark}\u{1b}[0m") } else { mark.to_owned() };
    let padding = " ".repeat("NOT CHECKED".len() - mark.len());
    *text += &format!("  {shown}{padding}  {}\n", escape(&result.title));
    let Some((word, detail)) = detail else { return };
    let lines = [(word, Some(detail)), ("why", result.why.as_ref()), ("fix", result.fix.as_ref())];
    for (word, detail) in lines {
        if let Some(detail) = detail {
            *text += &format!("                 {word}: {detail}\n");
        }
    }
}
