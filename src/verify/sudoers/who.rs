//! Whom a list in a sudoers file means.

use std::collections::BTreeMap;

use super::{Located, Statement};
use crate::verify::{Group, User, groups_of};

/// Somebody sudo may know: the names that stand for them in rules.
#[derive(Debug)]
pub(in crate::verify) struct Subject(Vec<String>);

impl Subject {
    /// A user, who counts with all groups.
    pub(in crate::verify) fn user(user: &User, groups: &[Group]) -> Self {
        let mut names = vec![user.name.clone(), format!("#{}", user.uid), format!("%#{}", user.gid), ALL.to_owned()];
        let of = groups_of(user, groups);
        names.extend(of.iter().map(|name| format!("%{name}")));
        let ids = groups.iter().filter(|group| of.contains(&group.name.as_str()));
        names.extend(ids.map(|group| format!("%#{}", group.gid)));
        Self(names)
    }

    /// Whoever is in a group.
    pub(in crate::verify) fn group(group: &Group) -> Self {
        Self(vec![format!("%{}", group.name), format!("%#{}", group.gid), ALL.to_owned()])
    }
}

const ALL: &str = "ALL";

/// How often an alias may lead to another.
const ALIAS_LIMIT: usize = 16;

/// The aliases of users in sudoers files.
#[derive(Debug, Default)]
pub(in crate::verify) struct Aliases<'a>(BTreeMap<&'a str, &'a [String]>);

impl<'a> Aliases<'a> {
    pub(in crate::verify) fn of(statements: &'a [Located]) -> Self {
        let aliases = statements.iter().filter_map(|located| match &located.statement {
            Statement::UserAlias { name, members } => Some((name.as_str(), members.as_slice())),
            _ => None,
        });
        Self(aliases.collect())
    }

    /// Whether a list means somebody. Its last item that fits counts, and `!` in front turns it around. Netgroups
    /// and groups of plugins (`+NAME`, `%:NAME`) are not known at rest and fit nobody.
    pub(in crate::verify) fn mean(&self, list: &[String], subject: &Subject) -> bool {
        self.last(list, subject, ALIAS_LIMIT).unwrap_or(false)
    }

    fn last(&self, list: &[String], subject: &Subject, depth: usize) -> Option<bool> {
        list.iter().rev().find_map(|item| {
            let name = item.trim_start_matches('!');
            let turned = (item.len() - name.len()) % 2 == 1;
            let found = match self.0.get(name) {
                Some(members) if depth > 0 => self.last(members, subject, depth - 1),
                _ => subject.0.iter().any(|known| known == name.trim()).then_some(true),
            };
            found.map(|found| found != turned)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::verify::testing::MemTree;

    #[test]
    fn lists_mean_people() {
        let sudoers = "User_Alias A = alice, %ops : B = A, !bob : LOOP = LOOP\n";
        let statements = read(&mut MemTree::new().file("/etc/sudoers", sudoers)).unwrap();
        let aliases = Aliases::of(&statements);
        let user = |name: &str, uid, gid| User {
            name: name.to_owned(),
            uid,
            gid,
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        let groups = [
            Group { name: "ops".to_owned(), gid: 7, members: vec!["bob".to_owned()] },
            Group { name: "staff".to_owned(), gid: 8, members: vec![] },
        ];
        let (alice, bob) = (user("alice", 1000, 8), user("bob", 1001, 8));
        for (list, for_alice, for_bob) in [
            ("alice", true, false),
            ("ALL", true, true),
            ("ALL,!bob", true, false),
            ("!bob,ALL", true, true),
            ("A", true, true),
            ("B", true, false),
            ("!A", false, false),
            ("ALL,!A", false, false),
            ("LOOP", false, false),
            ("%ops", false, true),
            ("%staff", true, true),
            ("%#7", false, true),
            ("#1000", true, false),
            ("#x", false, false),
            ("+net", false, false),
            ("", false, false),
        ] {
            let items: Vec<_> = list.split(',').map(str::to_owned).collect();
            assert_eq!(aliases.mean(&items, &Subject::user(&alice, &groups)), for_alice, "alice: {list}");
            assert_eq!(aliases.mean(&items, &Subject::user(&bob, &groups)), for_bob, "bob: {list}");
        }
    }
}
