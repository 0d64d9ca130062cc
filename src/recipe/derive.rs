//! The checks that follow from the steps themselves, so that recipes need not repeat them.

use super::{AgentStep, Check, PackagesStep, PathKind, Stage, Step, UserStep};

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
        Step::Group(step) => vec![Check::Group { name: step.name.clone() }],
        Step::User(step) => of_user(step),
        Step::Directory { path, mode, owner, group } => {
            vec![owned(path, PathKind::Directory, *mode, owner, group)]
        }
        Step::File(step) => vec![owned(&step.path, PathKind::File, step.mode, &step.owner, &step.group)],
        Step::Link { path, target } => vec![link(path, target)],
        Step::AuthorizedKeys { user, keys } => of_keys(user, keys, all),
        Step::Service(step) => vec![Check::Unit { name: step.unit.clone(), state: step.state }],
        Step::Agent(step) => of_agent(step),
    }
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

fn of_user(step: &UserStep) -> Vec<Check> {
    let mut checks =
        vec![Check::User { name: step.name.clone(), uid: step.uid, groups: step.groups.clone() }];
    if step.sudo {
        let mut file = owned(&step.sudoers(), PathKind::File, 0o440, "root", "root");
        if let Check::Path { contains, .. } = &mut file {
            *contains = Some(format!("{} ALL=(ALL", step.name));
        }
        checks.push(file);
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
        let mut file = path(&format!("{home}/.ssh/authorized_keys"));
        if let Check::Path { kind, mode, owner, contains, .. } = &mut file {
            *kind = Some(PathKind::File);
            *mode = Some("0600".to_owned());
            *owner = Some(user.to_owned());
            *contains = Some(key.clone());
        }
        file
    };
    keys.iter().map(check).collect()
}

fn of_agent(step: &AgentStep) -> Vec<Check> {
    // Not followed: the interpreter is a link out of the environment.
    vec![path(&format!("{}/bin/python3", step.venv)), path(&format!("{}/pyvenv.cfg", step.venv))]
}

fn path(path: &str) -> Check {
    Check::Path {
        path: path.to_owned(),
        exists: true,
        kind: None,
        mode: None,
        owner: None,
        group: None,
        contains: None,
        lacks: None,
        target: None,
    }
}

fn owned(at: &str, its_kind: PathKind, bits: u32, user: &str, its_group: &str) -> Check {
    let mut check = path(at);
    if let Check::Path { kind, mode, owner, group, .. } = &mut check {
        *kind = Some(its_kind);
        *mode = Some(format!("{bits:04o}"));
        *owner = Some(user.to_owned());
        *group = Some(its_group.to_owned());
    }
    check
}

fn link(at: &str, to: &str) -> Check {
    let mut check = path(at);
    if let Check::Path { kind, target, .. } = &mut check {
        *kind = Some(PathKind::Symlink);
        *target = Some(to.to_owned());
    }
    check
}
