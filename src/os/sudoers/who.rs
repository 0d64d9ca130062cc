//! Whom a list in a sudoers file means.

use std::collections::BTreeMap;

use super::list::Aliases;
use super::parse::AliasKind;
use crate::os::{Group, User};

/// Somebody, with the groups he is in, the primary one first.
#[derive(Debug)]
pub(crate) struct Person<'a> {
    pub(crate) user: &'a User,
    pub(crate) groups: Vec<&'a Group>,
}

impl<'a> Person<'a> {
    /// Everybody. The groups are looked through once for all, not once for each.
    pub(crate) fn all(users: &'a [User], groups: &'a [Group]) -> Vec<Self> {
        let (mut by_id, mut by_member) = (BTreeMap::<u32, Vec<_>>::new(), BTreeMap::<&str, Vec<_>>::new());
        for group in groups {
            by_id.entry(group.gid).or_default().push(group);
            for member in &group.members {
                by_member.entry(member.as_str()).or_default().push(group);
            }
        }
        let person = |user: &'a User| {
            let mut groups: Vec<&Group> = by_id.get(&user.gid).cloned().unwrap_or_default();
            let further = by_member.get(user.name.as_str()).into_iter().flatten().copied();
            groups.extend(further.filter(|group| group.gid != user.gid));
            groups.dedup_by_key(|group| &group.name);
            Self { user, groups }
        };
        users.iter().map(person).collect()
    }

    /// Whoever is in a group; `user` stands for them, and no rule names it.
    pub(crate) fn member(user: &'a User, group: &'a Group) -> Self {
        Self { user, groups: vec![group] }
    }

    /// Whether a name in a run-as list means root.
    pub(crate) fn is_root(name: &str) -> bool {
        matches!(name, "root" | "#0" | "%root" | "%#0")
    }

    /// Whether they are in a group.
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|other| other.name.eq_ignore_ascii_case(group))
    }

    fn is(&self, name: &str) -> bool {
        if let Some(id) = name.strip_prefix("%#") {
            return id
                .parse()
                .is_ok_and(|id: u32| id == self.user.gid || self.groups.iter().any(|group| group.gid == id));
        }
        if let Some(name) = name.strip_prefix('%') {
            return self.is_in(name);
        }
        match name.strip_prefix('#') {
            Some(id) => id.parse() == Ok(self.user.uid),
            // As `case_insensitive_user` and `case_insensitive_group` have it, which nobody turns off.
            None => name == "ALL" || name.eq_ignore_ascii_case(&self.user.name),
        }
    }
}

impl Aliases<'_> {
    /// Whether a list means somebody. Its last item that fits counts, and `!` in front turns it around. Netgroups
    /// and groups of plugins (`+NAME`, `%:NAME`) are not known at rest and fit nobody.
    pub(crate) fn mean(&self, list: &[String], person: &Person) -> bool {
        let last = self.walk(AliasKind::User, list).find(|item| person.is(item.name));
        last.is_some_and(|item| !item.denied)
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::os::testing::MemTree;

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
        let users = [user("alice", 1000, 8), user("bob", 1001, 8)];
        let people = Person::all(&users, &groups);
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
            assert_eq!(aliases.mean(&items, &people[0]), for_alice, "alice: {list}");
            assert_eq!(aliases.mean(&items, &people[1]), for_bob, "bob: {list}");
        }
    }

    #[test]
    fn aliases_of_aliases_end() {
        // Each names the next one twice: all ways through them would be 2^60.
        let lines: String = (0..60).map(|n| format!("User_Alias A{n} = A{0}, A{0}\n", n + 1)).collect();
        let statements = read(&mut MemTree::new().file("/etc/sudoers", lines)).unwrap();
        let users = [User {
            name: "a".to_owned(),
            uid: 1,
            gid: 1,
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
        }];
        let people = Person::all(&users, &[]);
        assert!(!Aliases::of(&statements).mean(&["A0".to_owned()], &people[0]));
    }
}
