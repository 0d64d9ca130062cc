//! What differs between two images: what a person would ask first (packages, units, users), then every file.

mod files;
mod lists;
mod patch;
mod report;
mod unified;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::Tree;
use crate::error::{Exit, Failure};
use crate::look::LookError;
use crate::os::files::escape;
use crate::os::{UnitIndex, groups, groups_of, packages, units, users};

pub use files::{FileChange, FileState, Files};
pub use lists::{Changed, Item, Lists};
pub use patch::patches;
pub use report::Style;

/// Version of the JSON form: it grows when something is taken away or changes its meaning.
pub const VERSION: u32 = 1;

/// What differs between two images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "What `tib diff --json` prints")]
pub struct Diff {
    /// Version of this form; it grows when something is taken away or changes its meaning.
    pub version: u32,
    /// The image compared with.
    pub old: String,
    /// The image looked at.
    pub new: String,
    /// Whether nothing that was compared differs.
    pub same: bool,
    /// The operating system's name for itself. Where only some paths were compared, this and the next four are absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Compared<Lists>>,
    /// Installed packages, by version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Compared<Lists>>,
    /// systemd units, by their state at boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Compared<Lists>>,
    /// Users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Compared<Lists>>,
    /// Groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Compared<Lists>>,
    /// Files of every kind.
    pub files: Files,
}

/// A comparison, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Compared{T}")]
pub enum Compared<T> {
    /// What was found.
    Done(T),
    /// One of the images could not be read.
    Failed {
        /// Why.
        unreadable: String,
    },
}

impl Compared<Lists> {
    fn same(&self) -> bool {
        matches!(self, Self::Done(lists) if lists.is_empty())
    }
}

/// An image to compare: its name for people, and what is in it.
pub struct Side<'a> {
    /// The file.
    pub name: String,
    /// What is in it.
    pub tree: &'a mut dyn Tree,
}

impl std::fmt::Debug for Side<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Side").field(&self.name).finish()
    }
}

/// Compares two images; only files at or below `paths`, if there are any.
///
/// A list that one image does not give is told as such, and the others are compared all the same.
///
/// # Errors
/// [`LookError::Read`] when the files of an image cannot be read, or when one of `paths` is in neither.
pub fn diff(old: &mut Side<'_>, new: &mut Side<'_>, paths: &[Vec<u8>]) -> Result<Diff, LookError> {
    let files = files::compare(old.tree, new.tree, paths)?;
    let mut lists = |read| paths.is_empty().then(|| lists(old, new, read));
    let mut found = Diff {
        version: VERSION,
        system: lists(system),
        packages: lists(package_list),
        units: lists(unit_list),
        users: lists(user_list),
        groups: lists(group_list),
        files,
        same: false,
        old: old.name.clone(),
        new: new.name.clone(),
    };
    found.same = found.files.changes.is_empty() && found.lists().all(|(_, list)| list.same());
    Ok(found)
}

impl Diff {
    /// The lists that were compared, each with its title.
    fn lists(&self) -> impl Iterator<Item = (&'static str, &Compared<Lists>)> {
        let lists = [
            ("System", &self.system),
            ("Packages", &self.packages),
            ("Units", &self.units),
            ("Users", &self.users),
            ("Groups", &self.groups),
        ];
        lists.into_iter().filter_map(|(title, list)| Some((title, list.as_ref()?)))
    }

    /// How a comparison ends where differences are failures: with [`Exit::Checks`], as does one that was not complete
    /// in any case.
    pub fn exit(&self, strict: bool) -> Exit {
        let is_complete = self.lists().all(|(_, list)| matches!(list, Compared::Done(_)));
        if is_complete && (self.same || !strict) { Exit::Done } else { Exit::Checks }
    }
}

/// Names and what is to be told of each.
type Facts = Result<Vec<(String, String)>, LookError>;

fn lists(old: &mut Side<'_>, new: &mut Side<'_>, read: fn(&mut dyn Tree) -> Facts) -> Compared<Lists> {
    let side = |side: &mut Side<'_>| {
        read(side.tree)
            .map_err(|error| format!("{}: {}", side.name, escape(&Failure::from(error).to_string())))
    };
    match side(old).and_then(|old| Ok((old, side(new)?))) {
        Ok((old, new)) => Compared::Done(Lists::compare(old, new)),
        Err(unreadable) => Compared::Failed { unreadable },
    }
}

fn system(tree: &mut dyn Tree) -> Facts {
    let text = crate::os::files::read_optional(tree, b"/etc/os-release")?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let field = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        (key.to_owned(), line.unwrap_or_default().trim_matches('"').to_owned())
    };
    Ok(["ID", "VERSION_ID", "PRETTY_NAME"].map(field).into())
}

fn package_list(tree: &mut dyn Tree) -> Facts {
    let packages = packages(tree)?;
    let mut counted = BTreeMap::new();
    for package in &packages {
        *counted.entry(package.name.as_str()).or_insert(0) += 1;
    }
    Ok(packages
        .iter()
        .map(|package| {
            let name = match counted.get(package.name.as_str()) {
                Some(1) => package.name.clone(),
                // Installed for several architectures, or in several versions.
                _ => format!("{}:{}", package.name, package.arch),
            };
            (name, package.version.clone())
        })
        .collect())
}

fn unit_list(tree: &mut dyn Tree) -> Facts {
    let index = UnitIndex::read(tree)?;
    Ok(units(tree, &index)?.into_iter().map(|unit| (unit.name, unit.state)).collect())
}

fn user_list(tree: &mut dyn Tree) -> Facts {
    let groups = groups(tree)?;
    let describe = |user: &crate::os::User| {
        let groups = groups_of(user, &groups).join(",");
        format!("uid {}, groups {groups}, {}, {}", user.uid, user.home, user.shell)
    };
    Ok(users(tree)?.iter().map(|user| (user.name.clone(), describe(user))).collect())
}

fn group_list(tree: &mut dyn Tree) -> Facts {
    let describe = |group: &crate::os::Group| format!("gid {} ({})", group.gid, group.members.join(","));
    Ok(groups(tree)?.iter().map(|group| (group.name.clone(), describe(group))).collect())
}

#[cfg(test)]
mod tests;
