use std::process::Command;

use super::*;
use crate::os::testing::MemTree;

const WANTED: &str = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
const PLAIN: &str = "[Service]\nExecStart=/bin/true\n";

fn etc(path: &str) -> String {
    format!("/etc/systemd/system/{path}")
}

fn lib(path: &str) -> String {
    format!("/usr/lib/systemd/system/{path}")
}

/// A tree as distributions have it, with `/lib` merged into `/usr`.
fn merged() -> MemTree {
    MemTree::new().dir("/usr/lib/systemd/system").dir(CONFIG).link("/lib", "usr/lib")
}

/// Name, tree, unit, expected state.
fn cases() -> Vec<(&'static str, MemTree, &'static str, &'static str)> {
    let wants = |unit: &str| etc(&format!("multi-user.target.wants/{unit}"));
    let base = || merged().file(&lib("a.service"), WANTED);
    vec![
        ("nothing", merged(), "a.service", "not-found"),
        ("not linked", base(), "a.service", "disabled"),
        ("linked", base().link(&wants("a.service"), "/lib/systemd/system/a.service"), "a", "enabled"),
        (
            "linked, relative",
            base().link(&wants("a.service"), "../../../../lib/systemd/system/a.service"),
            "a.service",
            "enabled",
        ),
        (
            "wanted by a vendor link only",
            base().link(&lib("x.target.wants/a.service"), "../a.service"),
            "a.service",
            "disabled",
        ),
        (
            "required",
            base().link(&etc("x.target.requires/a.service"), "/lib/systemd/system/a.service"),
            "a.service",
            "enabled",
        ),
        ("no install section", merged().file(&lib("a.service"), PLAIN), "a.service", "static"),
        (
            "static but linked",
            merged()
                .file(&lib("a.service"), PLAIN)
                .link(&wants("a.service"), "/lib/systemd/system/a.service"),
            "a.service",
            "enabled",
        ),
        ("masked", base().link(&etc("a.service"), "/dev/null"), "a.service", "masked"),
        (
            "masked wins over wants",
            base()
                .link(&etc("a.service"), "/dev/null")
                .link(&wants("a.service"), "/lib/systemd/system/a.service"),
            "a.service",
            "masked",
        ),
        ("masked by an empty file", base().file(&etc("a.service"), ""), "a.service", "masked"),
        ("masked, relative", base().link(&etc("a.service"), "../../../dev/null"), "a.service", "masked"),
        ("masked, nothing behind", merged().link(&etc("a.service"), "/dev/null"), "a.service", "masked"),
        (
            "masked for this boot",
            base().link("/run/systemd/system/a.service", "/dev/null"),
            "a.service",
            "masked-runtime",
        ),
        (
            "enabled for this boot",
            base().link("/run/systemd/system/x.target.wants/a.service", "/lib/systemd/system/a.service"),
            "a.service",
            "enabled-runtime",
        ),
        ("alias by the vendor", base().link(&lib("b.service"), "a.service"), "b.service", "alias"),
        (
            "alias by enabling",
            merged()
                .file(&lib("a.service"), "[Install]\nAlias=b.service\n")
                .link(&etc("b.service"), "/lib/systemd/system/a.service"),
            "b.service",
            "alias",
        ),
        (
            "enabled by its alias",
            merged()
                .file(&lib("a.service"), "[Install]\nAlias=b.service\n")
                .link(&etc("b.service"), "/lib/systemd/system/a.service"),
            "a.service",
            "enabled",
        ),
        (
            "a foreign alias",
            base().link(&etc("b.service"), "/lib/systemd/system/a.service"),
            "a.service",
            "indirect",
        ),
        (
            "alias to a masked unit",
            merged().link(&lib("a.service"), "/dev/null").link(&lib("b.service"), "a.service"),
            "b.service",
            "masked",
        ),
        (
            "also",
            merged().file(&lib("a.service"), "[Service]\nExecStart=/bin/true\n[Install]\nAlso=b.socket\n"),
            "a.service",
            "indirect",
        ),
        (
            "install section in a drop-in",
            merged()
                .file(&lib("a.service"), PLAIN)
                .file(&etc("a.service.d/x.conf"), "[Install]\nWantedBy=multi-user.target\n"),
            "a.service",
            "disabled",
        ),
        ("etc overrides", base().file(&etc("a.service"), PLAIN), "a.service", "static"),
        ("a template", merged().file(&lib("a@.service"), WANTED), "a@.service", "disabled"),
        ("an instance", merged().file(&lib("a@.service"), WANTED), "a@x.service", "disabled"),
        (
            "an enabled instance",
            merged()
                .file(&lib("a@.service"), WANTED)
                .link(&wants("a@x.service"), "/lib/systemd/system/a@.service"),
            "a@x.service",
            "enabled",
        ),
        (
            "another instance",
            merged()
                .file(&lib("a@.service"), WANTED)
                .link(&wants("a@x.service"), "/lib/systemd/system/a@.service"),
            "a@y.service",
            "disabled",
        ),
        (
            "a template with one instance",
            merged()
                .file(&lib("a@.service"), WANTED)
                .link(&wants("a@x.service"), "/lib/systemd/system/a@.service"),
            "a@.service",
            "indirect",
        ),
        (
            "a template's default instance",
            merged()
                .file(&lib("a@.service"), format!("{WANTED}DefaultInstance=x\n"))
                .link(&wants("a@x.service"), "/lib/systemd/system/a@.service"),
            "a@.service",
            "enabled",
        ),
        (
            "an instance wanted by the vendor",
            merged()
                .file(&lib("a@.service"), WANTED)
                .link(&lib("x.target.wants/a@x.service"), "../a@.service"),
            "a@x.service",
            "static",
        ),
        (
            "a linked unit",
            merged().file("/opt/a.service", WANTED).link(&etc("a.service"), "/opt/a.service"),
            "a.service",
            "linked",
        ),
        (
            "a linked, enabled unit",
            merged()
                .file("/opt/a.service", WANTED)
                .link(&etc("a.service"), "/opt/a.service")
                .link(&wants("a.service"), "/opt/a.service"),
            "a.service",
            "enabled",
        ),
        (
            "a socket",
            merged()
                .file(&lib("a.socket"), "[Socket]\nListenStream=/x\n[Install]\nWantedBy=sockets.target\n")
                .link(&etc("sockets.target.wants/a.socket"), "/lib/systemd/system/a.socket"),
            "a.socket",
            "enabled",
        ),
        ("generated", merged().file("/run/systemd/generator/a.service", PLAIN), "a.service", "generated"),
        (
            "split usr",
            MemTree::new()
                .file("/lib/systemd/system/a.service", WANTED)
                .link(&wants("a.service"), "/lib/systemd/system/a.service"),
            "a.service",
            "enabled",
        ),
        (
            "wanted under another name",
            base().link(&wants("b.service"), "/lib/systemd/system/a.service"),
            "a.service",
            "disabled",
        ),
        (
            "a link of its name to another",
            base().file(&lib("c.service"), WANTED).link(&wants("a.service"), "/lib/systemd/system/c.service"),
            "a.service",
            "enabled",
        ),
        ("a file in wants", base().file(&wants("a.service"), "x"), "a.service", "disabled"),
        (
            "a dangling link in wants",
            base().link(&wants("a.service"), "/gone/a.service"),
            "a.service",
            "enabled",
        ),
        ("a dangling unit", merged().link(&etc("a.service"), "/gone/a.service"), "a.service", "not-found"),
        ("a dangling override", base().link(&etc("a.service"), "/gone/a.service"), "a.service", "not-found"),
        ("a dangling alias", merged().link(&lib("b.service"), "a.service"), "b.service", "not-found"),
        (
            "own copy enabled in lib",
            base().file(&etc("a.service"), WANTED).link(&lib("x.target.wants/a.service"), "../a.service"),
            "a.service",
            "disabled",
        ),
        (
            "enabled alias of a template",
            merged()
                .file(&lib("a@.service"), "[Install]\nAlias=b@%i.service\n")
                .link(&etc("b@x.service"), "/lib/systemd/system/a@.service"),
            "a@x.service",
            "disabled",
        ),
        (
            "instance of an alias template",
            merged().file(&lib("a@.service"), WANTED).link(&lib("b@.service"), "a@.service"),
            "b@x.service",
            "disabled",
        ),
        (
            "default instance in the vendor's wants",
            merged()
                .file(&lib("a@.service"), format!("{WANTED}DefaultInstance=x\n"))
                .link(&lib("x.target.wants/a@x.service"), "../a@.service"),
            "a@.service",
            "disabled",
        ),
        (
            "alias wanted",
            merged()
                .file(&lib("a.service"), "[Install]\nWantedBy=x.target\nAlias=b.service\n")
                .link(&wants("b.service"), "/lib/systemd/system/a.service"),
            "a.service",
            "disabled",
        ),
        (
            "vendor alias of an install name",
            merged()
                .file(&lib("a.service"), "[Install]\nAlias=b.service\n")
                .link(&lib("b.service"), "a.service"),
            "a.service",
            "disabled",
        ),
        (
            "install reset",
            merged().file(&lib("a.service"), "[Install]\nWantedBy=x.target\nWantedBy=\n"),
            "a.service",
            "static",
        ),
        (
            "a target alias",
            merged()
                .file(&lib("g.target"), "[Unit]\nDescription=x\n")
                .link(&etc("default.target"), "/lib/systemd/system/g.target"),
            "default.target",
            "alias",
        ),
        ("local", merged().file("/usr/local/lib/systemd/system/a.service", WANTED), "a.service", "disabled"),
    ]
}

