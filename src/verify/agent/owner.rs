//! Who gets the files that Trove injects, and which ids must be left to the agent.

use std::collections::BTreeMap;

use super::part::{Found, ReportPart, joined};
use super::unit::Agent;
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::cloud_init::first_boot;
use crate::os::files::{join, names, read_optional};
use crate::os::{gid_of, groups, uid_of, users};

/// The ids today's agent gives to the database's user and group.
pub(crate) const DATABASE_ID: u32 = 1001;

/// Whom Trove has cloud-init give the agent's files to, unless told otherwise.
const DEFAULT_OWNER: &str = "ubuntu";

/// The agent's user in the image.
pub(crate) fn check_user(tree: &mut dyn Tree, agent: &Agent) -> Found {
    let mut wrong = Vec::new();
    // systemd takes a number for a user that nobody has to know.
    if uid_of(&users(tree)?, agent.user()).is_none() && agent.user().parse::<u32>().is_err() {
        wrong.push(format!("no user {}", agent.user()));
    }
    if let Some(group) = agent.unit.last("Service", "Group")
        && gid_of(&groups(tree)?, group).is_none()
        && group.parse::<u32>().is_err()
    {
        wrong.push(format!("no group {group}"));
    }
    Ok(joined(&wrong))
}

/// Whoever owns injected files must be in the image. Which user that is the controller decides.
pub(crate) fn check_owner(tree: &mut dyn Tree, agent: &Agent) -> ReportPart {
    let mut part = ReportPart::default();
    part.warn(
        "Trove's default owner of injected files is not in the image",
        users(tree).map(|users| uid_of(&users, DEFAULT_OWNER).is_none().then(|| format!("no user {DEFAULT_OWNER}"))),
        "cloud-init writes files before it makes users, and stops at an owner that it does not know, so the agent gets no \
         configuration",
        &format!("set `injected_config_owner = {}` in the controller's trove.conf", agent.user()),
    );
    part
}

/// Who has the database's id, or gets it at first boot.
pub(crate) fn check_database_id(tree: &mut dyn Tree) -> ReportPart {
    let mut part = ReportPart::default();
    part.check(
        format!("user and group id {DATABASE_ID} are free"),
        database_id(tree),
        "the agent gives this id to the database's user, and ends when it is taken",
        "give the other user a different id; and let cloud-init's default user be one that the image has: \
         `system_info.default_user.name` in /etc/cloud/cloud.cfg.d",
    );
    part
}

fn database_id(tree: &mut dyn Tree) -> Found {
    let users = users(tree)?.into_iter().filter(|user| user.uid == DATABASE_ID);
    let mut taken: Vec<_> = users.map(|user| format!("user {}", user.name)).collect();
    let groups = groups(tree)?.into_iter().filter(|group| group.gid == DATABASE_ID);
    taken.extend(groups.map(|group| format!("group {}", group.name)));
    let made = first_boot(tree)?;
    let users = made.users.iter().filter(|(_, uid)| *uid == DATABASE_ID);
    taken.extend(
        users.map(|(name, _)| format!("cloud-init makes the user {name} at the first boot, who gets it")),
    );
    if taken.is_empty() {
        let groups = made.groups.iter().filter(|(_, gid, _)| *gid == DATABASE_ID);
        taken.extend(groups.map(|(group, _, user)| {
            format!("cloud-init makes the user {user} at the first boot, whose group {group} gets it")
        }));
    }
    taken.extend(made_by_systemd(tree)?);
    Ok(joined(&taken))
}

/// Whom systemd-sysusers gives the id when the system boots: users and groups that the image does not have yet.
fn made_by_systemd(tree: &mut dyn Tree) -> Result<Vec<String>, ReadError> {
    let mut taken = Vec::new();
    if !tree.exists(b"/usr/bin/systemd-sysusers")? && !tree.exists(b"/bin/systemd-sysusers")? {
        return Ok(taken);
    }
    let (users, groups) = (users(tree)?, groups(tree)?);
    // A file hides those of its name in directories that come later.
    let mut files = BTreeMap::new();
    for directory in ["/etc/sysusers.d", "/usr/local/lib/sysusers.d", "/usr/lib/sysusers.d"] {
        for name in names(tree, directory.as_bytes())?.into_iter().filter(|name| name.ends_with(b".conf")) {
            let path = join(directory.as_bytes(), &name);
            files.entry(name).or_insert(path);
        }
    }
    for path in files.into_values() {
        let text = read_optional(tree, &path)?.unwrap_or_default();
        for line in String::from_utf8_lossy(&text).lines() {
            let mut words = line.split_whitespace();
            let (Some(kind), Some(name), Some(id)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if id.split(':').next().and_then(|id| id.parse().ok()) != Some(DATABASE_ID) {
                continue;
            }
            match kind.trim_end_matches('!') {
                "u" if uid_of(&users, name).is_none() => {
                    taken.push(format!(
                        "systemd-sysusers makes the user {name} at the first boot, who gets it"
                    ));
                }
                "g" if gid_of(&groups, name).is_none() => {
                    taken.push(format!(
                        "systemd-sysusers makes the group {name} at the first boot, which gets it"
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(taken)
}
