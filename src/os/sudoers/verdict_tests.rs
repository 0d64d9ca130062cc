use std::process::Command;

use proptest::prelude::*;

use super::super::{read, shown};
use super::*;
use crate::os::testing::MemTree;
use crate::os::{Group, User};

const NOTHING: Verdict = Verdict::Nothing;
const SOME: Verdict = Verdict::Something;
const FREE: Verdict = Verdict::Everything { asked: false, free: true };
const ASKED: Verdict = Verdict::Everything { asked: true, free: false };
const MIXED: Verdict = Verdict::Everything { asked: true, free: true };

/// What sudo lets the user `u` in the group `g` do.
const CASES: &[(&str, Verdict)] = &[
    ("", NOTHING),
    ("root ALL=(ALL) ALL", NOTHING),
    ("u ALL=(ALL) ALL", ASKED),
    ("%g ALL=(ALL:ALL) NOPASSWD: ALL", FREE),
    ("u ALL=NOPASSWD: ALL\n%g ALL=(ALL) PASSWD: ALL", ASKED),
    ("u ALL=(postgres) NOPASSWD: ALL", SOME),
    ("u elsewhere=(ALL) NOPASSWD: ALL", SOME),
    ("u ALL=(root) /bin/ls", SOME),
    ("User_Alias X = u\nX ALL=(root) NOPASSWD: ALL", FREE),
    // Where `ALL` stands in the list.
    ("u ALL=(ALL) !ALL, /bin/bash", SOME),
    ("u ALL=(ALL) /bin/bash, !ALL", NOTHING),
    ("u ALL=(ALL) ALL, !/bin/bash", SOME),
    ("u ALL=(ALL) ALL, !/bin/bash, /bin/bash", ASKED),
    ("u ALL=(ALL) !/bin/bash, ALL", ASKED),
    ("u ALL=(ALL) ALL\nu ALL=(ALL) !/bin/bash", SOME),
    ("u ALL=(ALL) !!ALL", ASKED),
    ("u ALL=(ALL) !!!ALL", NOTHING),
    ("u ALL=(ALL) ALL, ! /bin/bash", SOME),
    // Whom `!ALL` is about.
    ("u ALL=(postgres) NOPASSWD: ALL\nu ALL=(root) !ALL", SOME),
    ("u ALL=(postgres) NOPASSWD: ALL\nu ALL=(ALL) !ALL", NOTHING),
    ("u ALL=(postgres) ALL\nu ALL=(postgres) !ALL", NOTHING),
    ("u ALL=(ALL) ALL\nu ALL=(root) !ALL", SOME),
    ("u ALL=(ALL) ALL\nu ALL=!ALL", SOME),
    ("u ALL=ALL\nu ALL=!ALL", NOTHING),
    ("u ALL=(ALL) ALL\nu elsewhere=(ALL) !ALL", SOME),
    ("u elsewhere=(ALL) ALL\nu ALL=(ALL) !ALL", NOTHING),
    // Groups are something of their own.
    ("u ALL=(ALL:ALL) ALL\nu ALL=(ALL) !ALL", SOME),
    ("u ALL=(ALL:ALL) ALL\nu ALL=(ALL:ALL) !ALL", NOTHING),
    ("u ALL=(:g) NOPASSWD: ALL", SOME),
    // Who root is.
    ("u ALL=(ALL, !root) NOPASSWD: ALL", SOME),
    ("u ALL=(!root, ALL) NOPASSWD: ALL", FREE),
    ("u ALL=(ALL, !#0) NOPASSWD: ALL", SOME),
    ("u ALL=(!root) ALL", NOTHING),
    ("u ALL=(ALL, !postgres) ALL", ASKED),
    ("u ALL=() ALL", SOME),
    ("u ALL=(#0) NOPASSWD: ALL", FREE),
    ("Defaults runas_default=postgres\nu ALL=ALL", SOME),
    // Hosts.
    ("u ALL, !elsewhere=(ALL) ALL", SOME),
    ("u !ALL=(ALL) ALL", NOTHING),
    // Aliases of everything.
    ("Cmnd_Alias C = ALL\nu ALL=(ALL) C", ASKED),
    ("Cmnd_Alias C = ALL\nu ALL=(ALL) ALL, !C", NOTHING),
    ("Cmnd_Alias C = !/bin/bash : D = ALL, C\nu ALL=(ALL) D", SOME),
    ("Cmnd_Alias C = /bin/bash : D = C\nu ALL=(ALL) ALL, !D", SOME),
    ("Runas_Alias R = ALL, !root\nu ALL=(R) ALL", SOME),
    ("Runas_Alias R = root\nu ALL=(ALL, !R) ALL", SOME),
    ("Runas_Alias R = ALL\nu ALL=(R) ALL", ASKED),
    ("Host_Alias H = ALL\nu H=(ALL) ALL", ASKED),
    ("Host_Alias H = elsewhere, fe80::1 : I = ALL\nu I=(ALL) ALL", ASKED),
    ("User_Alias A = ALL : B = !A\nB ALL=(ALL) ALL", NOTHING),
    // Passwords for a part.
    ("u ALL=(ALL) ALL\nu ALL=(ALL) NOPASSWD: /bin/bash", MIXED),
    ("u ALL=(ALL) NOPASSWD: /bin/bash\nu ALL=(ALL) ALL", ASKED),
    ("u ALL=(ALL) NOPASSWD: ALL, PASSWD: /bin/bash", MIXED),
    ("u ALL=(ALL) ALL\nu ALL=(postgres) NOPASSWD: /bin/bash", MIXED),
    ("u ALL=(ALL) ALL\nu elsewhere=(ALL) NOPASSWD: ALL", MIXED),
    // Passwords by default.
    ("Defaults !authenticate\nu ALL=(ALL) ALL", FREE),
    ("u ALL=(ALL) ALL\nDefaults !authenticate", FREE),
    ("Defaults !authenticate\nu ALL=(ALL) PASSWD: ALL", ASKED),
    ("Defaults !authenticate, !lecture\nDefaults authenticate\nu ALL=(ALL) ALL", ASKED),
    ("Defaults:u !authenticate\nu ALL=(ALL) ALL", FREE),
    ("Defaults:root, u !authenticate\nu ALL=(ALL) ALL", FREE),
    ("Defaults:%g !authenticate\nDefaults authenticate\nu ALL=(ALL) ALL", ASKED),
    ("Defaults:root !authenticate\nu ALL=(ALL) ALL", ASKED),
    ("User_Alias A = ALL, !u\nDefaults:A !authenticate\nu ALL=(ALL) ALL", ASKED),
    ("Defaults>root !authenticate\nu ALL=(root) ALL", FREE),
    ("Defaults>root !authenticate\nu ALL=(ALL) ALL", FREE),
    ("Defaults>postgres !authenticate\nu ALL=(ALL) ALL", MIXED),
    ("Defaults@elsewhere !authenticate\nu ALL=(ALL) ALL", MIXED),
    ("Defaults@ALL !authenticate\nu ALL=(ALL) ALL", FREE),
    ("Defaults!/bin/bash !authenticate\nu ALL=(ALL) ALL", MIXED),
    ("Defaults!/bin/bash !authenticate\nDefaults authenticate\nu ALL=(ALL) ALL", MIXED),
    ("Defaults exempt_group=g\nu ALL=(ALL) ALL", FREE),
    ("Defaults exempt_group=g\nu ALL=(ALL) PASSWD: ALL", FREE),
    ("Defaults exempt_group=h\nu ALL=(ALL) ALL", ASKED),
    ("Defaults !!!authenticate\nu ALL=(ALL) ALL", FREE),
    // Whose case does not count, and whose time it is not.
    ("U ALL=(ALL) ALL", ASKED),
    ("%G ALL=(ALL) ALL", ASKED),
    ("u ALL=(ALL) NOTAFTER=20200101000000Z NOPASSWD: ALL", NOTHING),
    ("u ALL=(ALL) NOTBEFORE=20990101000000Z NOPASSWD: ALL", NOTHING),
    ("u ALL=(ALL) NOTAFTER=20990101000000Z NOPASSWD: ALL", FREE),
    ("u ALL=(ALL) NOTAFTER=20200101000000Z NOPASSWD: ALL\nu ALL=(ALL) ALL", ASKED),
];

