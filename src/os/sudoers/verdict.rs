//! What all rules together let somebody do.

use std::collections::BTreeMap;

use super::defaults::{Ask, Deed, Defaults};
use super::list::{Aliases, Item, List};
use super::parse::AliasKind;
use super::rule::Rule;
use super::who::Person;
use super::{Located, MAIN, Statement};
use crate::os::ReadError;

/// How many different combinations of hosts, users and groups somebody may have rules for.
const SCOPE_LIMIT: usize = 1000;

/// What sudo lets somebody do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No rule is for them.
    Nothing,
    /// Some commands, or not as root, or not everywhere.
    Something,
    /// Everything, as root, everywhere.
    Everything {
        /// For some of it as root they may be asked for a password.
        asked: bool,
        /// For something, as whomever, they may not be asked.
        free: bool,
    },
}

/// What somebody may do. Rules count in their order: the last that fits a command, a user and a host decides.
///
/// # Errors
/// [`ReadError::Malformed`] for rules without measure.
pub(crate) fn verdict(statements: &[Located], person: &Person) -> Result<Verdict, ReadError> {
    let aliases = Aliases::of(statements);
    let defaults = Defaults::of(statements, &aliases)?;
    let mut rights = Rights::default();
    for located in statements {
        let Statement::Rules(rules) = &located.statement else { continue };
        for rule in rules.iter().filter(|rule| aliases.mean(&rule.who, person)) {
            rights.add(rule, person, &aliases, &defaults)?;
        }
    }
    Ok(rights.verdict())
}

/// Whether sudo refuses somebody who has no terminal, by `requiretty`.
///
/// # Errors
/// [`ReadError::Malformed`] for aliases without measure.
pub(crate) fn needs_terminal(statements: &[Located], person: &Person) -> Result<bool, ReadError> {
    let aliases = Aliases::of(statements);
    Ok(Defaults::of(statements, &aliases)?.needs_terminal(&aliases, person))
}

/// Where and as whom commands are run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Scope<'a> {
    hosts: List<'a>,
    users: List<'a>,
    groups: List<'a>,
}

impl<'a> Scope<'a> {
    fn of(
        rule: &'a Rule,
        person: &'a Person,
        aliases: &'a Aliases<'a>,
        defaults: &Defaults<'a>,
    ) -> Result<Self, ReadError> {
        let (users, groups): (_, &[String]) = match &rule.run_as {
            None => (List::one(defaults.run_as()), &[]),
            Some(run_as) if run_as.users.is_empty() => (List::one(&person.user.name), &run_as.groups),
            Some(run_as) => (aliases.list(AliasKind::RunAs, &run_as.users)?, &run_as.groups),
        };
        let groups = aliases.list(AliasKind::RunAs, groups)?;
        Ok(Self { hosts: aliases.list(AliasKind::Host, &rule.hosts)?, users, groups })
    }

    /// Whether all that is run in another scope is run in this one, too. A rule without groups says nothing about
    /// `sudo -g`.
    fn covers(&self, other: &Self) -> bool {
        (self.hosts.means_all() || self.hosts == other.hosts)
            && (self.users.means_all() || self.users == other.users)
            && (self.groups.means_all() || self.groups == other.groups || !other.groups.means_any())
    }

    fn is_wide(&self) -> bool {
        self.hosts.means_all() || self.users.means_all() || self.groups.means_all()
    }
}

/// What rules allow so far.
#[derive(Debug, Default)]
struct Rights<'a> {
    /// What is allowed, and with which password, by scope and command. `ALL` does not contain the others.
    allowed: BTreeMap<Scope<'a>, BTreeMap<&'a str, Ask>>,
    root: RootRights<'a>,
}

impl<'a> Rights<'a> {
    fn add(
        &mut self,
        rule: &'a Rule,
        person: &'a Person,
        aliases: &'a Aliases<'a>,
        defaults: &Defaults<'a>,
    ) -> Result<(), ReadError> {
        let scope = Scope::of(rule, person, aliases, defaults)?;
        if !scope.hosts.means_any() || !scope.users.means_any() {
            return Ok(());
        }
        let as_root = scope.users.means(Person::is_root);
        let only_root = scope.users == List::one("root");
        for item in aliases.list(AliasKind::Command, &rule.commands)?.items() {
            let ask = |as_root| {
                let deed = Deed { users: &scope.users, as_root, command: item.name, tag: rule.free };
                // sudo never asks root.
                let free = Ask { asked: false, free: true };
                if person.user.uid == 0 { Ok(free) } else { defaults.ask(aliases, person, deed) }
            };
            self.replace(&scope, item);
            if !item.denied {
                let ask = ask(only_root)?;
                self.allowed.entry(scope.clone()).or_default().insert(item.name, ask);
            }
            if as_root {
                self.root.add(item, &scope.hosts, ask(true)?);
            }
        }
        if self.allowed.len() > SCOPE_LIMIT {
            return Err(ReadError::malformed(MAIN, "it says too much about one user"));
        }
        Ok(())
    }

    /// Forgets what earlier rules say of the same.
    fn replace(&mut self, scope: &Scope<'a>, item: Item<'a>) {
        let forget = |commands: &mut BTreeMap<&str, Ask>| match item.is_all() {
            true => commands.clear(),
            false => drop(commands.remove(item.name)),
        };
        if scope.is_wide() {
            self.allowed.iter_mut().filter(|(other, _)| scope.covers(other)).for_each(|(_, c)| forget(c));
            self.allowed.retain(|_, commands| !commands.is_empty());
        } else if let Some(commands) = self.allowed.get_mut(scope) {
            forget(commands);
            if commands.is_empty() {
                self.allowed.remove(scope);
            }
        }
    }

    fn verdict(&self) -> Verdict {
        if self.allowed.is_empty() {
            return Verdict::Nothing;
        }
        let free = self.allowed.values().flat_map(BTreeMap::values).any(|ask| ask.free);
        match self.root.everything() {
            Some(ask) => Verdict::Everything { asked: ask.asked, free: free || ask.free },
            None => Verdict::Something,
        }
    }
}

/// What rules allow as root.
#[derive(Debug, Default)]
struct RootRights<'a> {
    /// Of all commands.
    all: Option<Ask>,
    /// Of single commands, since a rule spoke of all.
    single: BTreeMap<&'a str, Option<Ask>>,
    /// On some hosts only, since a rule spoke of all commands on all: something is denied, or allowed.
    denied_somewhere: bool,
    somewhere: Ask,
}

impl<'a> RootRights<'a> {
    fn add(&mut self, item: Item<'a>, hosts: &List, ask: Ask) {
        let right = (!item.denied).then_some(ask);
        match (hosts.means_all(), item.is_all(), right) {
            (true, true, all) => *self = Self { all, ..Self::default() },
            (true, false, right) => drop(self.single.insert(item.name, right)),
            (false, _, None) => self.denied_somewhere = true,
            (false, _, Some(ask)) => self.somewhere = self.somewhere.or(ask),
        }
    }

    /// With which password everything is allowed, if it is.
    fn everything(&self) -> Option<Ask> {
        if self.denied_somewhere {
            return None;
        }
        let all = self.all?.or(self.somewhere);
        self.single.values().try_fold(all, |all, right| Some(all.or((*right)?)))
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
