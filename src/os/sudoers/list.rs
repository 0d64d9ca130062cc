//! Lists in sudoers files: names, aliases of names, `!` in front of either.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::parse::AliasKind;
use super::{Located, MAIN, Statement};
use crate::os::ReadError;

/// How many items all lists together may have once their aliases are replaced.
const ITEM_LIMIT: usize = 1 << 20;

/// Everybody, everywhere, every command.
const ALL: &str = "ALL";

/// The aliases of sudoers files.
#[derive(Debug)]
pub(crate) struct Aliases<'a> {
    members: BTreeMap<(AliasKind, &'a str), &'a [String]>,
    left: Cell<usize>,
}

impl<'a> Aliases<'a> {
    pub(crate) fn of(statements: &'a [Located]) -> Self {
        let aliases = statements.iter().filter_map(|located| match &located.statement {
            Statement::Alias { kind, name, members } => Some(((*kind, name.as_str()), members.as_slice())),
            _ => None,
        });
        // sudo drops the second definition of a name.
        let mut members = BTreeMap::new();
        for (name, list) in aliases {
            members.entry(name).or_insert(list);
        }
        Self { members, left: Cell::new(ITEM_LIMIT) }
    }

    /// The items of a list from the last to the first, aliases replaced by their members.
    pub(crate) fn walk<'l>(&'l self, kind: AliasKind, list: &'l [String]) -> Walk<'l> {
        Walk { aliases: &self.members, kind, open: vec![(list.iter().rev(), false)], seen: BTreeSet::new() }
    }

    /// A list without aliases, and without items that a later one makes meaningless.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] if all lists so far have too many items.
    pub(crate) fn list<'l>(&'l self, kind: AliasKind, list: &'l [String]) -> Result<List<'l>, ReadError> {
        let mut items = Vec::new();
        let mut seen = BTreeSet::new();
        for item in self.walk(kind, list) {
            let left = self.left.get().checked_sub(1);
            self.left.set(left.ok_or_else(|| ReadError::malformed(MAIN, "its aliases mean too much"))?);
            if seen.insert(item.name) {
                items.push(item);
            }
            if item.name == ALL {
                break;
            }
        }
        items.reverse();
        Ok(List(items))
    }
}

/// An item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a str,
    /// What it means is excluded.
    pub(crate) denied: bool,
}

impl Item<'_> {
    pub(crate) fn is_all(self) -> bool {
        self.name == ALL
    }
}

/// A list with nothing but names in it, each once, at most the first being `ALL`. The last item that fits counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct List<'a>(Vec<Item<'a>>);

impl<'a> List<'a> {
    /// A list of one name.
    pub(crate) fn one(name: &'a str) -> Self {
        Self(vec![Item { name, denied: false }])
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'a>> {
        self.0.iter().copied()
    }

    /// There is nothing it does not mean.
    pub(crate) fn means_all(&self) -> bool {
        self.0.first().is_some_and(|item| item.is_all()) && self.0.iter().all(|item| !item.denied)
    }

    /// There is something it may mean.
    pub(crate) fn means_any(&self) -> bool {
        self.0.iter().any(|item| !item.denied)
    }

    /// Whether it means what some names fit.
    pub(crate) fn means(&self, fits: impl Fn(&str) -> bool) -> bool {
        let last = self.0.iter().rev().find(|item| item.is_all() || fits(item.name));
        last.is_some_and(|item| !item.denied)
    }
}

/// Goes through a list; see [`Aliases::walk`]. An alias is gone into once: what stands in it is decided by its last
/// occurrence, and circles end.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    aliases: &'a BTreeMap<(AliasKind, &'a str), &'a [String]>,
    kind: AliasKind,
    open: Vec<(std::iter::Rev<std::slice::Iter<'a, String>>, bool)>,
    seen: BTreeSet<&'a str>,
}

impl<'a> Iterator for Walk<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let (list, turned) = self.open.last_mut()?;
            let turned = *turned;
            let Some(text) = list.next() else {
                self.open.pop();
                continue;
            };
            let (name, denied) = sign(text);
            let denied = denied != turned;
            match self.aliases.get(&(self.kind, name)) {
                Some(members) if self.seen.insert(name) => self.open.push((members.iter().rev(), denied)),
                Some(_) => {}
                None => return Some(Item { name, denied }),
            }
        }
    }
}

/// Takes off what turns an item around: an odd number of `!`, which may follow a command's digest.
fn sign(text: &str) -> (&str, bool) {
    let digest = text.starts_with("sha").then(|| text.split_once(char::is_whitespace)).flatten();
    if let Some((digest, command)) = digest
        && digest.contains(':')
        && command.trim_start().starts_with('!')
    {
        return (text, true);
    }
    let is_sign = |c: char| c == '!' || c.is_whitespace();
    let name = text.trim_start_matches(is_sign);
    let signs = text[..text.len() - name.len()].matches('!').count();
    (name.trim_end(), signs % 2 == 1)
}
