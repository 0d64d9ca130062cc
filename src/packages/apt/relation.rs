//! What packages say of each other, for explaining apt's decisions: apt says what it does and not why.

use std::collections::{HashMap, HashSet, VecDeque};

use super::status::{Status, field};
use crate::version::dpkg;

/// Installed packages, and who needs whom.
#[derive(Debug)]
pub(crate) struct Relations<'a> {
    /// Stanzas by the name apt uses.
    stanzas: HashMap<String, &'a str>,
    /// Who provides a name, besides the package of that name.
    providers: HashMap<&'a str, Vec<String>>,
}

impl<'a> Relations<'a> {
    /// Of what is installed in one of these databases; of a package in several, the last one counts.
    pub(crate) fn of(all: &[&'a Status]) -> Self {
        let mut relations = Self { stanzas: HashMap::new(), providers: HashMap::new() };
        for status in all {
            relations.stanzas.extend(status.installed_stanzas().map(|stanza| (status.name(stanza), stanza)));
        }
        for (name, stanza) in &relations.stanzas {
            for provided in entries(field(stanza, "Provides").unwrap_or_default()).flatten() {
                relations.providers.entry(provided.name).or_default().push(name.clone());
            }
        }
        relations.providers.values_mut().for_each(|names| names.sort_unstable());
        relations
    }

    /// How `from` comes to need one of `goals`: a chain of packages, each of which depends on the next. Only
    /// packages in `among` are looked at, if that is given.
    pub(crate) fn chain(
        &self,
        from: &str,
        goals: &HashSet<&str>,
        among: Option<&HashSet<String>>,
    ) -> Option<Vec<String>> {
        let mut came_from: HashMap<String, String> = HashMap::new();
        let mut queue = VecDeque::from([from.to_owned()]);
        while let Some(name) = queue.pop_front() {
            if name != from && goals.contains(name.as_str()) {
                let mut chain = vec![name];
                while let Some(before) = chain.last().and_then(|last| came_from.get(last)) {
                    chain.push(before.clone());
                }
                chain.reverse();
                return Some(chain);
            }
            for needed in self.needs(&name) {
                let counts = among.is_none_or(|among| among.contains(&needed));
                if counts && needed != from && !came_from.contains_key(&needed) {
                    came_from.insert(needed.clone(), name.clone());
                    queue.push_back(needed);
                }
            }
        }
        None
    }

    /// Which of `names` excludes `name`, or is excluded by it.
    pub(crate) fn rival<'n>(
        &self,
        name: &str,
        names: impl Iterator<Item = &'n String>,
    ) -> Option<&'n String> {
        names.into_iter().find(|other| self.excludes(other, name) || self.excludes(name, other))
    }

    fn excludes(&self, one: &str, other: &str) -> bool {
        let (Some(stanza), Some(there)) = (self.stanzas.get(one), self.stanzas.get(other)) else {
            return false;
        };
        let version = field(there, "Version").unwrap_or_default();
        // What is provided without a version is not meant where versions are.
        let provided = || entries(field(there, "Provides").unwrap_or_default()).flatten();
        ["Conflicts", "Breaks"].iter().filter_map(|name| field(stanza, name)).flat_map(entries).flatten().any(
            |excluded| {
                (excluded.name == bare_of(other) && excluded.admits(version))
                    || provided().any(|provided| {
                        excluded.name == provided.name
                            && match provided.bound {
                                Some((_, version)) => excluded.admits(version),
                                None => excluded.bound.is_none(),
                            }
                    })
            },
        )
    }

    /// The installed packages that `name` needs, by itself or through what they provide.
    fn needs(&self, name: &str) -> Vec<String> {
        let Some(stanza) = self.stanzas.get(name) else { return Vec::new() };
        let fields = ["Pre-Depends", "Depends"].into_iter().filter_map(|name| field(stanza, name));
        let mut needed = Vec::new();
        for wanted in fields.flat_map(entries).flatten() {
            if self.stanzas.contains_key(wanted.name) {
                needed.push(wanted.name.to_owned());
            }
            needed.extend(self.providers.get(wanted.name).into_iter().flatten().cloned());
        }
        needed
    }
}

/// One entry of a field such as `Depends`: `name:any (>= 2) [amd64]`.
#[derive(Debug, Clone, Copy)]
struct Relation<'a> {
    name: &'a str,
    /// Sign and version.
    bound: Option<(&'a str, &'a str)>,
}

