//! The rules, each with whom it means and whether it asks them for a password.

use super::Person;
use super::defaults::{Deed, Defaults};
use super::list::{Aliases, List};
use super::parse::AliasKind;
use super::rule::Rule;
use super::{Grant, Located, Statement};
use crate::os::ReadError;
use crate::os::files::{escape, show};

/// A rule for people to read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) grant: Grant,
    /// Whom it means.
    pub(crate) users: Vec<String>,
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// All rules, safe to print, in the order in which they count.
///
/// # Errors
/// [`ReadError::Malformed`] for rules without measure.
pub(crate) fn shown(statements: &[Located], people: &[Person]) -> Result<Vec<Shown>, ReadError> {
    let aliases = Aliases::of(statements);
    let defaults = Defaults::of(statements, &aliases)?;
    let mut found = Vec::new();
    for located in statements {
        let Statement::Rules(rules) = &located.statement else { continue };
        for rule in rules {
            let meant: Vec<_> = people.iter().filter(|person| aliases.mean(&rule.who, person)).collect();
            let free = is_free(rule, &meant, &aliases, &defaults)?;
            found.push(Shown {
                grant: rule.shown(free),
                users: meant.iter().map(|person| escape(&person.user.name)).collect(),
                file: show(&located.file),
                line: located.line,
            });
        }
    }
    Ok(found)
}

/// Whether somebody is not asked for a password. That root never is says nothing about a rule.
fn is_free(
    rule: &Rule,
    meant: &[&Person],
    aliases: &Aliases,
    defaults: &Defaults,
) -> Result<bool, ReadError> {
    if defaults.are_silent() {
        return Ok(rule.free == Some(true));
    }
    let commands = aliases.list(AliasKind::Command, &rule.commands)?;
    for person in meant {
        let users = match &rule.run_as {
            None => List::one(defaults.run_as()),
            Some(run_as) if run_as.users.is_empty() => List::one(&person.user.name),
            Some(run_as) => aliases.list(AliasKind::RunAs, &run_as.users)?,
        };
        let as_root = users == List::one("root");
        for command in commands.items().filter(|item| !item.denied) {
            let deed = Deed { users: &users, as_root, command: command.name, tag: rule.free };
            if defaults.ask(aliases, person, deed)?.free {
                return Ok(true);
            }
        }
    }
    Ok(meant.is_empty() && rule.free == Some(true))
}
