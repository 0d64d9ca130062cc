//! The agent's directories: usable for it, and closed to others.

use super::part::{Found, ReportPart, joined};
use super::unit::Agent;
use crate::disk::{FileKind, Tree};
use crate::os::access::{ENTER, Identity, READ, WRITE};
use crate::os::files::optional;

/// Directories the agent writes to, and the setting by which systemd makes some of them.
const DIRECTORIES: [(&str, Option<&str>); 4] = [
    ("/etc/trove", Some("ConfigurationDirectory")),
    ("/var/lib/trove", Some("StateDirectory")),
    ("/var/log/trove", Some("LogsDirectory")),
    ("/opt/trove-guestagent", None),
];

/// What Trove's files and the agent's log lie in. Both are 0644.
const SECRET: [&str; 2] = ["/etc/trove/conf.d", "/var/log/trove"];

pub(crate) fn check(tree: &mut dyn Tree, agent: &Agent) -> ReportPart {
    let mut part = ReportPart::default();
    part.check(
        format!("the directories of {} belong to its user", agent.name()),
        usable(tree, agent),
        "the agent cannot write its log, its state or the files that say prepare is done",
        "make them in the recipe, with the agent's user as owner",
    );
    part.warn(
        "everybody on an instance may read the agent's secrets",
        exposed(tree),
        "RabbitMQ's password and the key of the agent's messages get into the one, passwords of databases into the other, \
         as files that everybody may read",
        "give /etc/trove, /etc/trove/conf.d and /var/log/trove mode 0750 in the recipe, with the agent's user as owner",
    );
    part
}

fn usable(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let identity = Identity::find(tree, agent.user())?;
    let mut wrong = Vec::new();
    for (path, setting) in DIRECTORIES {
        if setting.is_some_and(|setting| agent.unit.words("Service", setting).contains(&"trove")) {
            continue;
        }
        let stat = match optional(tree.stat(path.as_bytes()))? {
            None => {
                wrong.push(format!("{path} does not exist"));
                continue;
            }
            Some(stat) => stat,
        };
        if stat.kind != FileKind::Directory {
            wrong.push(format!("{path} is no directory"));
        } else if !agent.hands_over(path)
            && let Some(identity) = &identity
            && !identity.may(&stat, READ | WRITE | ENTER)
        {
            wrong.push(format!("{path} belongs to uid {} (mode {:04o})", stat.uid, stat.mode));
        }
    }
    Ok(joined(&wrong))
}

fn exposed(tree: &mut dyn Tree) -> Found {
    let mut open = Vec::new();
    for path in SECRET {
        let mut modes = Vec::new();
        let ends = path.match_indices('/').map(|(at, _)| at).filter(|&at| at > 0).chain([path.len()]);
        for end in ends {
            modes.push(optional(tree.stat(&path.as_bytes()[..end]))?.map(|stat| stat.mode));
        }
        // To pass is enough for files whose names are known.
        if let Some(Some(mode)) = modes.last()
            && modes.iter().all(|mode| mode.is_some_and(|mode| mode & ENTER != 0))
        {
            open.push(format!("{path} has mode {mode:04o}"));
        }
    }
    Ok(joined(&open))
}
