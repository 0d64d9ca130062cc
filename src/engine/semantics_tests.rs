//! What every kind of step does to a guest, word for word.
//!
//! Layers are found by what went into them, [`SEMANTICS`] for the engine. If a script changes and the number does
//! not, layers of the old script are taken for those of the new one. So the snapshots bear the number in their names.

use std::collections::BTreeSet;

use super::testing::FakeGuest;
use super::*;
use crate::agent::AgentBundle;
use crate::check::{SelinuxMode, ServiceState};
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::FileKind;
use crate::distro::{Family, OsRelease, well_known};
use crate::guest::{Access, Guest};
use crate::packages::{PackageSet, StagePackages};
use crate::recipe::{
    AgentStep, ApparmorMode, ApparmorStep, ArtifactStep, Container, ContainerSource, Content, FcontextRule,
    FileStep, GroupStep, PackagesStep, PortRule, RepositoryStep, ScriptStep, SelinuxStep, ServiceStep, Stage,
    StageName, Step, UserStep,
};

const KEY: &str = include_str!("../trust/openpgp/tests/rfc9580.asc");
const FINGERPRINT: &str = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";

/// How a snapshot is accepted when a script was changed on purpose.
const ADVICE: &str = "A step does something else than before: raise SEMANTICS in src/engine/mod.rs, remove the \
    snapshots of the old number and accept the new ones. Otherwise layers that an older tib made are reused.";

/// Fails when a snapshot of the number that counts today differs.
macro_rules! assert_story {
    ($name:literal, $story:expr) => {
        insta::with_settings!(
            { description => ADVICE, prepend_module_to_snapshot => false, omit_expression => true },
            { insta::assert_snapshot!(format!("semantics-{SEMANTICS}-{}", $name), $story) }
        );
    };
}

const IN_GUEST: StagePackages = StagePackages::InGuest { day: 0 };

/// Number of kinds that [`kind`] knows.
const KINDS: usize = 15;

/// A new kind of step does not compile here until it has a number, and then lacks a step in [`steps`].
fn kind(step: &Step) -> usize {
    match step {
        Step::Repository(_) => 0,
        Step::Packages(_) => 1,
        Step::Group(_) => 2,
        Step::User(_) => 3,
        Step::Directory { .. } => 4,
        Step::File(_) => 5,
        Step::Link { .. } => 6,
        Step::AuthorizedKeys { .. } => 7,
        Step::Service(_) => 8,
        Step::Script(_) => 9,
        Step::Selinux(_) => 10,
        Step::Apparmor(_) => 11,
        Step::Containers { .. } => 12,
        Step::Artifact(_) => 13,
        Step::Agent(_) => KINDS - 1,
    }
}

