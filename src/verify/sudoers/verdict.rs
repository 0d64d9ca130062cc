//! What all rules together let somebody do.

use super::{Aliases, Grant, Located, Person, Statement};

/// What sudo lets somebody do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Verdict {
    /// No rule is for them.
    Nothing,
    /// Some commands, or not as root, or not everywhere.
    Something,
    /// Everything, as root.
    Everything {
        /// They are asked for a password.
        password: bool,
    },
}

/// What somebody may do. The last rule that is about everything counts.
pub(in crate::verify) fn verdict(statements: &[Located], person: &Person) -> Verdict {
    let aliases = Aliases::of(statements);
    let grants = statements.iter().filter_map(|located| match &located.statement {
        Statement::Grants(grants) => Some(grants),
        _ => None,
    });
    let mut verdict = Verdict::Nothing;
    for grant in grants.flatten().filter(|grant| aliases.mean(&grant.who, person)) {
        let is_full = grant.hosts.iter().any(|host| host == "ALL") && is_for_root(grant);
        match grant.commands.iter().rfind(|command| command.trim_start_matches('!').trim() == "ALL") {
            Some(all) if all.starts_with('!') && is_full => verdict = Verdict::Nothing,
            Some(all) if !all.starts_with('!') && is_full => {
                verdict = Verdict::Everything { password: !grant.without_password };
            }
            _ if verdict == Verdict::Nothing => verdict = Verdict::Something,
            _ => {}
        }
    }
    verdict
}

/// Whether a rule lets them act as root. Without a list it does.
fn is_for_root(grant: &Grant) -> bool {
    let Some(run_as) = &grant.run_as else { return true };
    let users = run_as.split(':').next().unwrap_or_default();
    users.split(',').any(|user| matches!(user.trim(), "ALL" | "root" | "#0"))
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::verify::testing::MemTree;
    use crate::verify::{Group, User};

    #[test]
    fn rules_together() {
        let user = User { name: "u".into(), uid: 1000, gid: 7, home: "/".into(), shell: "/bin/sh".into() };
        let group = Group { name: "g".into(), gid: 7, members: vec![] };
        let free = Verdict::Everything { password: false };
        let asked = Verdict::Everything { password: true };
        for (sudoers, expected) in [
            ("", Verdict::Nothing),
            ("root ALL=(ALL) ALL", Verdict::Nothing),
            ("u ALL=(ALL) ALL", asked),
            ("%g ALL=(ALL:ALL) NOPASSWD: ALL", free),
            ("u ALL=NOPASSWD: ALL\n%g ALL=(ALL) PASSWD: ALL", asked),
            ("u ALL=(postgres) NOPASSWD: ALL", Verdict::Something),
            ("u elsewhere=(ALL) NOPASSWD: ALL", Verdict::Something),
            ("u ALL=(root) /bin/ls", Verdict::Something),
            ("User_Alias X = u\nX ALL=(root) NOPASSWD: ALL", free),
        ] {
            let mut tree = MemTree::new().file("/etc/sudoers", format!("{sudoers}\n"));
            let statements = read(&mut tree).unwrap();
            let people = Person::all(std::slice::from_ref(&user), std::slice::from_ref(&group));
            assert_eq!(verdict(&statements, &people[0]), expected, "{sudoers}");
        }
        let statements = read(&mut MemTree::new().file("/etc/sudoers", "%g ALL=(ALL) ALL\n")).unwrap();
        assert_eq!(verdict(&statements, &Person::member(&User::nobody(), &group)), asked);
    }
}
