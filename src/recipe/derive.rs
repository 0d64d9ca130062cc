//! The checks that follow from the steps themselves, so that recipes need not repeat them.

use std::collections::BTreeSet;

use super::{AgentStep, ArtifactStep, PackagesStep, SelinuxStep, Stage, Step, UserStep};
use crate::check::{Check, ConfigCheck, PathCheck, PathKind, SelinuxMode, UserCheck, Wins};

/// What an image must hold after these stages.
pub(super) fn checks(stages: &[Stage]) -> Vec<Check> {
    let steps: Vec<_> = stages.iter().flat_map(|stage| &stage.steps).collect();
    steps.iter().flat_map(|step| of_step(step, &steps)).collect()
}

fn of_step(step: &Step, all: &[&Step]) -> Vec<Check> {
    match step {
        // Their work shows in other steps' results: packages come from repositories, and what a script is
        // for only its author knows.
        Step::Repository(_) | Step::Script(_) => Vec::new(),
        Step::Packages(step) => of_packages(step),
        Step::Artifact(step) => of_artifact(step),
        Step::Group(step) => vec![Check::Group { name: step.name.clone(), exists: true, gid: step.gid }],
        Step::User(step) => of_user(step),
        Step::Directory { path, mode, owner, group } => {
            vec![done(owned(path, PathKind::Directory, *mode, owner, group))]
        }
        Step::File(step) => {
            vec![done(owned(&step.path, PathKind::File, step.mode, &step.owner, &step.group))]
        }
        Step::Link { path, target } => vec![link(path, target)],
        Step::AuthorizedKeys { user, keys } => of_keys(user, keys, all),
        Step::Apparmor(step) => step.checks(),
        Step::Service(step) => {
            vec![Check::Unit { name: step.unit.clone(), exists: true, state: Some(step.state) }]
        }
        Step::Selinux(step) => of_selinux(step),
        Step::Agent(step) => of_agent(step),
        Step::Containers { containers } => {
            let archive = |path: String| done(owned(&path, PathKind::File, 0o600, "root", "root"));
            containers.iter().map(|container| archive(container.path())).collect()
        }
    }
}

/// The mode stands in a file; rules and the like show in labels, which are compared anyway.
fn of_selinux(step: &SelinuxStep) -> Vec<Check> {
    let check = |mode: SelinuxMode| ConfigCheck {
        path: vec!["/etc/selinux/config".to_owned()],
        section: Vec::new(),
        key: "SELINUX".to_owned(),
        set: true,
        value: Some(mode.name().to_owned()),
        wins: Wins::First,
    };
    step.mode.map(|mode| Check::Config(Box::new(check(mode)))).into_iter().collect()
}

fn of_packages(step: &PackagesStep) -> Vec<Check> {
    let check = |text: &String, installed| {
        let (name, version) = match text.split_once('=') {
            // The check's version has no epoch.
            Some((name, version)) => (name, Some(version.split_once(':').map_or(version, |(_, rest)| rest))),
            None => (text.as_str(), None),
        };
        Check::Package { name: name.to_owned(), installed, version: version.map(str::to_owned) }
    };
    let install = step.install.iter().map(|text| check(text, true));
    install.chain(step.remove.iter().map(|text| check(text, false))).collect()
}

/// What is installed, only the file itself knows: its recipe has a check of it.
fn of_artifact(step: &ArtifactStep) -> Vec<Check> {
    // What is unpacked may be an installer, which goes again. A file's digest is known when it is found.
    let path = step.path.iter().filter(|_| !step.unpack);
    path.map(|path| done(owned(path, PathKind::File, 0o644, "root", "root"))).collect()
}

fn of_user(step: &UserStep) -> Vec<Check> {
    let groups: BTreeSet<_> = step.groups.iter().chain(&step.group).cloned().collect();
    let user = UserCheck {
        uid: step.uid,
        groups: groups.into_iter().collect(),
        home: step.home_given.then(|| step.home.clone()),
        shell: step.shell_given.then(|| step.shell.clone()),
        locked: step.password_hash.as_ref().map(|_| false),
        ..UserCheck::new(step.name.as_str())
    };
    let mut checks = vec![Check::User(Box::new(user))];
    if step.sudo {
        checks.push(done(PathCheck {
            contains: Some(format!("{} ALL=(ALL", step.name)),
            ..owned(&step.sudoers(), PathKind::File, 0o440, "root", "root")
        }));
    }
    checks
}

fn of_keys(user: &str, keys: &[String], all: &[&Step]) -> Vec<Check> {
    let made = all.iter().find_map(|step| match step {
        Step::User(step) if step.name == user => Some(step.home.clone()),
        _ => None,
    });
    let home = made.unwrap_or_else(|| match user {
        "root" => "/root".to_owned(),
        _ => format!("/home/{user}"),
    });
    let check = |key: &String| {
        done(PathCheck {
            kind: Some(PathKind::File),
            mode: Some("0600".to_owned()),
            owner: Some(user.to_owned()),
            contains: Some(key.clone()),
            ..PathCheck::new(format!("{home}/.ssh/authorized_keys"))
        })
    };
    keys.iter().map(check).collect()
}

fn of_agent(step: &AgentStep) -> Vec<Check> {
    // The interpreter is a link out of the environment, and must be there.
    ["bin/python3", "pyvenv.cfg"].map(|file| done(PathCheck::new(format!("{}/{file}", step.venv)))).into()
}

fn owned(at: &str, kind: PathKind, mode: u32, owner: &str, group: &str) -> PathCheck {
    PathCheck {
        kind: Some(kind),
        mode: Some(format!("{mode:04o}")),
        owner: Some(owner.to_owned()),
        group: Some(group.to_owned()),
        ..PathCheck::new(at)
    }
}

fn link(at: &str, to: &str) -> Check {
    let target = Some(to.to_owned());
    done(PathCheck { kind: Some(PathKind::Symlink), target, ..PathCheck::new(at) })
}

fn done(check: PathCheck) -> Check {
    Check::Path(Box::new(check))
}