/// Every kind of step, with and without what is optional.
fn steps(masks: bool) -> Vec<Step> {
    let user = |name: &str, full: bool| {
        Step::User(UserStep {
            name: name.to_owned(),
            uid: full.then_some(1000),
            group: full.then(|| "trove".to_owned()),
            groups: if full { vec!["docker".to_owned(), "sudo".to_owned()] } else { Vec::new() },
            home: format!("/home/{name}"),
            shell: "/bin/bash".to_owned(),
            system: !full,
            sudo: full,
            home_given: full,
            shell_given: full,
            password_hash: full.then(|| "$6$salt$hash".to_owned()),
        })
    };
    let group =
        |name: &str, gid| Step::Group(GroupStep { name: name.to_owned(), gid, system: gid.is_none() });
    let file = |path: &str, owner: &str, content| {
        let (path, owner) = (path.to_owned(), owner.to_owned());
        Step::File(FileStep { path, content, mode: 0o640, owner, group: "root".to_owned() })
    };
    let service = |unit: &str, state| Step::Service(ServiceStep { unit: unit.to_owned(), state });
    let agent = |owner: &str| {
        Step::Agent(AgentStep {
            source: "pypi".parse().unwrap(),
            venv: "/opt/guest agent".to_owned(),
            module: "trove.cmd.guest".to_owned(),
            owner: owner.to_owned(),
            extra: Vec::new(),
            constraints: None,
            constraints_from: None,
            requirements: None,
            commit: None,
        })
    };
    let selinux = SelinuxStep {
        mode: Some(SelinuxMode::Permissive),
        fcontexts: vec![FcontextRule {
            path: "/srv/db(/.*)?".to_owned(),
            kind: None,
            label: "u:r:db_t:s0".to_owned(),
        }],
        booleans: [("a_boolean".to_owned(), true)].into(),
        ports: vec![PortRule {
            protocol: "tcp".to_owned(),
            low: 8080,
            high: 8080,
            label: "u:r:p_t:s0".to_owned(),
        }],
    };
    let apparmor = ApparmorStep {
        profile: "own".to_owned(),
        content: Some(Content::Text("profile own {\n  include <local/own>\n}\n".to_owned())),
        local: Some("/tmp/ rw,\n".to_owned()),
        mode: Some(ApparmorMode::Complain),
    };
    let mut steps = vec![
        Step::Repository(RepositoryStep {
            priority: Some(700),
            ..RepositoryStep::of("pgdg", "https://apt.example.org/debian", KEY, FINGERPRINT)
                .with_suite("bookworm-pgdg")
        }),
        group("trove", Some(1000)),
        group("docker", None),
        user("trove", true),
        user("plain", false),
        Step::Packages(PackagesStep {
            install: vec!["curl".to_owned(), "redis-server=7".to_owned()],
            recommends: vec!["curl".to_owned()],
            remove: vec!["nano".to_owned()],
            places: std::collections::BTreeMap::new(),
            debconf: vec!["redis redis/ask boolean false".to_owned()],
            environment: std::collections::BTreeMap::new(),
        }),
        Step::Directory {
            path: "/etc/trove/conf.d".to_owned(),
            mode: 0o750,
            owner: "ubuntu".to_owned(),
            group: "root".to_owned(),
        },
        file("/srv/new/plain", "root", Content::Text("text\n".to_owned())),
        file("/srv/new/owned", "ubuntu", Content::Text(String::new())),
        Step::Link { path: "/opt/new/link".to_owned(), target: "../srv".to_owned() },
        Step::Script(ScriptStep {
            purpose: "a purpose".to_owned(),
            text: "true\n".to_owned(),
            network: false,
        }),
        Step::Selinux(selinux),
        Step::Apparmor(apparmor),
        service("a.service", ServiceState::Enabled),
        service("b.service", ServiceState::Enabled),
        service("c.service", ServiceState::Disabled),
    ];
    steps.extend(masks.then(|| service("d.timer", ServiceState::Masked)));
    steps.extend(["root", "ubuntu"].map(agent));
    let keys = vec!["ssh-ed25519 OLD".to_owned(), "ssh-ed25519 NEW".to_owned()];
    steps.push(Step::AuthorizedKeys { user: "ubuntu".to_owned(), keys });
    let container = Container {
        name: "h.example:5000/db/mariadb:11.4".to_owned(),
        source: ContainerSource::OciLayout("layout".to_owned()),
        digest: None,
        id: Digest::of(b"id"),
        size: 1,
        unpacked: 1,
    };
    steps.push(Step::Containers { containers: vec![container] });
    let artifact = |name: &str, path: Option<&str>, unpack| {
        Step::Artifact(Box::new(ArtifactStep {
            name: name.to_owned(),
            description: "a vendor's".to_owned(),
            license: None,
            path: path.map(str::to_owned),
            unpack,
            install: !unpack,
            environment: [("DONT_START".to_owned(), "1".to_owned())].into(),
            default: None,
            accepted: false,
            found: None,
        }))
    };
    steps.push(artifact("archive", Some("/opt/vendor"), true));
    steps.push(artifact("package", Some("/srv/package file"), false));
    steps.push(artifact("only-installed", None, false));
    let kinds: BTreeSet<_> = steps.iter().map(kind).collect();
    assert!(kinds.iter().copied().eq(0..KINDS), "a kind of step is missing: {kinds:?}");
    steps
}