impl<'a> Relation<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let name = text.split([' ', '(', '[', ':']).next().filter(|name| !name.is_empty())?;
        let inner =
            text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner.trim());
        let bound = inner.map(|inner| {
            let version = inner.trim_start_matches(['<', '=', '>']);
            (&inner[..inner.len() - version.len()], version.trim())
        });
        Some(Self { name, bound })
    }

    /// Whether a version is within the bound.
    fn admits(self, version: &str) -> bool {
        let Some((sign, bound)) = self.bound else { return true };
        let ordering = dpkg(version, bound);
        match sign {
            "<<" => ordering.is_lt(),
            // As dpkg has it, the single signs of old include the version itself.
            "<=" | "<" => ordering.is_le(),
            ">=" | ">" => ordering.is_ge(),
            ">>" => ordering.is_gt(),
            _ => ordering.is_eq(),
        }
    }
}

/// What a field such as `Depends` lists: groups of alternatives.
fn entries(value: &str) -> impl Iterator<Item = impl Iterator<Item = Relation<'_>>> {
    value.split(',').map(|group| group.split('|').filter_map(Relation::parse))
}

/// A package's name without its architecture.
fn bare_of(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// `a depends on b, which depends on c`
pub(crate) fn sentence(chain: &[String]) -> String {
    let mut links = chain.windows(2);
    let first = links.next().map(|pair| format!("{} depends on {}", pair[0], pair[1])).unwrap_or_default();
    links.fold(first, |text, pair| format!("{text}, which depends on {}", pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_follow_alternatives_and_what_is_provided() {
        let package = |name: &str, fields: &str| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n{fields}\n"
            )
        };
        let text = [
            package("app", "Pre-Depends: lib (>= 2) | absent\nDepends: mail-agent, app\n"),
            package("lib", "Depends: base:any\n"),
            package("mta", "Provides: mail-agent (= 1), smtpd\nConflicts: smtpd\n"),
            package("other", "Provides: smtpd\n"),
            package("base", ""),
        ]
        .concat();
        let status = Status::parse(&text, "", "amd64");
        let relations = Relations::of(&[&status]);
        let chain = |from: &str, to: &str| {
            relations.chain(from, &HashSet::from([to]), None).map(|chain| sentence(&chain))
        };
        assert_eq!(chain("app", "base").as_deref(), Some("app depends on lib, which depends on base"));
        assert_eq!(chain("app", "mta").as_deref(), Some("app depends on mta"));
        assert_eq!(chain("base", "app"), None);
        assert_eq!(chain("app", "app"), None, "what depends on itself needs nobody");
        let few = HashSet::from(["base".to_owned()]);
        assert_eq!(relations.chain("app", &HashSet::from(["base"]), Some(&few)), None);
        let names = ["base".to_owned(), "other".to_owned()];
        assert_eq!(relations.rival("mta", names.iter()).map(String::as_str), Some("other"));
        assert_eq!(relations.rival("base", names.iter()), None);
    }

    #[test]
    fn packages_exclude_the_versions_that_they_name() {
        let package = |name: &str, version: &str, fields: &str| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n{fields}\n"
            )
        };
        for (excludes, version, provides, expected) in [
            ("Breaks: foo", "5", "", true),
            ("Breaks: foo (<< 2)", "5", "", false),
            ("Breaks: foo (<< 2)", "2~rc1-1", "", true),
            ("Conflicts: foo(<<2)", "2", "", false),
            ("Conflicts: other, foo (<= 1:2)", "5", "", true),
            ("Conflicts: other, foo (<= 5)", "1:2", "", false),
            ("Conflicts: foo (= 5)", "5", "", true),
            ("Conflicts: foo (= 5)", "5-1", "", false),
            ("Conflicts: foo (>= 5)", "4.9", "", false),
            ("Conflicts: foo (>> 5)", "5", "", false),
            ("Conflicts: foo (>> 5)", "5+b1", "", true),
            ("Breaks: foo:any (<< 2) [amd64]", "1", "", true),
            // As ever, the old signs include the version itself.
            ("Breaks: foo (< 2)", "2", "", true),
            ("Breaks: foo (> 2)", "2", "", true),
            ("Conflicts: virtual", "1", "Provides: virtual", true),
            ("Conflicts: virtual (<< 3)", "1", "Provides: virtual", false),
            ("Conflicts: virtual (<< 3)", "1", "Provides: virtual (= 2)", true),
            ("Conflicts: virtual (<< 3)", "1", "Provides: virtual (= 4)", false),
        ] {
            let text = package("one", "1", excludes) + "\n" + &package("foo", version, provides);
            let status = Status::parse(&text, "", "amd64");
            let relations = Relations::of(&[&status]);
            let rival = relations.rival("foo", ["one".to_owned()].iter()).is_some();
            assert_eq!(rival, expected, "{excludes} and foo {version} {provides}");
        }
    }
}
