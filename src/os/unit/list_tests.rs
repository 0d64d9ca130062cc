use std::path::Path;
use std::process::Command;

use super::*;
use crate::os::testing::MemTree;

const WANTED: &str =
    "[Unit]\nDescription=A thing\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=x.target\n";

fn etc(path: &str) -> String {
    format!("/etc/systemd/system/{path}")
}

fn lib(path: &str) -> String {
    format!("/usr/lib/systemd/system/{path}")
}

/// What systemctl prints of a tree: name, state and preset of each unit.
fn systemctl(root: &Path) -> Vec<String> {
    let output = Command::new("systemctl")
        .arg(format!("--root={}", root.display()))
        .args(["list-unit-files", "--no-legend", "--no-pager"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(words).collect();
    lines.sort();
    lines
}

fn ours(tree: &mut MemTree) -> Vec<String> {
    let index = UnitIndex::read(tree).unwrap();
    let mut lines: Vec<String> = list(tree, &index)
        .unwrap()
        .iter()
        .map(|unit| format!("{} {} {}", unit.name, unit.state, unit.preset.map_or("-", Preset::name)))
        .collect();
    lines.sort();
    lines
}

/// Everything that can be in a unit directory.
fn tree() -> MemTree {
    MemTree::new()
        .link("/lib", "usr/lib")
        .file(&lib("a.service"), WANTED)
        .file(&lib("b.service"), WANTED)
        .file(&lib("s.service"), "[Service]\nExecStart=/bin/true\n")
        .file(&lib("m.service"), WANTED)
        .file(&lib("t@.service"), WANTED)
        .file(&lib("u@.service"), format!("{WANTED}DefaultInstance=one\n"))
        .file(&lib("also.service"), "[Service]\nExecStart=/bin/true\n[Install]\nAlso=a.service\n")
        .file(&lib("multi-user.target"), "[Unit]\nDescription=Many\n")
        .link(&lib("default.target"), "multi-user.target")
        .link(&lib("dangling.service"), "gone.service")
        .link(&lib("loop.service"), "pool.service")
        .link(&lib("pool.service"), "loop.service")
        .file(&lib("not a unit.service"), WANTED)
        .file(&lib("noext"), "")
        .file(&lib("x.unknown"), "")
        .file(&lib("@.service"), WANTED)
        .dir(&lib("d.service"))
        .file(&lib("e.socket"), "")
        .link(&etc("m.service"), "/dev/null")
        .link(&etc("x.target.wants/a.service"), "/lib/systemd/system/a.service")
        .link(&etc("x.target.requires/t@one.service"), "/lib/systemd/system/t@.service")
        .link(&etc("x.target.wants/t@two.service"), "/lib/systemd/system/t@.service")
        .link(&etc("x.target.wants/u@one.service"), "/lib/systemd/system/u@.service")
        .link(&lib("y.target.wants/b.service"), "../b.service")
        .dir("/usr/share/wants")
        .link("/usr/share/wants/b.service", "/lib/systemd/system/b.service")
        .link(&etc("z.target.wants"), "/usr/share/wants")
        .file("/opt/o.service", WANTED)
        .link(&etc("o.service"), "/opt/o.service")
        .file(&etc("a.service.d/20-b.conf"), "[Unit]\nDescription=Another thing\n")
        .file(&lib("a.service.d/10-a.conf"), "")
        .file(&etc("service.d/30-all.conf"), "")
        .file(&lib("a.service.d/20-b.conf"), "hidden")
        .file("/etc/systemd/system.attached/attached.service", WANTED)
        .file("/usr/local/share/systemd/system/nowhere.service", WANTED)
        .file("/run/systemd/generator/g.service", WANTED)
        .file("/run/systemd/transient/tr.service", WANTED)
        .file("/usr/lib/systemd/system-preset/50.preset", "disable b.service\nenable *\n")
}

#[test]
fn systemctl_lists_the_same() {
    let root = tempfile::tempdir().unwrap();
    tree().write_below(root.path());
    let listed = systemctl(root.path());
    assert!(listed.len() > 15);
    assert_eq!(ours(&mut tree()), listed);
}

/// Unit files that are hard to read: where a line ends, which one it goes on in, what a byte order mark does.
#[test]
fn systemctl_reads_the_same() {
    const SERVICE: &str = "[Service]\nExecStart=/bin/true ";
    const INSTALL: &str = "[Install]\nWantedBy=x.target\n";
    let cases: [(&str, String); 23] = [
        ("one", format!("{SERVICE}\\\n{INSTALL}")),
        ("one-space", format!("{SERVICE}\\ \n{INSTALL}")),
        ("one-tab", format!("{SERVICE}\\\t\n{INSTALL}")),
        ("two", format!("{SERVICE}\\\\\n{INSTALL}")),
        ("three", format!("{SERVICE}\\\\\\\n{INSTALL}")),
        ("one-crlf", format!("{SERVICE}\\\n{INSTALL}").replace('\n', "\r\n")),
        ("one-lfcr", format!("{SERVICE}\\\n{INSTALL}").replace('\n', "\n\r")),
        ("one-cr", format!("{SERVICE}\\\n{INSTALL}").replace('\n', "\r")),
        ("then-empty", format!("{SERVICE}\\\n\n{INSTALL}")),
        ("then-empty-crlf", format!("{SERVICE}\\\n\n{INSTALL}").replace('\n', "\r\n")),
        ("then-blank", format!("{SERVICE}\\\n  \n{INSTALL}")),
        ("then-comment", format!("{SERVICE}\\\n# c \\\n{INSTALL}")),
        ("then-indented-comment", format!("{SERVICE}\\\n  ; c\n{INSTALL}")),
        ("comment", format!("# c \\\n{INSTALL}")),
        ("mark", format!("\u{feff}{INSTALL}")),
        ("mark-later", format!("[Service]\n\u{feff}{INSTALL}")),
        ("mark-twice", format!("\u{feff}[Service]\n\u{feff}{INSTALL}")),
        ("mark-comment", format!("\u{feff}# c \\\n{INSTALL}")),
        ("nul", "[Install]\nWantedBy=\0x.target\n".to_owned()),
        ("nul-lines", "[Install]\0WantedBy=x.target".to_owned()),
        ("odd-space", format!("{INSTALL}\u{a0}WantedBy=\n")),
        ("vertical-tab", "[Install]\n\u{b}WantedBy=x.target\n".to_owned()),
        ("key-in-two", "[Install]\nWantedBy\\\n=x.target\\".to_owned()),
    ];
    let tree = || {
        cases.iter().fold(MemTree::new().link("/lib", "usr/lib"), |tree, (name, text)| {
            tree.file(&lib(&format!("{name}.service")), text)
        })
    };
    let root = tempfile::tempdir().unwrap();
    tree().write_below(root.path());
    let listed = systemctl(root.path());
    assert_eq!(listed.len(), cases.len());
    assert_eq!(ours(&mut tree()), listed);
}

/// Links from name to name that are allowed, and those that are not; and links out of the search path.
#[test]
fn systemctl_follows_the_same_links() {
    let tree = || {
        MemTree::new()
            .link("/lib", "usr/lib")
            .file(&lib("t@.service"), WANTED)
            .file(&lib("r@.service"), WANTED)
            .file(&lib("a.service"), WANTED)
            .file(&lib("m.mount"), WANTED)
            .file("/opt/o.service", WANTED)
            .file("/opt/o.socket", WANTED)
            .file("/opt/p@.service", WANTED)
            .file("/opt/s.service", "[Service]\nExecStart=/bin/true\n")
            .link(&lib("other-instance@q.service"), "t@r.service")
            .link(&lib("instance@q.service"), "t@q.service")
            .link(&lib("of-template@q.service"), "t@.service")
            .link(&lib("template-of@.service"), "t@.service")
            .link(&lib("plain.service"), "t@.service")
            .link(&lib("plain-instance.service"), "t@r.service")
            .link(&lib("of-plain@q.service"), "a.service")
            .link(&lib("template-of-plain@.service"), "a.service")
            .link(&lib("template-of-instance@.service"), "t@r.service")
            .link(&lib("suffix.service"), "a.socket")
            .link(&lib("n.mount"), "m.mount")
            .link(&lib("no-unit.service"), "nothing")
            .link(&lib("t@i.service"), "r@.service")
            .link(&lib("t@j.service"), "t@.service")
            .link(&lib("t@l.service"), "t@k.service")
            .link(&etc("e@q.service"), "/usr/lib/systemd/system/t@r.service")
            .link(&etc("o.service"), "/opt/o.service")
            .link(&etc("other.service"), "/opt/o.service")
            .link(&etc("static.service"), "/opt/s.service")
            .link(&etc("socket.service"), "/opt/o.socket")
            .link(&etc("p@.service"), "/opt/p@.service")
            .link(&etc("other-p@.service"), "/opt/p@.service")
            .link(&etc("p@x.service"), "/opt/p@.service")
            .link(&etc("gone.service"), "/opt/gone.service")
            .link(&lib("vendor.service"), "/opt/o.service")
            .link("/run/systemd/system/runtime.service", "/opt/o.service")
    };
    let root = tempfile::tempdir().unwrap();
    tree().write_below(root.path());
    assert_eq!(ours(&mut tree()), systemctl(root.path()));
}

/// The units of the machine the tests run on: what real packages put there.
#[test]
fn systemctl_lists_the_same_of_this_host() {
    let mut tree = MemTree::new().link("/lib", "usr/lib");
    for directory in ["/etc/systemd", "/usr/lib/systemd", "/usr/local/lib/systemd"] {
        tree = copy(tree, Path::new(directory));
    }
    let root = tempfile::tempdir().unwrap();
    tree.write_below(root.path());
    let listed = systemctl(root.path());
    assert!(listed.len() > 50, "systemd is installed where the tests run");
    assert_eq!(ours(&mut tree), listed);
}

/// A directory of the host: links, and files that are units.
fn copy(mut tree: MemTree, directory: &Path) -> MemTree {
    let Ok(entries) = fs_err::read_dir(directory) else { return tree };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap();
        let kind = path.symlink_metadata().unwrap().file_type();
        tree = if kind.is_symlink() {
            tree.link(name, path.read_link().unwrap().to_str().unwrap())
        } else if kind.is_dir() {
            copy(tree, &path)
        } else if let Ok(text) = fs_err::read_to_string(&path) {
            tree.file(name, text)
        } else {
            tree
        };
    }
    tree
}

#[test]
fn what_is_known_of_a_unit() {
    let mut tree = tree();
    let index = UnitIndex::read(&mut tree).unwrap();
    let units = list(&mut tree, &index).unwrap();
    let unit = |name: &str| units.iter().find(|unit| unit.name == name).unwrap();
    let a = unit("a.service");
    assert_eq!(a.description.as_deref(), Some("Another thing"));
    assert_eq!(a.path, lib("a.service").replace("/usr", ""));
    assert_eq!(a.wanted_by, ["x.target"]);
    assert_eq!(
        a.drop_ins,
        [
            "/lib/systemd/system/a.service.d/10-a.conf".to_owned(),
            etc("a.service.d/20-b.conf"),
            etc("service.d/30-all.conf")
        ]
    );
    assert_eq!(unit("multi-user.target").aliases, ["default.target"]);
    assert_eq!(unit("default.target").alias_of.as_deref(), Some("multi-user.target"));
    let instances: Vec<_> =
        unit("t@.service").instances.iter().map(|i| (i.name.as_str(), i.state.as_str())).collect();
    assert_eq!(instances, [("t@one.service", "enabled"), ("t@two.service", "enabled")]);
    assert!(unit("loop.service").problem.as_ref().unwrap().contains("loop"));
    for unit in &units {
        assert!(STATES.contains(&unit.state.as_str()), "{}", unit.state);
    }
}

#[test]
fn drop_ins_of_longer_names() {
    assert_eq!(
        drop_in_names("a-b-c@x.service"),
        [
            "a-b-c@x.service",
            "a-b-@x.service",
            "a-@x.service",
            "a-b-c@.service",
            "a-b-@.service",
            "a-@.service",
            "service"
        ]
    );
    assert_eq!(drop_in_names("-.mount"), ["-.mount", "mount"]);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for path in
        ["/usr/lib/systemd/system", "/usr/lib/systemd/system/a.service", "/usr/lib/systemd/system-preset"]
    {
        let mut tree = tree().broken(path);
        let listed = UnitIndex::read(&mut tree).map_err(Into::into).and_then(|index| list(&mut tree, &index));
        assert!(listed.is_err(), "{path}");
    }
}

#[test]
fn absurd_trees_end_soon() {
    let mut large = MemTree::new().file(&lib("a.service"), WANTED).sized(&lib("a.service"), 1 << 20);
    let index = UnitIndex::read(&mut large).unwrap();
    let units = list(&mut large, &index).unwrap();
    assert_eq!(units[0].state, "bad");
    assert!(units[0].problem.as_ref().unwrap().contains("larger"));

    let many = |tree, count, name: &dyn Fn(usize) -> String| {
        (0..count).fold(tree, |tree: MemTree, number| tree.file(&lib(&name(number)), "x"))
    };
    let drop_ins = many(MemTree::new(), 400, &|number| format!("service.d/{number}.conf"));
    let mut both = many(drop_ins, 300, &|number| format!("u{number}.service"));
    let index = UnitIndex::read(&mut both).unwrap();
    let error = list(&mut both, &index).unwrap_err().to_string();
    assert!(error.contains("too many"), "{error}");

    let rules = "enable a.service\n".repeat(10_001);
    let mut presets = MemTree::new().file("/etc/systemd/system-preset/a.preset", rules);
    assert!(Presets::read(&mut presets).is_err());
}
