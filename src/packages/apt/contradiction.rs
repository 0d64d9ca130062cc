//! What apt answers compared with what the recipe asks: what contradicts it is an error of the plan.
//!
//! Whatever a stage asks for must be there at the end, as asked; what the recipe removes must be gone; and
//! nothing may go that every system or the image's purpose needs. apt decides all of this without complaint
//! where one stage undoes another, so the answer is looked at here, before anything is built.

use std::collections::{BTreeMap, HashSet};

use super::error::{AptError, Contradiction};
use super::relation::{Relations, sentence};
use super::status::{Status, field};
use super::{Needed, StageRequest};
use crate::event::Events;
use crate::recipe::package_name;

/// What all stages so far ask for.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    needed: &'a [Needed],
    /// The image starts with a kernel of its own.
    boots: bool,
    /// By the name of the package.
    asked: BTreeMap<String, Asked<'a>>,
    /// What is to be removed, and where that is said.
    unwanted: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Asked<'a> {
    /// Where it is said.
    place: String,
    /// The version, if the recipe names one.
    version: Option<&'a str>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(needed: &'a [Needed], boots: bool) -> Self {
        Self { needed, boots, asked: BTreeMap::new(), unwanted: BTreeMap::new() }
    }

    /// Judges what installing the packages of a stage did. `chosen` has the package for each name.
    pub(crate) fn installed(
        &mut self,
        stage: &StageRequest<'a>,
        chosen: &[(&'a str, String)],
        before: &Status,
        after: &Status,
        events: &Events,
    ) -> Result<(), AptError> {
        for (text, package) in chosen {
            let (name, version) = text.split_once('=').map_or((*text, None), |(n, v)| (n, Some(v)));
            let place = stage.place(name);
            if name.split(':').next() != package.split(':').next() {
                return Err(contradiction(
                    format!("{place}: `{name}` is not a package, only a name that `{package}` provides"),
                    Vec::new(),
                    format!("write `{package}`, which is what apt takes for it"),
                ));
            }
            self.asked.insert(package.clone(), Asked { place, version });
        }
        let (was, is) = (before.installed(), after.installed());
        let relations = Relations::of(&[before, after]);
        let changed: HashSet<String> =
            is.iter().filter(|name| version(before, name) != version(after, name)).cloned().collect();
        let cause = |name: &str| {
            let rival = relations.rival(name, sorted(&changed).into_iter());
            let root = rival.and_then(|rival| on_account_of(stage, &relations, rival, &changed));
            Cause {
                act: Act::Install,
                names: root.map_or_else(
                    || stage.install.iter().map(|n| package_name(n).to_owned()).collect(),
                    |r| vec![r],
                ),
                why: rival.map(|rival| format!("{rival} and {name} exclude each other")),
            }
        };
        let lost: HashSet<String> = was.difference(&is).cloned().collect();
        self.judge_lost(stage, &lost, &HashSet::new(), before, after, cause)?;
        for name in sorted(&lost) {
            events.note(cause(name).note(stage, name));
        }
        self.judge_versions(stage, &relations, &changed, after)
    }

    /// Judges what removing packages of a stage did.
    pub(crate) fn removed(
        &mut self,
        stage: &StageRequest<'a>,
        before: &Status,
        after: &Status,
        events: &Events,
    ) -> Result<(), AptError> {
        for name in &stage.remove {
            self.unwanted.insert((*name).to_owned(), stage.place(name));
        }
        let (was, is) = (before.installed(), after.installed());
        let lost: HashSet<String> = was.difference(&is).cloned().collect();
        let named: HashSet<&str> = stage.remove.iter().copied().filter(|name| lost.contains(*name)).collect();
        let relations = Relations::of(&[before]);
        let cause = |name: &str| {
            let chain = relations.chain(name, &named, Some(&lost));
            let root = chain.as_ref().and_then(|chain| chain.last().cloned());
            let itself = named.contains(name).then(|| name.to_owned());
            Cause {
                act: Act::Remove,
                names: itself
                    .or(root)
                    .map_or_else(|| stage.remove.iter().map(|&n| n.to_owned()).collect(), |r| vec![r]),
                why: chain.map(|chain| sentence(&chain)),
            }
        };
        self.judge_lost(stage, &lost, &named, before, after, cause)?;
        for name in sorted(&lost) {
            let cause = cause(name);
            // What came as a dependency and is not needed any more goes without a word.
            if !named.contains(name.as_str()) && cause.why.is_some() {
                events.note(cause.note(stage, name));
            }
        }
        Ok(())
    }

    /// Judges what is there after the last stage.
    pub(crate) fn finish(&self, after: &Status) -> Result<(), AptError> {
        let relations = Relations::of(&[after]);
        for (name, place) in &self.unwanted {
            if after.installed_stanza(name).is_none() {
                continue;
            }
            let goal = HashSet::from([name.as_str()]);
            let chain = self.asked.iter().find_map(|(asked, said)| {
                let chain = relations.chain(asked, &goal, None)?;
                Some((asked, said, sentence(&chain)))
            });
            return Err(match chain {
                Some((asked, said, why)) => contradiction(
                    format!(
                        "{place}: `{name}` is to be removed, and `{asked}` needs it, which {} installs",
                        said.place
                    ),
                    vec![why],
                    keep_or_drop(name, asked),
                ),
                None => contradiction(
                    format!("{place}: `{name}` is to be removed, and a later stage installs it again"),
                    Vec::new(),
                    format!("take `{name}` out of `remove`, or give that recipe a later stage"),
                ),
            });
        }
        Ok(())
    }

    /// Refuses the loss of what is asked for or needed. `named` are packages that the recipe removes by name.
    fn judge_lost(
        &self,
        stage: &StageRequest<'_>,
        lost: &HashSet<String>,
        named: &HashSet<&str>,
        before: &Status,
        after: &Status,
        cause: impl Fn(&str) -> Cause,
    ) -> Result<(), AptError> {
        let held = before.held();
        let reason = |name: &str| {
            if let (Some(asked), false) = (self.asked.get(name), named.contains(name)) {
                return Some(format!("which {} installs", asked.place));
            }
            if let Some(needed) = self.needed.iter().find(|needed| needed.name == name) {
                return Some(format!("which {}", needed.why));
            }
            if let Some(why) = vital(before, after, name, self.boots) {
                return Some(format!("which {why}"));
            }
            (held.contains(name) && !named.contains(name)).then(|| "which the base has on hold".to_owned())
        };
        let mut faults: Vec<_> =
            sorted(lost).into_iter().filter_map(|name| Some((name.as_str(), reason(name)?))).collect();
        // What the recipe asks for says more than what goes with it.
        faults.sort_by_key(|(name, _)| !self.asked.contains_key(*name));
        let Some((first, why)) = faults.first() else { return Ok(()) };
        let blamed = cause(first);
        let mut details: Vec<String> = blamed.why.clone().into_iter().collect();
        for (name, why) in faults.iter().skip(1) {
            let chain = cause(name).why.map(|chain| format!(" ({chain})")).unwrap_or_default();
            details.push(format!("the same goes for `{name}`, {why}{chain}"));
        }
        let hint = match (blamed.act, blamed.names.first(), self.asked.contains_key(*first)) {
            (Act::Remove, Some(root), true) => keep_or_drop(root, first),
            (Act::Remove, Some(root), false) => format!("take `{root}` out of `remove`"),
            (_, _, true) => "leave one of the two out: they cannot be in one image".to_owned(),
            (_, _, false) => "leave out what removes it, or begin with another base".to_owned(),
        };
        let itself = named.contains(first);
        let takes = if itself { String::new() } else { format!(" {}", blamed.act.takes(first)) };
        Err(contradiction(format!("{}{takes}, {why}", blamed.text(stage)), details, hint))
    }

    /// Whether every version that the recipe names is the one that is there.
    fn judge_versions(
        &self,
        stage: &StageRequest<'_>,
        relations: &Relations<'_>,
        changed: &HashSet<String>,
        after: &Status,
    ) -> Result<(), AptError> {
        for (name, asked) in &self.asked {
            let (Some(wanted), Some(found)) = (asked.version, version(after, name)) else { continue };
            if wanted == found {
                continue;
            }
            let goal = HashSet::from([name.as_str()]);
            let chain = sorted(changed).into_iter().find_map(|name| relations.chain(name, &goal, None));
            return Err(contradiction(
                format!(
                    "{}: `{name}={wanted}` is asked for, and stage {} brings {found} in its place",
                    asked.place, stage.name
                ),
                chain.iter().map(|chain| sentence(chain)).collect(),
                format!("name the version that fits, or leave the version of `{name}` open"),
            ));
        }
        Ok(())
    }
}

/// What a stage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Install,
    Remove,
}