/// Whether sudo refuses `u` who has no terminal.
const TERMINALS: &[(&str, bool)] = &[
    ("", false),
    ("Defaults requiretty", true),
    ("Defaults !!requiretty", true),
    ("Defaults !lecture, requiretty", true),
    ("Defaults requiretty\nDefaults !requiretty", false),
    ("Defaults requiretty\nDefaults:u !requiretty", false),
    ("Defaults:u !requiretty\nDefaults requiretty", true),
    ("Defaults requiretty\nDefaults:%g !requiretty", false),
    ("User_Alias A = u\nDefaults requiretty\nDefaults:A !requiretty", false),
    ("Defaults requiretty\nDefaults:root !requiretty", true),
    ("Defaults:root requiretty", false),
    ("Defaults>root !requiretty\nDefaults requiretty", true),
    ("Defaults requiretty\nDefaults>root !requiretty", false),
    ("Defaults!ALL !requiretty\nDefaults requiretty", false),
];

fn user() -> User {
    User { name: "u".into(), uid: 1000, gid: 7, home: "/".into(), shell: "/bin/sh".into() }
}

fn found(sudoers: &str) -> Verdict {
    let (user, group) = (user(), Group { name: "g".into(), gid: 7, members: vec![] });
    let statements = read(&mut MemTree::new().file("/etc/sudoers", format!("{sudoers}\n"))).unwrap();
    let people = Person::all(std::slice::from_ref(&user), std::slice::from_ref(&group));
    verdict(&statements, &people[0]).unwrap()
}

