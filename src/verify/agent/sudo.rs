//! What sudo lets the agent do.

use super::part::{Found, ReportPart, joined};
use super::unit::Agent;
use crate::disk::Tree;
use crate::os::files::{optional, show};
use crate::os::sudoers;
use crate::os::sudoers::{Person, Statement, Verdict, verdict};
use crate::os::{groups, users};

const PROGRAM: &[u8] = b"/usr/bin/sudo";

/// The set-uid bit.
const SET_UID: u32 = 0o4000;

/// Checks sudo when the agent is not root: it calls sudo for nearly everything.
pub(crate) fn check(tree: &mut dyn Tree, agent: &Agent) -> ReportPart {
    let mut part = ReportPart::default();
    let user = agent.user();
    if user == "root" {
        return part;
    }
    part.check(
        "sudo can make root of its caller",
        program(tree),
        "sudo ends with a complaint whatever its rules say",
        "install the package again, or give /usr/bin/sudo back to root with mode 4755",
    );
    part.check(
        "sudo accepts the files of its rules",
        refused(tree),
        "sudo takes no rules from files and directories that others own or may write",
        "give it to root:root, with mode 0440 (directories: 0755)",
    );
    part.check(
        format!("{user} may use sudo without password and terminal"),
        may(tree, user),
        "the agent runs without a terminal and cannot type a password",
        "add `USER ALL=(ALL) NOPASSWD:ALL` below /etc/sudoers.d and remove requiretty",
    );
    part
}

fn program(tree: &mut dyn Tree) -> Found {
    Ok(match optional(tree.stat(PROGRAM))? {
        None => Some("sudo is not installed".to_owned()),
        Some(stat) if stat.uid != 0 => Some(format!("{} belongs to uid {}", show(PROGRAM), stat.uid)),
        Some(stat) if stat.mode & SET_UID == 0 => {
            Some(format!("{} has mode {:04o}, without the set-uid bit", show(PROGRAM), stat.mode))
        }
        Some(stat) if stat.mode & 0o001 == 0 => {
            Some(format!("{} has mode {:04o}: others may not execute it", show(PROGRAM), stat.mode))
        }
        Some(_) => None,
    })
}

fn refused(tree: &mut dyn Tree) -> Found {
    if !tree.exists(sudoers::MAIN)? {
        return Ok(Some(format!("{} does not exist", show(sudoers::MAIN))));
    }
    Ok(joined(&sudoers::refused(tree)?))
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
