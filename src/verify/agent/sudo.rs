//! What sudo lets the agent do.

use std::collections::BTreeSet;

use super::at_boot::entries;
use super::part::{Found, ReportPart, joined};
use super::privileges;
use super::settings;
use super::unit::Agent;
use crate::clock;
use crate::disk::Tree;
use crate::os::files::{optional, read_optional, show};
use crate::os::sudoers;
use crate::os::sudoers::{Located, Person, Statement, Verdict, needs_terminal, verdict};
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
        program(tree, agent),
        "sudo ends with a complaint whatever its rules say",
        "install the package again, or give /usr/bin/sudo back to root with mode 4755; take nosuid out of /etc/fstab, and the \
         setting out of the unit",
    );
    part.check(
        format!("the account of {user} is open"),
        account(tree, user),
        "sudo asks PAM about its caller's account, and ends where that is closed",
        "take the day out (`chage -E -1 -I -1`), or make the user again with useradd",
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

/// What PAM's `pam_unix` says of an account for which no password is asked (`check_shadow_expiry`).
fn account(tree: &mut dyn Tree, name: &str) -> Found {
    let passwd = read_optional(tree, b"/etc/passwd")?.unwrap_or_default();
    let passwd = String::from_utf8_lossy(&passwd).into_owned();
    let line = |text: &str| text.lines().map(str::to_owned).find(|line| line.split(':').next() == Some(name));
    // Otherwise the account has no entry there, and no end.
    let refers = line(&passwd).is_some_and(|line| matches!(line.split(':').nth(1), Some("x" | "*NP*")));
    let Some(shadow) = read_optional(tree, b"/etc/shadow")?.filter(|_| refers) else { return Ok(None) };
    let Some(entry) = line(&String::from_utf8_lossy(&shadow)) else {
        return Ok(Some("/etc/shadow has no such user".to_owned()));
    };
    let fields: Vec<&str> = entry.trim_end().split(':').collect();
    let day = |at: usize| fields.get(at)?.parse::<i64>().ok().filter(|day| *day >= 0);
    let today = i64::try_from(clock::now() / clock::DAY).unwrap_or(i64::MAX);
    let shown = |day: i64| clock::day(day).map_or_else(|| day.to_string(), |day| day.to_string());
    if let Some(end) = day(7).filter(|end| today >= *end) {
        return Ok(Some(format!("it ended on {}", shown(end))));
    }
    let changed = day(2).unwrap_or(-1);
    if let (Some(valid), Some(grace), false) = (day(4), day(6), changed == 0)
        && today - changed > valid.saturating_add(grace)
    {
        return Ok(Some(format!(
            "its password was to be changed by {}",
            shown(changed.saturating_add(valid))
        )));
    }
    Ok(None)
}

fn program(tree: &mut dyn Tree, agent: &Agent) -> Found {
    if let Some(setting) = privileges::taken(tree, agent)? {
        return Ok(Some(setting));
    }
    let entries = entries(tree)?;
    if let Some(real) = optional(tree.canonicalize(PROGRAM))?
        && let Some(entry) = settings::forbidding(
            &entries,
            &show(&real),
            "nosuid",
            "suid",
            &["user", "users", "owner", "group"],
        )
    {
        let point = settings::point(entry);
        return Ok(Some(format!("{} lies on {point}, which /etc/fstab mounts with nosuid", show(PROGRAM))));
    }
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
    if needs_terminal(&statements, person)? {
        let asks = |located: &&Located| match &located.statement {
            Statement::Defaults { settings, .. } => {
                settings.iter().any(|setting| setting.ends_with("requiretty"))
            }
            _ => false,
        };
        let files: BTreeSet<_> = statements.iter().filter(asks).map(|located| show(&located.file)).collect();
        wrong.extend(files.iter().map(|file| format!("requiretty in {file}")));
    }
    if !matches!(verdict(&statements, person)?, Verdict::Everything { asked: false, .. }) {
        wrong.insert(0, format!("nothing lets {name} use sudo without password"));
    }
    Ok(joined(&wrong))
}