#[test]
fn rules_together() {
    for (sudoers, expected) in CASES {
        assert_eq!(found(sudoers), *expected, "{sudoers}");
    }
    let group = Group { name: "g".into(), gid: 7, members: vec![] };
    let statements = read(&mut MemTree::new().file("/etc/sudoers", "%g ALL=(ALL) ALL\n")).unwrap();
    assert_eq!(verdict(&statements, &Person::member(&User::nobody(), &group)).unwrap(), ASKED);
}

#[test]
fn terminals() {
    let (user, group) = (user(), Group { name: "g".into(), gid: 7, members: vec![] });
    let people = Person::all(std::slice::from_ref(&user), std::slice::from_ref(&group));
    for (sudoers, expected) in TERMINALS {
        let statements = read(&mut MemTree::new().file("/etc/sudoers", format!("{sudoers}\n"))).unwrap();
        assert_eq!(needs_terminal(&statements, &people[0]).unwrap(), *expected, "{sudoers}");
    }
}

#[test]
fn root_is_never_asked() {
    let root = User { name: "root".into(), uid: 0, gid: 0, ..user() };
    let people = Person::all(std::slice::from_ref(&root), &[]);
    let statements = read(&mut MemTree::new().file("/etc/sudoers", "root ALL=(ALL) ALL\n")).unwrap();
    assert_eq!(verdict(&statements, &people[0]).unwrap(), FREE);
}