#[test]
fn states() {
    let wrong: Vec<_> = cases()
        .into_iter()
        .map(|(case, mut tree, unit, expected)| {
            (case, unit_state(&mut tree, unit).unwrap().to_string(), expected)
        })
        .filter(|(_, found, expected)| found != expected)
        .collect();
    assert_eq!(wrong, []);
}

/// The real thing, asked about the same trees.
#[test]
fn systemctl_says_the_same() {
    let mut wrong = Vec::new();
    for (case, tree, unit, expected) in cases() {
        let root = tempfile::tempdir().unwrap();
        tree.write_below(root.path());
        let asked = Command::new("systemctl")
            .arg(format!("--root={}", root.path().display()))
            .args(["is-enabled", unit])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        // Before systemd 253 a missing unit is told on stderr only.
        let said = if said.is_empty() { "not-found".to_owned() } else { said };
        if said != expected {
            wrong.push((case, said, expected, String::from_utf8_lossy(&asked.stderr).into_owned()));
        }
    }
    assert_eq!(wrong, []);
}

#[test]
fn init_scripts_count_when_there_is_no_unit() {
    let script = || merged().file("/etc/init.d/redis", "#!/bin/sh\n");
    for (tree, expected) in [
        (script(), "disabled"),
        (script().link("/etc/rc3.d/S01redis", "../init.d/redis"), "enabled"),
        (script().link("/etc/rc.d/rc5.d/S80redis", "../init.d/redis"), "enabled"),
        (script().link("/etc/rc0.d/K01redis", "../init.d/redis"), "disabled"),
        (script().link("/etc/rc3.d/S01redis-other", "../init.d/redis"), "disabled"),
        (
            script().link("/etc/rc3.d/S01redis", "../init.d/redis").file(&lib("redis.service"), WANTED),
            "disabled",
        ),
    ] {
        assert_eq!(unit_state(&mut tree.clone(), "redis").unwrap().to_string(), expected);
    }
    assert_eq!(unit_state(&mut script(), "redis.socket").unwrap(), UnitState::NotFound);
}

