//! Whom a list in a sudoers file means.

use std::collections::BTreeMap;

use super::{Located, Statement};
use crate::verify::{Group, User, groups_of};

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

    /// Whether a list means a user. Its last item that fits counts, and `!` in front turns it around. Netgroups
    /// and groups of plugins (`+NAME`, `%:NAME`) are not known at rest and fit nobody.
    pub(in crate::verify) fn mean(&self, list: &[String], user: &User, groups: &[Group]) -> bool {
        self.last(list, user, groups, ALIAS_LIMIT).unwrap_or(false)
    }

    fn last(&self, list: &[String], user: &User, groups: &[Group], depth: usize) -> Option<bool> {
        list.iter().rev().find_map(|item| {
            let name = item.trim_start_matches('!');
            let turned = (item.len() - name.len()) % 2 == 1;
            let found = match self.0.get(name) {
                Some(members) if depth > 0 => self.last(members, user, groups, depth - 1),
                _ => fits(name.trim(), user, groups).then_some(true),
            };
            found.map(|found| found != turned)
        })
    }
}

fn fits(name: &str, user: &User, groups: &[Group]) -> bool {
    if let Some(id) = name.strip_prefix("%#") {
        return id.parse().is_ok_and(|gid: u32| {
            gid == user.gid
                || groups.iter().any(|group| group.gid == gid && group.members.contains(&user.name))
        });
    }
    if let Some(group) = name.strip_prefix('%') {
        return groups_of(user, groups).contains(&group);
    }
    match name.strip_prefix('#') {
        Some(id) => id.parse() == Ok(user.uid),
        None => name == "ALL" || name == user.name,
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
            assert_eq!(aliases.mean(&items, &alice, &groups), for_alice, "alice: {list}");
            assert_eq!(aliases.mean(&items, &bob, &groups), for_bob, "bob: {list}");
        }
    }
}