#[test]
fn visudo_takes_the_cases() {
    let directory = tempfile::tempdir().unwrap();
    for (sudoers, _) in CASES {
        let path = directory.path().join("sudoers");
        fs_err::write(&path, format!("{sudoers}\n")).unwrap();
        let output = Command::new("visudo").arg("-cf").arg(&path).output().unwrap();
        assert!(output.status.success(), "{sudoers}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Who may bind directories over the system's may ask sudo itself, in a mount namespace of its own. `None` for who may not.
fn asked(directory: &std::path::Path, sudoers: &str, asks: &str) -> Option<Vec<bool>> {
    let etc = directory.join("etc");
    fs_err::create_dir_all(etc.join("pam.d")).unwrap();
    for (name, text) in [
        ("passwd", "root:x:0:0::/:/bin/sh\nu:x:1000:7::/:/bin/sh\npostgres:x:70:70::/:/bin/sh\n"),
        ("group", "root:x:0:\ng:x:7:\nh:x:8:\n"),
        ("shadow", "root:*:1::::::\nu:*:1::::::\npostgres:*:1::::::\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        (
            "pam.d/sudo",
            "auth required pam_deny.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
        ),
    ] {
        fs_err::write(etc.join(name), text).unwrap();
    }
    let path = etc.join("sudoers");
    let _ = fs_err::remove_file(&path);
    fs_err::write(&path, format!("{sudoers}\n")).unwrap();
    let script = format!(
        "mount --bind etc /etc && mount -t tmpfs run /run && mount -t tmpfs var /var || exit
        may() {{ sudo -U u \"$@\" -l /bin/bash >/dev/null 2>&1 && echo yes || echo no; }}
        try() {{ setsid setpriv --reuid 1000 --regid 7 --clear-groups sudo -n \"$@\" /bin/bash -c : 2>/dev/null && echo yes || echo no; }}
        echo {asks}"
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .current_dir(directory)
        .output()
        .unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answer.split_whitespace().map(|word| word == "yes").collect();
    (!answers.is_empty()).then_some(answers)
}

#[test]
fn sudo_says_the_same() {
    const ASKS: &str = "$(may -u root) $(may -u postgres) $(may -g g) $(try -u root) $(try -u postgres)";
    let directory = tempfile::tempdir().unwrap();
    for (sudoers, verdict) in CASES {
        let Some(answers) = asked(directory.path(), sudoers, ASKS) else { return };
        let &[root, other, group, root_free, other_free] = &answers[..] else { panic!("{answers:?}") };
        let fits = match verdict {
            Verdict::Nothing => !root && !other && !group,
            // bash is the command that the cases make an exception of.
            Verdict::Something => true,
            Verdict::Everything { asked, free } => {
                root && (!root_free || *free) && (root_free || *asked) && (!other_free || *free)
            }
        };
        assert!(fits, "{sudoers}: {verdict:?}, but sudo says {answers:?}");
    }
}

#[test]
fn sudo_asks_the_same_for_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    for (sudoers, needed) in TERMINALS {
        let sudoers = format!("{sudoers}\nu ALL=(ALL) NOPASSWD: ALL");
        let Some(answers) = asked(directory.path(), &sudoers, "$(try -u root)") else { return };
        assert_eq!(answers, [!needed], "{sudoers}");
    }
}

proptest! {
    #[test]
    fn any_rules_are_survived(
        text in "((Defaults([:>@!](u|ALL|A))? !?(authenticate|exempt_group=g)|(User|Runas|Host|Cmnd)_Alias [AB] = !?[ABu](, ALL)?\
                  |[uAB!]{1,2} [hAB]=\\([uAB:]{0,3}\\) ((NO)?PASSWD: )?!?(ALL|A|/b)(, !?(ALL|B|/a))?)\n){0,20}"
    ) {
        let user = user();
        let people = Person::all(std::slice::from_ref(&user), &[]);
        if let Ok(statements) = read(&mut MemTree::new().file("/etc/sudoers", &text)) {
            let verdict = verdict(&statements, &people[0]).unwrap();
            let shown = shown(&statements, &people).unwrap();
            // Nobody is allowed something by rules that mean somebody else.
            prop_assert!(verdict == Verdict::Nothing || shown.iter().any(|rule| !rule.users.is_empty()));
        }
    }
}