impl Act {
    fn takes(self, name: &str) -> String {
        match self {
            Self::Install => format!("removes `{name}`"),
            Self::Remove => format!("takes `{name}` with it"),
        }
    }
}

/// What of a stage made a package go.
#[derive(Debug)]
struct Cause {
    act: Act,
    /// What is installed or removed: one name if it is known which, else all of the stage.
    names: Vec<String>,
    /// How that leads to the loss.
    why: Option<String>,
}

impl Cause {
    /// `mydb.toml:7: removing `rsync``
    fn text(&self, stage: &StageRequest<'_>) -> String {
        let place = self.names.first().map_or_else(String::new, |name| stage.place(name));
        let act = match self.act {
            Act::Install => "installing",
            Act::Remove => "removing",
        };
        format!("{place}: {act} `{}`", self.names.join("`, `"))
    }

    fn note(&self, stage: &StageRequest<'_>, lost: &str) -> String {
        let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} {}{why}", self.text(stage), self.act.takes(lost))
    }
}

/// The package of a stage on whose account `name` is installed.
fn on_account_of(
    stage: &StageRequest<'_>,
    relations: &Relations<'_>,
    name: &str,
    changed: &HashSet<String>,
) -> Option<String> {
    let goal = HashSet::from([name]);
    let mut asked = stage.install.iter().map(|text| package_name(text));
    asked
        .find(|asked| *asked == name || relations.chain(asked, &goal, Some(changed)).is_some())
        .map(str::to_owned)
}