#[test]
fn loops_and_damage_are_errors() {
    for tree in [
        merged().link(&etc("a.service"), "b.service").link(&etc("b.service"), "a.service"),
        merged().link(&etc("a.service"), "a.service"),
        merged().link("/opt/a.service", "/opt/a.service").link(&etc("a.service"), "/opt/a.service"),
        merged().file(&lib("a.service"), WANTED).broken("/usr/lib/systemd/system/a.service"),
        merged().file(&lib("a.service"), WANTED).broken("/etc/systemd"),
    ] {
        assert!(unit_state(&mut tree.clone(), "a.service").is_err());
    }
}

/// Entries that a generated tree has or has not.
fn parts() -> Vec<fn(MemTree) -> MemTree> {
    vec![
        |t| t.file(&lib("a.service"), WANTED),
        |t| t.file(&lib("a.service"), "[Service]\nExecStart=/bin/true\n[Install]\nAlias=b.service\n"),
        |t| t.file(&etc("a.service"), PLAIN),
        |t| t.file("/run/systemd/system/a.service", WANTED),
        |t| t.link(&etc("a.service"), "/dev/null"),
        |t| t.link(&lib("b.service"), "a.service"),
        |t| t.link(&etc("b.service"), "/usr/lib/systemd/system/a.service"),
        |t| t.link(&etc("m.target.wants/a.service"), "/usr/lib/systemd/system/a.service"),
        |t| t.link(&etc("m.target.requires/b.service"), "/usr/lib/systemd/system/b.service"),
        |t| t.link(&lib("m.target.wants/a.service"), "../a.service"),
        |t| t.link("/run/systemd/system/m.target.wants/a.service", "/usr/lib/systemd/system/a.service"),
        |t| t.file(&etc("a.service.d/x.conf"), "[Install]\nAlso=c.service\n"),
        |t| t.file(&lib("a@.service"), format!("{WANTED}DefaultInstance=x\n")),
        |t| t.file(&lib("a@.service"), PLAIN),
        |t| t.link(&etc("m.target.wants/a@x.service"), "/usr/lib/systemd/system/a@.service"),
        |t| t.link(&lib("m.target.wants/a@y.service"), "../a@.service"),
        |t| t.link(&lib("b@.service"), "a@.service"),
        |t| t.link(&etc("a@x.service"), "/dev/null"),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// The real thing, asked about trees nobody thought of.
    #[test]
    fn systemctl_says_the_same_of_any_mixture(chosen in proptest::sample::subsequence((0..parts().len()).collect::<Vec<_>>(), 0..8)) {
        let tree = chosen.into_iter().fold(merged(), |tree, part| parts()[part](tree));
        let root = tempfile::tempdir().unwrap();
        tree.write_below(root.path());
        for unit in ["a.service", "b.service", "a@.service", "a@x.service", "a@y.service", "b@x.service"] {
            let asked = Command::new("systemctl")
                .arg(format!("--root={}", root.path().display()))
                .args(["is-enabled", unit])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
            let said = if said.is_empty() { "not-found".to_owned() } else { said };
            let ours = unit_state(&mut tree.clone(), unit).unwrap().to_string();
            proptest::prop_assert_eq!(ours, said, "{}", unit);
        }
    }
}
