//! The sealing gate: nothing of the build, and no identity, may be left in an image.

mod find;
mod rules;

use crate::disk::Tree;
use crate::distro::Family;
use crate::os::ReadError;
use crate::os::files::{glob, show};
use crate::recipe::IdentityRule;
use crate::report::{self, CheckGroup, CheckResult};

/// Stands in every file that exists only while an image is built (proxy settings, scaffolding). The gate fails
/// when a configuration file of the package managers still holds it.
pub const BUILD_MARKER: &str = "tib: build only";

/// Leftovers named in a result; the rest is counted.
const SHOWN: usize = 5;

/// Looks for everything that must not be left in an image of this family, and what `identities` of its recipe add to that. One
/// result for each kind of leftover.
pub fn sealing(tree: &mut dyn Tree, family: Family, identities: &[IdentityRule]) -> Vec<CheckResult> {
    let always = rules::RULES
        .iter()
        .filter(|rule| rule.families.is_empty() || rule.families.contains(&family))
        .map(|rule| {
            let found = rule.search.run(tree).map(|paths| summary(&paths));
            CheckResult::new(CheckGroup::Sealing, rule.title, found).why(rule.why).fix(rule.fix)
        })
        .collect::<Vec<_>>();
    let of_recipe = identities.iter().map(|rule| identity(tree, rule));
    always.into_iter().chain(of_recipe).collect()
}

/// What the recipe says is one instance's. Anything counts, also an empty file: there may be programs for which it is one.
fn identity(tree: &mut dyn Tree, rule: &IdentityRule) -> CheckResult {
    let found = glob(tree, rule.path.as_bytes()).map(|paths| summary(&paths)).map_err(ReadError::from);
    CheckResult::new(CheckGroup::Sealing, format!("{} is taken out ({})", rule.what, rule.path), found)
        .why("instances would share it, as the recipe says")
        .fix(&format!("remove it; {}", rule.renewed))
}

fn summary(found: &[Vec<u8>]) -> Option<String> {
    let paths: Vec<_> = found.iter().map(|path| show(path)).collect();
    report::listed(&paths, SHOWN, ", ", " ")
}

/// A kind of leftover.
struct Rule {
    /// `no SSH host keys`.
    title: &'static str,
    /// Families it makes sense for; empty for all.
    families: &'static [Family],
    search: Search,
    why: &'static str,
    fix: &'static str,
}

/// The paths of leftovers.
type Leftovers = Result<Vec<Vec<u8>>, ReadError>;

/// How leftovers are found. Patterns are those of [`glob`](crate::os::files::glob).
enum Search {
    /// Anything at all at these patterns.
    Any(&'static [&'static str]),
    /// Regular files with content at these patterns.
    Content(&'static [&'static str]),
    /// Regular files with content at these patterns in the home of every user.
    Homes(&'static [&'static str]),
    /// Something that needs a look inside.
    Inside(fn(&mut dyn Tree) -> Leftovers),
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
