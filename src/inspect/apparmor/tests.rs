use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::os::testing::MemTree;

const SAMPLE: &str = r#"abi <abi/3.0>,
@{P}=/opt/p
/usr/sbin/plain {
  /x{,y}/** r,
  profile child /y { /z r, }
  ^hat { /q r, }
}
"/usr/bin/with space" flags=(complain,attach_disconnected) { /x r, }
profile quoted "/a b/*" { /x r, }
profile "na me" { }
/usr/lib/@{P}/x { }
profile cond /usr/bin/c xattrs=(user.x="y") flags=(unconfined) { }
profile ns /usr/bin/n
{
  signal (send) set=(term, kill) peer=unconfined,
  unix (send, receive) type=stream peer=(label=ns, addr="@a"),
  audit deny /{a,b}/[{]c] w,
}
profile a//b { /x r, }
"#;

/// The names that `apparmor_parser` reads in a file; `None` when it refuses the file.
fn names_by_parser(path: &Path) -> Option<BTreeSet<String>> {
    let output =
        Command::new("/usr/sbin/apparmor_parser").args(["-N", "-Q", "-K"]).arg(path).output().unwrap();
    let names = || String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    output.status.success().then(names)
}

fn names_here(text: &[u8]) -> BTreeSet<String> {
    parse::headers(text).unwrap().into_iter().map(|header| header.name).collect()
}

#[test]
fn apparmor_parser_says_the_same() {
    // AppArmor is not a part of every distribution; where apt is, `make setup` has brought the parser.
    if !Path::new("/etc/debian_version").exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sample");
    fs_err::write(&path, SAMPLE).unwrap();
    let expected = names_by_parser(&path).expect("a sample that is accepted");
    assert_eq!(expected.len(), 10, "{expected:?}");
    assert_eq!(names_here(SAMPLE.as_bytes()), expected);
    for entry in fs_err::read_dir("/etc/apparmor.d").unwrap() {
        let path = entry.unwrap().path();
        // What this host has besides is its own affair; it counts where the parser takes it.
        if path.is_file()
            && let Some(expected) = names_by_parser(&path)
        {
            assert_eq!(names_here(&fs_err::read(&path).unwrap()), expected, "{}", path.display());
        }
    }
}

#[test]
fn links_and_flags_make_the_mode() {
    let mut tree = MemTree::new()
        .file(
            "/etc/apparmor.d/one",
            "/one { }\n/two flags=(complain) { }\n/three flags=(kill.signal=hup) { }\n",
        )
        .file("/etc/apparmor.d/off", "profile off /off flags=(complain) { }\n")
        .link("/etc/apparmor.d/disable/off", "/etc/apparmor.d/off")
        .file("/etc/apparmor.d/soft", "/soft flags=(unconfined) { }\n/softer { ^h { } }\n")
        .link("/etc/apparmor.d/force-complain/soft", "../soft")
        .file("/etc/apparmor.d/old.dpkg-old", "/no { }\n")
        .file("/etc/apparmor.d/local/one", "/x r,\n")
        .file("/etc/apparmor.d/abstractions/base", "/x r,\n")
        .link("/etc/apparmor.d/dangling", "/nowhere")
        .file("/usr/sbin/apparmor_parser", "")
        .file("/usr/lib/systemd/system/apparmor.service", "[Install]\nWantedBy=sysinit.target\n")
        .link(
            "/etc/systemd/system/sysinit.target.wants/apparmor.service",
            "/usr/lib/systemd/system/apparmor.service",
        );
    let found = apparmor(&mut tree).unwrap().unwrap();
    let modes: Vec<_> = found.profiles.iter().map(|p| (p.name.as_str(), p.mode)).collect();
    use ProfileMode::{Complain, Disabled, Enforce, Kill};
    assert_eq!(
        modes,
        [
            ("off", Disabled),
            ("/one", Enforce),
            ("/two", Complain),
            ("/three", Kill),
            ("/soft", Complain),
            ("/softer", Complain),
            ("/softer//h", Complain)
        ]
    );
    assert_eq!((found.parser, found.service.as_str()), (true, "enabled"));
    assert_eq!(apparmor(&mut MemTree::new()).unwrap(), None);
    for bad in [
        tree.clone().file("/etc/apparmor.d/one", "/one {"),
        tree.clone().broken("/etc/apparmor.d/disable"),
        tree.clone().broken("/etc/apparmor.d"),
    ] {
        assert!(apparmor(&mut bad.clone()).is_err());
    }
}

#[test]
fn links_that_lead_nowhere_count_for_nothing() {
    let mut tree = MemTree::new()
        .file("/etc/apparmor.d/one", "/one { }\n")
        .link("/etc/apparmor.d/disable/one", "/etc/apparmor.d/gone");
    assert_eq!(apparmor(&mut tree).unwrap().unwrap().profiles[0].mode, ProfileMode::Enforce);
    // As for the parser itself.
    let parser = Path::new("/usr/sbin/apparmor_parser");
    if !parser.exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("one"), directory.path().join("disable/one"));
    fs_err::write(&file, "profile one /one { }\n").unwrap();
    fs_err::create_dir(link.parent().unwrap()).unwrap();
    for (target, skipped) in [("gone", false), ("../one", true)] {
        let _ = fs_err::remove_file(&link);
        fs_err::os::unix::fs::symlink(target, &link).unwrap();
        let mut command = Command::new(parser);
        command.arg("-b").arg(directory.path()).args(["-Q", "-K"]).arg(&file);
        let told = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert_eq!(told.contains("Skipping profile"), skipped, "{target}: {told}");
    }
}

#[test]
fn rules_of_the_site_are_shown() {
    let mut tree = MemTree::new()
        .file(
            "/etc/apparmor.d/usr.sbin.mysqld",
            "/usr/sbin/mysqld {\n  #include <local/usr.sbin.mysqld>\n}\n/other { }\n",
        )
        .file("/etc/apparmor.d/local/usr.sbin.mysqld", "# Site\n\n  /tmp/  rw,\n/tmp/** rwk,");
    let found = apparmor(&mut tree).unwrap().unwrap().profiles;
    assert_eq!(found[0].local, ["/tmp/ rw,", "/tmp/** rwk,"]);
    assert_eq!(found[1].local, [""; 0]);
}
