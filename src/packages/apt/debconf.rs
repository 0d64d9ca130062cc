//! debconf answers: they count when a package is configured for the first time, and hardly ever after that.
//!
//! A package that is configured again reads its configuration files first and takes what stands there for the
//! answer (`locales`, `tzdata`, `keyboard-configuration`, …). So answers for a package that is there already would
//! change nothing, without a word from anyone: they are refused, unless they are the ones the base has.

use super::StageRequest;
use super::error::{AptError, Contradiction};
use super::status::{Status, field, stanzas};
use crate::event::Events;

/// Refuses answers of a stage for what is configured before it. `database` is the text of the base's own answers.
/// Adds the packages that the answers are for to `owners`.
pub(crate) fn judge(
    stage: &StageRequest<'_>,
    before: &Status,
    database: &str,
    owners: &mut Vec<String>,
) -> Result<(), AptError> {
    for line in &stage.debconf {
        let Some((owner, question, value)) = parts(line) else { continue };
        let place = stage.place(owner);
        if before.installed_stanza(owner).is_some() && given(database, question).as_deref() != Some(value) {
            return Err(AptError::Contradiction(Box::new(Contradiction {
                summary: format!(
                    "{place}: the answer to `{question}` comes too late: `{owner}` is there and configured already"
                ),
                details: vec![
                    "a package asks debconf when it is configured first; later its own files count"
                        .to_owned(),
                ],
                hint: format!(
                    "write the configuration file of `{owner}` with `[[file]]` or a `[[script]]`; if an earlier stage \
                     installs it, give the answer there"
                ),
            })));
        }
        if !owners.iter().any(|known| known == owner) {
            owners.push(owner.to_owned());
        }
    }
    Ok(())
}

/// Warns of answers for packages that are not there in the end: most likely their names are wrong.
pub(crate) fn warn(owners: &[String], after: &Status, events: &Events) {
    for owner in owners.iter().filter(|owner| after.installed_stanza(owner).is_none()) {
        events.warning(format!("debconf answers for `{owner}`: no package of that name is installed"));
    }
}

/// Package, question and value of a line `package question type value`.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (owner, rest) = line.trim().split_once(char::is_whitespace)?;
    let (question, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let (kind, value) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest, ""));
    // `seen` sets a flag and no value.
    (kind != "seen").then(|| (owner, question, value.trim()))
}

/// The value that a database has for a question.
fn given(database: &str, question: &str) -> Option<String> {
    let stanza = stanzas(database).find(|stanza| field(stanza, "Name") == Some(question))?;
    field(stanza, "Value").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_databases() {
        for (line, wanted) in [
            ("a a/b boolean false", Some(("a", "a/b", "false"))),
            (" a\ta/b  multiselect x UTF-8,  y", Some(("a", "a/b", "x UTF-8,  y"))),
            ("a a/b string", Some(("a", "a/b", ""))),
            ("a a/b seen true", None),
            ("a a/b", None),
        ] {
            assert_eq!(parts(line), wanted, "{line}");
        }
        let database = "Name: a/b\nTemplate: a/b\nValue: false\nOwners: a\nFlags: seen\n\nName: a/c\nTemplate: a/c\n\n\n\nName: a/d\nValue: x\n";
        let values = ["a/b", "a/c", "a/d", "a/e"].map(|question| given(database, question));
        assert_eq!(values, [Some("false".to_owned()), None, Some("x".to_owned()), None]);
    }
}
