//! Runs checks of recipes and of files of checks; one file per concern.

mod account;
mod apparmor;
mod config;
mod package;
mod path;
mod resolve;
mod scan;
mod selinux;
mod sysctl;
mod unit;

use crate::check::Check;
use crate::disk::Tree;
use crate::distro::Family;
use crate::error::Failure;
use crate::os::files::show;
use crate::os::packages::{Database, database};
use crate::os::unit::UnitIndex;
use crate::os::{Group, ReadError, User};
use crate::os::{datasource_list, groups, users};
use crate::report::{self, CheckGroup, CheckResult};
use scan::TreeScan;

/// How many of the things that are wrong are named.
const SHOWN: usize = 10;

/// What a check found wrong, or why it could not be performed.
type Found = Result<Option<String>, ReadError>;

/// Runs checks in order, those of a recipe before further ones. Each gets a result; one that cannot be performed
/// is [`Outcome::NotChecked`] (after an interruption all that remain are). Those that only a running system shows are left out.
///
/// [`Outcome::NotChecked`]: crate::report::Outcome::NotChecked
pub fn run_checks(
    tree: &mut dyn Tree,
    family: Option<Family>,
    recipe: &[Check],
    further: &[Check],
) -> Vec<CheckResult> {
    let mut image =
        Image { tree, family, packages: None, users: None, groups: None, units: None, scan: None };
    let recipe = recipe.iter().map(|check| (CheckGroup::Recipe, check));
    recipe
        .chain(further.iter().map(|check| (CheckGroup::Checks, check)))
        .filter(|(_, check)| check.is_at_rest())
        .map(|(group, check)| CheckResult::new(group, check.title(), image.check(check)))
        .collect()
}

/// An image, with what many checks ask for read once.
struct Image<'a> {
    tree: &'a mut dyn Tree,
    family: Option<Family>,
    packages: Option<Result<Database, String>>,
    users: Option<Result<Vec<User>, String>>,
    groups: Option<Result<Vec<Group>, String>>,
    units: Option<Result<UnitIndex, String>>,
    scan: Option<Result<TreeScan, String>>,
}

/// Reads something the first time it is asked for. Its error is kept as text, to be told by every check it stops.
fn once<'a, T>(
    slot: &'a mut Option<Result<T, String>>,
    tree: &mut dyn Tree,
    what: &'static str,
    read: fn(&mut dyn Tree) -> Result<T, ReadError>,
) -> Result<&'a T, ReadError> {
    slot.get_or_insert_with(|| read(tree).map_err(|error| Failure::from(error).to_string()))
        .as_ref()
        .map_err(|reason| ReadError::Unsupported { what, reason: reason.clone() })
}

impl Image<'_> {
    fn packages(&mut self) -> Result<&Database, ReadError> {
        once(&mut self.packages, self.tree, "the installed packages", database)
    }

    fn users(&mut self) -> Result<&[User], ReadError> {
        once(&mut self.users, self.tree, "the users", users).map(Vec::as_slice)
    }

    fn groups(&mut self) -> Result<&[Group], ReadError> {
        once(&mut self.groups, self.tree, "the groups", groups).map(Vec::as_slice)
    }

    fn check(&mut self, check: &Check) -> Found {
        match check {
            Check::Package { name, installed, version } => self.package(name, *installed, version.as_deref()),
            Check::Path(check) => self.path(check),
            Check::Unit { name, exists, state } => {
                let index = once(&mut self.units, self.tree, "the units", |tree| Ok(UnitIndex::read(tree)?))?;
                unit::check(index, self.tree, name, *exists, *state)
            }
            Check::UnitLinks {} => unit::links(self.tree),
            Check::User(check) => self.user(check),
            Check::Group { name, exists, gid } => self.group(name, *exists, *gid),
            Check::IdFree { id } => self.id_free(*id),
            Check::Sudo { who, allowed, password } => self.sudo(who, *allowed, *password),
            Check::Datasources { names } => self.datasources(names),
            Check::Sysctl { key, value } => sysctl::check(self.tree, key, value),
            Check::Config(check) => config::check(self.tree, check),
            Check::WorldWritable { below, except } => self.world_writable(below, except),
            Check::Setuid { allow } => self.setuid(allow),
            Check::Links { below, except } => self.links(below, except),
            Check::SelinuxLabel { path, label } => selinux::check(self.tree, path, label),
            Check::Apparmor(check) => apparmor::check(self.tree, check),
            Check::Listens(_) => Err(unusable("only a running system shows it".to_owned())),
        }
    }

    fn datasources(&mut self, names: &[String]) -> Found {
        let Some(list) = datasource_list(self.tree)? else {
            return Ok(Some("no file sets datasource_list".to_owned()));
        };
        let complete = names.iter().all(|name| list.contains(name));
        Ok((!complete).then(|| format!("[{}]", list.join(", "))))
    }
}

/// What is wrong with one thing, in the words of one sentence.
fn sentence(wrong: &[String]) -> Option<String> {
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// What is wrong with many things: the first of them, and how many more there are.
fn listed(wrong: &[String]) -> Option<String> {
    report::listed(wrong, SHOWN, "; ", "; ")
}

/// Gives a text to every parser that checks use and no other part of tib does, for the fuzzer.
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn parse_text(text: &[u8]) {
    let mut settings = sysctl::Settings::default();
    settings.add("text", text);
    let _ = settings.get("net.ipv4.ip_forward");
    let _ = config::assignments(text);
    let _ = crate::os::cloud_config::datasources(text);
    let text = String::from_utf8_lossy(text);
    let (a, b) = text.split_once('\n').unwrap_or((&text, ""));
    assert_eq!(crate::version::dpkg(a, b), crate::version::dpkg(b, a).reverse());
    assert_eq!(crate::version::rpm(a, b), crate::version::rpm(b, a).reverse());
}

fn unusable(reason: String) -> ReadError {
    ReadError::Unsupported { what: "the check", reason }
}

#[cfg(test)]
mod tests;
