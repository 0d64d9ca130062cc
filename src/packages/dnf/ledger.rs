//! What dnf answers compared with what the recipe asks: what contradicts it is an error of the plan.
//!
//! dnf decides without complaint where one stage undoes another, so its answers are looked at here, before anything is built.

use std::collections::BTreeMap;

use super::error::DnfError;
use super::{Needed, PackageSet, Removed, StageRequest, Transaction};
use crate::event::Events;
use crate::recipe::package_name;

/// What all stages so far ask for.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    needed: &'a [Needed],
    /// The image starts with a kernel of its own.
    boots: bool,
    /// Place and version, by the name of the package.
    asked: BTreeMap<&'a str, (String, Option<&'a str>)>,
    /// What is to be removed, and where that is said.
    unwanted: BTreeMap<&'a str, String>,
}

/// The packages with a kernel; of an older system, and of a newer one.
const KERNELS: [&str; 2] = ["kernel", "kernel-core"];

impl<'a> Ledger<'a> {
    pub(crate) fn new(needed: &'a [Needed], boots: bool) -> Self {
        Self { needed, boots, asked: BTreeMap::new(), unwanted: BTreeMap::new() }
    }

    /// Judges what installing the packages of a stage does.
    pub(crate) fn installed(
        &mut self,
        stage: &StageRequest<'a>,
        set: &PackageSet,
        events: &Events,
    ) -> Result<(), DnfError> {
        for text in &stage.install {
            let version = text.split_once('=').map(|(_, version)| version);
            self.asked.insert(package_name(text), (stage.place(package_name(text)), version));
        }
        let Transaction::Rpm(transaction) = &set.transaction else { return Ok(()) };
        for name in &transaction.replaced {
            let doing =
                format!("stage {}: installing its packages removes `{name}`, which they replace", stage.name);
            if let Some(why) = self.reason(name) {
                return Err(contradiction(
                    format!("{doing}, and {why}"),
                    "leave one of the two out: they cannot be in one image".to_owned(),
                ));
            }
            events.note(doing);
        }
        Ok(())
    }

    /// Judges what removing packages of a stage does. `after` are the names that are left.
    pub(crate) fn removed(
        &mut self,
        stage: &StageRequest<'a>,
        removed: &[Removed],
        after: &[(String, String)],
        events: &Events,
    ) -> Result<(), DnfError> {
        self.unwanted.extend(stage.remove.iter().map(|name| (*name, stage.place(name))));
        let names = || stage.remove.join("`, `");
        let is_left = |name: &str| after.binary_search_by(|(known, _)| known.as_str().cmp(name)).is_ok();
        for package in removed {
            let name = package.name.as_str();
            let named = stage.remove.contains(&name);
            let takes = if named {
                format!("{}: removing `{name}`", stage.place(name))
            } else {
                format!("{}: removing `{}` takes `{name}` with it", stage.place(stage.remove[0]), names())
            };
            let kernel =
                self.boots && KERNELS.contains(&name) && !KERNELS.iter().any(|kernel| is_left(kernel));
            let why = match self.reason(name) {
                // Whoever asks for it and removes it in a later stage knows what he does.
                Some(_) if named && !self.is_needed(name) => None,
                why => why,
            };
            let why = why.or_else(|| kernel.then(|| "it is the last kernel of the image".to_owned()));
            if let Some(why) = why {
                let hint =
                    format!("take `{}` out of `remove`", if named { name.to_owned() } else { names() });
                return Err(contradiction(format!("{takes}, and {why}"), hint));
            }
            // What came as a dependency and is not needed any more goes without a word.
            if !named && !package.unneeded {
                events.note(takes);
            }
        }
        Ok(())
    }

    /// Judges what is there after the last stage: names and versions, sorted.
    pub(crate) fn finish(&self, installed: &[(String, String)]) -> Result<(), DnfError> {
        let versions = |name: &str| {
            let name = name.to_owned();
            installed.iter().filter(move |(known, _)| *known == name).map(|(_, version)| version.as_str())
        };
        for (name, place) in &self.unwanted {
            if versions(name).next().is_some() {
                return Err(contradiction(
                    format!("{place}: `{name}` is to be removed, and a later stage installs it again"),
                    format!("take `{name}` out of `remove`, or give that recipe a later stage"),
                ));
            }
        }
        for (name, (place, version)) in &self.asked {
            let Some(wanted) = version else { continue };
            let mut found = versions(name).peekable();
            if let Some(first) = found.peek().copied()
                && !found.any(|found| fits(found, wanted))
            {
                return Err(contradiction(
                    format!(
                        "{place}: `{name}={wanted}` is asked for, and a later stage brings {first} in its place"
                    ),
                    format!("name the version that fits, or leave the version of `{name}` open"),
                ));
            }
        }
        Ok(())
    }

    fn is_needed(&self, name: &str) -> bool {
        name == "rpm" || self.needed.iter().any(|needed| needed.name == name)
    }

    /// Why a package must not go.
    fn reason(&self, name: &str) -> Option<String> {
        if let Some(needed) = self.needed.iter().find(|needed| needed.name == name) {
            return Some(format!("that is what {}", needed.why));
        }
        if name == "rpm" {
            return Some("it is needed to install packages".to_owned());
        }
        self.asked.get(name).map(|(place, _)| format!("{place} installs it"))
    }
}

/// Whether an installed version is the one that is asked for: with or without epoch and release.
fn fits(found: &str, wanted: &str) -> bool {
    let without_epoch = found.split_once(':').map_or(found, |(_, rest)| rest);
    [found, without_epoch].into_iter().any(|version| {
        version == wanted || version.rsplit_once('-').is_some_and(|(version, _)| version == wanted)
    })
}

fn contradiction(summary: String, hint: String) -> DnfError {
    DnfError::Contradiction { summary, details: Vec::new(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_and_without_epoch_and_release() {
        for wanted in ["1:2.0-3", "1:2.0", "2.0-3", "2.0"] {
            assert!(fits("1:2.0-3", wanted), "{wanted}");
        }
        for wanted in ["2", "2.0-", "3", "1", "2:2.0-3"] {
            assert!(!fits("1:2.0-3", wanted), "{wanted}");
        }
    }
}