/// Why no system does without a package. `boots`: nobody gives it a kernel.
fn vital(before: &Status, after: &Status, name: &str, boots: bool) -> Option<&'static str> {
    let stanza = before.installed_stanza(name)?;
    let yes = |key| field(stanza, key).is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    let kernel = |name: &String| name.starts_with("linux-image-");
    if yes("Essential") {
        Some("is essential: no system works without it")
    } else if yes("Protected") || yes("Important") {
        Some("is protected: no system boots without it")
    } else if ["apt", "dpkg"].contains(&name) {
        Some("is needed to install packages")
    } else if boots && kernel(&name.to_owned()) && !after.installed().iter().any(kernel) {
        Some("is the last kernel of the image")
    } else {
        None
    }
}

fn version<'s>(status: &'s Status, name: &str) -> Option<&'s str> {
    field(status.installed_stanza(name)?, "Version")
}

fn sorted(names: &HashSet<String>) -> Vec<&String> {
    let mut names: Vec<_> = names.iter().collect();
    names.sort_unstable();
    names
}

fn keep_or_drop(removed: &str, asked: &str) -> String {
    format!("take `{removed}` out of `remove`, or do without `{asked}`")
}

fn contradiction(summary: String, details: Vec<String>, hint: String) -> AptError {
    AptError::Contradiction(Box::new(Contradiction { summary, details, hint }))
}