/// A build in a guest that has one of everything that is looked at: scaffolding, a stage, sealing.
fn build(os: &OsRelease, init: &str, packages: &StagePackages, compiled: bool) -> String {
    let mut guest = FakeGuest::new();
    guest.put(init, "", 0o755);
    guest.symlink("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf").unwrap();
    guest.put("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755);
    guest.put("/home/ubuntu/.ssh/authorized_keys", "ssh-ed25519 OLD", 0o600);
    for path in ["/etc/machine-id", "/var/lib/dbus/machine-id"] {
        guest.put(path, "0123456789abcdef0123456789abcdef\n", 0o444);
    }
    guest.put("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n", 0o644);
    guest.put("/etc/selinux/targeted/contexts/files/file_contexts", "", 0o644);
    let files = ["/etc/selinux/targeted/contexts/files", "/var/lib/selinux/targeted/active"];
    files.iter().for_each(|path| guest.mkdir_p(path, Access::root(0o755)).unwrap());
    guest.story.clear();

    let bundle = AgentBundle::example(compiled);
    let materials = StageMaterials { os, packages, agent: Some(&bundle.tree) };
    let stage = Stage { name: StageName::Site, steps: steps(init.ends_with("systemctl")) };
    let scaffold = Scaffold::enter(&mut guest).unwrap();
    run_stage(&mut guest, &stage, &materials, &Control::none()).unwrap();
    scaffold.leave(&mut guest).unwrap();
    seal(&mut guest, &[]).unwrap();
    assert_eq!(guest.lstat("/etc/resolv.conf").unwrap().unwrap().kind, FileKind::Symlink);
    // The key is long, and another file's business.
    guest.story.replace(KEY, "(the repository's key)\n")
}

#[test]
fn debian_with_packages_resolved_on_the_host() {
    let os = well_known("debian-12").unwrap();
    assert_story!(
        "debian",
        build(&os, "/usr/bin/systemctl", &StagePackages::Resolved(PackageSet::example()), true)
    );
}

#[test]
fn debian_with_packages_from_inside_and_init_scripts() {
    let os = well_known("debian-11").unwrap();
    assert_story!("debian-init.d", build(&os, "/usr/sbin/update-rc.d", &IN_GUEST, false));
}

#[test]
fn enterprise_linux() {
    let os = well_known("rocky-9").unwrap();
    assert_story!("rhel", build(&os, "/usr/bin/systemctl", &IN_GUEST, true));
    let resolved = StagePackages::Resolved(PackageSet::example_of_rpm());
    assert_story!("rhel-resolved", build(&os, "/usr/bin/systemctl", &resolved, true));
    assert_story!("rhel-init.d", build(&os, "/sbin/chkconfig", &IN_GUEST, true));
}

#[test]
fn suse() {
    let os = OsRelease { family: Family::Suse, ..well_known("rocky-9").unwrap() };
    assert_story!("suse", build(&os, "/usr/bin/systemctl", &IN_GUEST, true));
}

/// What sealing does is part of its layer's digest as it stands; the snapshots above hold the rest of it.
#[test]
fn whatever_sealing_runs_is_in_its_digest() {
    for label in ["debian-12", "rocky-9"] {
        let os = well_known(label).unwrap();
        let mut guest = FakeGuest::new();
        guest.put("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n", 0o644);
        guest.write("/etc/machine-id", b"1", Access::root(0o444)).unwrap();
        seal(&mut guest, &[]).unwrap();
        let text = seal_text(&os, &[]);
        for script in &guest.scripts {
            assert!(text.contains(script.as_str()), "{label}: not in the digest: {script}");
        }
    }
}

/// Only one number's snapshots are there: one that was left behind would hide that a number was raised for nothing.
#[test]
fn snapshots_of_older_semantics_are_removed() {
    // Tests run in the root of the package.
    let names = fs_err::read_dir("src/engine/snapshots").unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let old: Vec<_> = names
        .filter(|name| {
            name.starts_with("semantics-") && !name.starts_with(&format!("semantics-{SEMANTICS}-"))
        })
        .collect();
    assert_eq!(old, [""; 0]);
}
