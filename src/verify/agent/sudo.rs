//! What sudo lets the agent do.

use super::unit::Agent;
use super::{CheckResult, Found, joined, result};
use crate::disk::{FileKind, Tree};
use crate::os::files::show;
use crate::os::sudoers;
use crate::os::sudoers::{Person, Statement, Verdict, verdict};
use crate::os::{groups, users};

/// Checks sudo when the agent is not root: it calls sudo for nearly everything.
pub(crate) fn check(tree: &mut dyn Tree, agent: &Agent) -> Vec<CheckResult> {
    let user = agent.user();
    if user == "root" {
        return Vec::new();
    }
    vec![
        result("sudoers files belong to root and have mode 0440", modes(tree))
            .why("sudo refuses files that others could write, and then refuses everybody")
            .fix("set owner root:root and mode 0440"),
        result(format!("{user} may use sudo without password and terminal"), may(tree, user))
            .why("the agent runs without a terminal and cannot type a password")
            .fix("add `USER ALL=(ALL) NOPASSWD:ALL` below /etc/sudoers.d and remove requiretty"),
    ]
}

fn modes(tree: &mut dyn Tree) -> Found {
    let mut wrong = Vec::new();
    if !tree.exists(sudoers::MAIN)? {
        return Ok(Some("sudo is not installed".to_owned()));
    }
    for path in sudoers::files(tree)? {
        let stat = tree.stat(&path)?;
        if stat.kind != FileKind::File {
            continue;
        }
        if stat.uid != 0 || stat.gid != 0 || !matches!(stat.mode, 0o440 | 0o400) {
            let shown = show(&path);
            wrong.push(format!("{shown} has mode {:04o}, owner {}:{}", stat.mode, stat.uid, stat.gid));
        }
    }
    Ok(joined(&wrong))
}

fn may(tree: &mut dyn Tree, name: &str) -> Found {
    let (users, groups) = (users(tree)?, groups(tree)?);
    let people = Person::all(&users, &groups);
    let Some(person) = people.iter().find(|person| person.user.name == name) else {
        return Ok(Some(format!("no user {name}")));
    };
    let statements = sudoers::read(tree)?;
    let mut wrong = Vec::new();
    for located in &statements {
        if let Statement::Defaults { settings, .. } = &located.statement
            && settings.iter().any(|setting| setting == "requiretty")
        {
            wrong.push(format!("requiretty in {}", show(&located.file)));
        }
    }
    if !matches!(verdict(&statements, person)?, Verdict::Everything { asked: false, .. }) {
        wrong.insert(0, format!("nothing lets {name} use sudo without password"));
    }
    Ok(joined(&wrong))
}
