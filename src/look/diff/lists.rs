//! Two lists of names with something to say of each.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::os::files::escape;

/// What differs between two lists. Sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lists {
    /// Only in the new one.
    pub added: Vec<Item>,
    /// Only in the old one.
    pub removed: Vec<Item>,
    /// In both, with something else to say.
    pub changed: Vec<Changed>,
}

/// A name, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Item {
    /// The name.
    pub name: String,
    /// What is said of it: a version, a state, ids.
    pub value: String,
}

/// A name, and what was and is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Changed {
    /// The name.
    pub name: String,
    /// What is said in the old list.
    pub old: String,
    /// What is said in the new one.
    pub new: String,
}

impl Lists {
    /// Compares. A name that is in a list several times has all its values taken together.
    pub(crate) fn compare(old: Vec<(String, String)>, new: Vec<(String, String)>) -> Self {
        let mut old = by_name(old);
        let mut lists = Self::default();
        for (name, new) in by_name(new) {
            match old.remove(&name) {
                None => lists.added.push(Item { name, value: new }),
                Some(old) if old != new => lists.changed.push(Changed { name, old, new }),
                Some(_) => {}
            }
        }
        lists.removed = old.into_iter().map(|(name, value)| Item { name, value }).collect();
        lists
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

fn by_name(list: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in list {
        let all = names.entry(escape(&name)).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(&escape(&value));
    }
    names
}
