//! Whether sudo asks for a password, or for a terminal, by its `Defaults`.

use std::cell::Cell;

use super::list::{Aliases, List};
use super::parse::{AliasKind, Binding};
use super::who::Person;
use super::{Located, MAIN, Statement};
use crate::os::ReadError;

/// How often the settings that count are looked at, for all people and rules together.
const STEP_LIMIT: usize = 10_000_000;

/// Whether a password is asked for, of somebody for something: one of them is true, or both if it depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ask {
    /// It may be.
    pub(crate) asked: bool,
    /// It may not be.
    pub(crate) free: bool,
}

impl Ask {
    const ALWAYS: Self = Self { asked: true, free: false };
    const NEVER: Self = Self { asked: false, free: true };

    pub(crate) fn or(self, other: Self) -> Self {
        Self { asked: self.asked || other.asked, free: self.free || other.free }
    }
}

/// What a password is, or is not, asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed<'a> {
    /// The users it may be done as.
    pub(crate) users: &'a List<'a>,
    /// It is done as root, whoever else `users` means.
    pub(crate) as_root: bool,
    /// The command, or `ALL`.
    pub(crate) command: &'a str,
    /// The rule's tag.
    pub(crate) tag: Option<bool>,
}

/// The settings that decide about passwords and terminals, in their order.
#[derive(Debug)]
pub(crate) struct Defaults<'a> {
    settings: Vec<(Bound<'a>, Setting<'a>)>,
    /// The user that rules without a run-as list mean.
    run_as: &'a str,
    left: Cell<usize>,
}

#[derive(Debug)]
enum Setting<'a> {
    /// `authenticate`.
    Authenticate(bool),
    /// `exempt_group`: nobody in it is ever asked.
    Exempt(Option<&'a str>),
    /// `requiretty`.
    Terminal(bool),
}

#[derive(Debug)]
enum Bound<'a> {
    Everything,
    Users(&'a [String]),
    To(AliasKind, List<'a>),
}

impl<'a> Defaults<'a> {
    /// # Errors
    /// [`ReadError::Malformed`] for aliases that mean too much.
    pub(crate) fn of(statements: &'a [Located], aliases: &'a Aliases<'a>) -> Result<Self, ReadError> {
        let mut found = Self { settings: Vec::new(), run_as: "root", left: Cell::new(STEP_LIMIT) };
        for located in statements {
            let Statement::Defaults { binding, settings } = &located.statement else { continue };
            for setting in settings {
                let text = setting.trim_start_matches(['!', ' ', '\t']);
                let signs = setting[..setting.len() - text.len()].matches('!').count();
                let (name, value) = text.split_once('=').unwrap_or((text, ""));
                let value = value.trim().trim_matches('"');
                let setting = match name.trim() {
                    "authenticate" => Setting::Authenticate(signs % 2 == 0),
                    "exempt_group" => Setting::Exempt((signs % 2 == 0).then_some(value)),
                    "requiretty" => Setting::Terminal(signs % 2 == 0),
                    "runas_default" => {
                        if *binding == Binding::Everything {
                            found.run_as = value;
                        }
                        continue;
                    }
                    _ => continue,
                };
                let bound = match binding {
                    Binding::Everything => Bound::Everything,
                    Binding::To(AliasKind::User, list) => Bound::Users(list),
                    Binding::To(kind, list) => Bound::To(*kind, aliases.list(*kind, list)?),
                };
                found.settings.push((bound, setting));
            }
        }
        // sudo looks at those of commands when it knows the command: after all others.
        found.settings.sort_by_key(|(bound, _)| matches!(bound, Bound::To(AliasKind::Command, _)));
        Ok(found)
    }

    /// Nothing is set that decides about passwords.
    pub(crate) fn are_silent(&self) -> bool {
        self.settings.is_empty()
    }

    pub(crate) fn run_as(&self) -> &'a str {
        self.run_as
    }

    /// Whether somebody is asked for a password.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] if there is too much to look at.
    pub(crate) fn ask(&self, aliases: &Aliases, person: &Person, deed: Deed) -> Result<Ask, ReadError> {
        let left = self.left.get().checked_sub(self.settings.len());
        self.left.set(left.ok_or_else(|| ReadError::malformed(MAIN, "it sets `authenticate` too often"))?);
        let (mut by_default, mut by_group) = (Ask::ALWAYS, Ask::ALWAYS);
        for (bound, setting) in &self.settings {
            let Some(is_certain) = bound.holds(aliases, person, deed) else { continue };
            let (slot, found) = match setting {
                Setting::Authenticate(true) => (&mut by_default, Ask::ALWAYS),
                Setting::Authenticate(false) => (&mut by_default, Ask::NEVER),
                Setting::Exempt(Some(group)) if person.is_in(group) => (&mut by_group, Ask::NEVER),
                Setting::Exempt(_) => (&mut by_group, Ask::ALWAYS),
                Setting::Terminal(_) => continue,
            };
            *slot = if is_certain { found } else { slot.or(found) };
        }
        let by_rule = match deed.tag {
            Some(true) => Ask::NEVER,
            Some(false) => Ask::ALWAYS,
            None => by_default,
        };
        Ok(Ask { asked: by_rule.asked && by_group.asked, free: by_rule.free || by_group.free })
    }

    /// Whether somebody needs a terminal for any command as root. What depends on host or command counts where it asks for one.
    pub(crate) fn needs_terminal(&self, aliases: &Aliases, person: &Person) -> bool {
        let root = List::one("root");
        let deed = Deed { users: &root, as_root: true, command: "ALL", tag: None };
        let mut needs = false;
        for (bound, setting) in &self.settings {
            let Setting::Terminal(on) = setting else { continue };
            match bound.holds(aliases, person, deed) {
                Some(true) => needs = *on,
                Some(false) => needs |= *on,
                None => {}
            }
        }
        needs
    }
}

impl Bound<'_> {
    /// Whether a setting holds, and if so whether that is certain. Hosts are not known at rest.
    fn holds(&self, aliases: &Aliases, person: &Person, deed: Deed) -> Option<bool> {
        let sure = |holds: bool| holds.then_some(true);
        let perhaps = |list: &List| list.means_any().then(|| list.means_all());
        match self {
            Self::Everything => Some(true),
            Self::Users(list) => sure(aliases.mean(list, person)),
            Self::To(AliasKind::RunAs, list) if deed.as_root => sure(list.means(Person::is_root)),
            Self::To(AliasKind::Command, list) if is_path(deed.command) => {
                // Only of two plain paths it is certain that they are not the same.
                let program = program(deed.command);
                match list.means(|name| name == deed.command || name == program) {
                    true => Some(true),
                    false if list.items().all(|item| is_path(item.name)) => None,
                    false => perhaps(list),
                }
            }
            Self::To(AliasKind::RunAs, list) if list == deed.users => Some(true),
            Self::To(_, list) => perhaps(list),
        }
    }
}

/// A command's path, without arguments.
fn program(command: &str) -> &str {
    command.split_whitespace().next().unwrap_or_default()
}

/// Whether a command's program is one file: no pattern, no directory, no alias.
fn is_path(command: &str) -> bool {
    let program = program(command);
    program.starts_with('/') && !program.ends_with('/') && !program.contains(['*', '?', '[', '\\'])
}
