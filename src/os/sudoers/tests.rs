use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;

use super::super::testing::MemTree;
use super::*;
use crate::os::User;

const SAMPLE: &str = r#"Defaults env_reset, !lecture
Defaults:trove !requiretty
User_Alias ADMINS = alice, bob : OPS = %ops, !carol
Cmnd_Alias SH = /bin/sh, \
  /bin/bash
root ALL=(ALL:ALL) ALL
%sudo	ALL=(ALL:ALL) ALL
ADMINS, dave ALL = NOPASSWD: SH, PASSWD: /bin/ls -l\, x : host2 = (mysql) /usr/bin/mysql
trove ALL=(ALL) NOPASSWD:ALL
#1000 ALL=(root) NOEXEC: NOPASSWD: sha224:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa /bin/ls "" # comment
%#27 ALL=/bin/x, ALL # and more
"a b" ALL=ALL, !/bin/su
x\ y ALL=/bin/a (b) c\:d
z ALL=TIMEOUT=5m /bin/a
e ALL=() /bin/a
 l , m h1, h2 = /bin/a : ALL = (a, b : c) NOPASSWD: /bin/b, (d) /bin/c
"#;

fn grants(text: &str) -> Vec<Grant> {
    let statements = statements(text.as_bytes()).into_iter().map(|(_, statement)| statement.unwrap());
    let rules = statements.filter_map(|statement| match statement {
        Statement::Rules(rules) => Some(rules),
        _ => None,
    });
    rules.flatten().map(|rule| rule.shown(rule.free == Some(true))).collect()
}

/// What a grant says in short; digests are left out, since `cvtsudoers` has them apart.
fn short(grant: &Grant) -> String {
    let commands: Vec<_> = grant
        .commands
        .iter()
        .map(|command| match command.strip_prefix("sha224:") {
            Some(rest) => rest.split_once(' ').unwrap().1.to_owned(),
            None => command.clone(),
        })
        .collect();
    let run_as = grant.run_as.as_deref().unwrap_or_default();
    format!("{:?} {:?} ({run_as}) {} {commands:?}", grant.who, grant.hosts, grant.without_password)
}

/// A member of a list in the words of `cvtsudoers -f json`.
fn member(value: &Value) -> String {
    let not = if value["negated"] == true { "!" } else { "" };
    for (key, sign) in [
        ("username", ""),
        ("useralias", ""),
        ("usergroup", "%"),
        ("userid", "#"),
        ("usergid", "%#"),
        ("hostname", ""),
        ("command", ""),
        ("cmndalias", ""),
    ] {
        if let Some(text) = value[key].as_str() {
            return format!("{not}{sign}{text}");
        }
        if let Some(number) = value[key].as_u64() {
            return format!("{not}{sign}{number}");
        }
    }
    panic!("unknown member {value}");
}

fn members(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(member).collect()
}

#[test]
fn a_file_that_ends_within_a_rule_is_an_error() {
    let mut tree = MemTree::new().file("/etc/sudoers", "root ALL=(ALL) ALL\ntrove ALL=(ALL) \\\n");
    let error = read(&mut tree).unwrap_err().to_string();
    assert!(error.contains("ends within a rule"), "{error}");
}

#[test]
fn cvtsudoers_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sudoers");
    fs_err::write(&path, SAMPLE).unwrap();
    let output =
        Command::new("cvtsudoers").args(["-c", "/dev/null", "-f", "json"]).arg(&path).output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let mut expected = Vec::new();
    for spec in json["User_Specs"].as_array().unwrap() {
        for commands in spec["Cmnd_Specs"].as_array().unwrap() {
            let groups = members(&commands["runasgroups"]);
            let mut run_as = members(&commands["runasusers"]).join(",");
            if !groups.is_empty() {
                run_as = format!("{run_as}:{}", groups.join(",").trim_start_matches('%'));
            }
            let free =
                commands["Options"].as_array().into_iter().flatten().any(|o| o["authenticate"] == false);
            let (who, hosts) = (members(&spec["User_List"]), members(&spec["Host_List"]));
            let commands = members(&commands["Commands"]);
            expected.push(format!("{who:?} {hosts:?} ({run_as}) {free} {commands:?}"));
        }
    }
    let mut found: Vec<_> = grants(SAMPLE).iter().map(short).collect();
    assert!(expected.len() > 10);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn includes_are_read_at_their_place() {
    let mut tree = MemTree::new()
        .file("/etc/sudoers", "a ALL=ALL\n#includedir /etc/sudoers.d\n@include local\nz ALL=ALL\n")
        .file("/etc/sudoers.d/b", "b ALL=ALL\n")
        .file("/etc/sudoers.d/c.bak", "no ALL=ALL\n")
        .file("/etc/sudoers.d/c~", "no ALL=ALL\n")
        .dir("/etc/sudoers.d/d")
        .file("/etc/local", "# nothing\nl ALL=ALL\n");
    let found: Vec<_> = read(&mut tree).unwrap().iter().map(|l| (l.file.clone(), l.line)).collect();
    let expected: [(&[u8], usize); 4] =
        [(b"/etc/sudoers", 1), (b"/etc/sudoers.d/b", 1), (b"/etc/local", 2), (b"/etc/sudoers", 4)];
    assert_eq!(found, expected.map(|(path, line)| (path.to_vec(), line)));
    assert_eq!(refused(&mut tree).unwrap(), Vec::<String>::new());
}

/// sudo refuses what others own or may write, files and directories alike; that others may read, or whose group it is, is no
/// matter. Each as sudo 1.9.13 answers `sudo -l`.
#[test]
fn what_others_could_have_written_says_nothing() {
    let tree = || {
        MemTree::new()
            .file("/etc/sudoers", "#includedir /etc/sudoers.d # local rules\na ALL=ALL\n")
            .file("/etc/sudoers.d/b", "b ALL=ALL\n")
    };
    let found = |mut tree: MemTree| {
        let read = read(&mut tree).unwrap().len();
        (read, refused(&mut tree).unwrap().join(", "))
    };
    for (path, mode, uid, gid, rules) in [
        ("/etc/sudoers.d/b", 0o440, 0, 0, 2),
        ("/etc/sudoers.d/b", 0o644, 0, 0, 2),
        ("/etc/sudoers.d/b", 0o640, 0, 0, 2),
        ("/etc/sudoers.d/b", 0o666, 0, 0, 1),
        ("/etc/sudoers.d/b", 0o440, 1000, 0, 1),
        ("/etc/sudoers.d/b", 0o440, 0, 1000, 2),
        ("/etc/sudoers.d/b", 0o640, 0, 4, 2),
        ("/etc/sudoers.d/b", 0o660, 0, 0, 2),
        ("/etc/sudoers.d/b", 0o460, 0, 4, 1),
        ("/etc/sudoers.d/b", 0o664, 0, 1000, 1),
        ("/etc/sudoers.d", 0o750, 0, 1000, 2),
        ("/etc/sudoers.d", 0o775, 0, 0, 2),
        ("/etc/sudoers.d", 0o775, 0, 4, 1),
        ("/etc/sudoers.d", 0o777, 0, 0, 1),
        ("/etc/sudoers.d", 0o755, 1000, 0, 1),
        ("/etc/sudoers", 0o666, 0, 0, 0),
    ] {
        let (read, refused) = found(tree().access(path, mode, uid, gid));
        assert_eq!(read, rules, "{path} {mode:o} {uid} {gid}");
        let expected =
            if rules == 2 { String::new() } else { format!("{path} has mode {mode:04o}, owner {uid}:{gid}") };
        assert_eq!(refused, expected);
    }
}

#[test]
fn the_old_form_of_an_include_is_a_comment_behind_a_blank() {
    for (line, rules) in [
        ("#includedir /etc/sudoers.d", 1),
        ("#includedir\t/etc/sudoers.d", 1),
        (" #includedir /etc/sudoers.d", 0),
        (" @includedir /etc/sudoers.d", 1),
        ("@includedir \"/etc/sudoers.d\"", 1),
    ] {
        let mut tree = MemTree::new().file("/etc/sudoers", line).file("/etc/sudoers.d/a", "a ALL=ALL\n");
        assert_eq!(read(&mut tree).unwrap().len(), rules, "{line}");
    }
}

#[test]
fn comments_do_not_go_on_and_the_first_of_two_aliases_counts() {
    let text = "# a comment \\\na ALL=ALL # another \\\nb ALL=\\\n ALL\n";
    assert_eq!(read(&mut MemTree::new().file("/etc/sudoers", text)).unwrap().len(), 2);
    let text = "User_Alias A = x\nUser_Alias A = y\nA ALL=ALL\n";
    let statements = read(&mut MemTree::new().file("/etc/sudoers", text)).unwrap();
    let user = |name: &str| User { name: name.to_owned(), ..User::nobody() };
    for (name, verdict) in [("x", false), ("y", true)] {
        let user = user(name);
        let person = Person { user: &user, groups: Vec::new() };
        assert_eq!(super::verdict(&statements, &person).unwrap() == Verdict::Nothing, verdict, "{name}");
    }
}

#[test]
fn what_cannot_be_understood_is_said() {
    for (text, expected) in [
        ("a ALL\n", "line 1: it says who, but not what"),
        ("\na = ALL\n", "line 2: it does not say who, or where"),
        ("a ALL=(b ALL\n", "a bracket is not closed"),
        ("a ALL=NOPASSWD:\n", "a command is missing"),
        ("a ALL=bin/x\n", "no absolute path"),
        ("a ALL=NOPASWD: ALL\n", "a tag that sudo does not know"),
        ("a ALL=sha256:beef /bin/x\n", "no absolute path"),
        ("User_Alias all = a\n", "other letters than capitals"),
        ("User_Alias A\n", "an alias is given no members"),
        ("@include /etc/sudoers\n", "holds or includes too much"),
    ] {
        let error = read(&mut MemTree::new().file("/etc/sudoers", text)).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(read(&mut MemTree::new().file("/etc/sudoers", "").broken("/etc")).is_err());
    assert_eq!(read(&mut MemTree::new()).unwrap(), []);
}

#[test]
fn what_sudo_takes_for_a_command() {
    let (short, long) = ("a".repeat(56), "A".repeat(43));
    for command in [
        "/bin/x a b".to_owned(),
        "! /bin/x".to_owned(),
        "ALL".to_owned(),
        "SHELLS".to_owned(),
        "sudoedit /etc/motd".to_owned(),
        "^/bin/(a|b)$".to_owned(),
        "\"/bin/with space\"".to_owned(),
        "NOEXEC: SETENV: /bin/x".to_owned(),
        format!("sha224:{short} /bin/x"),
        format!("sha224:{short}, sha256:{long}= /bin/x"),
    ] {
        let text = format!("a ALL=(root) {command}\n");
        let found = read(&mut MemTree::new().file("/etc/sudoers", &text));
        assert_eq!(found.map_err(|error| error.to_string()).map(|found| found.len()), Ok(1), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = statements(&bytes);
    }

    #[test]
    fn any_words_are_survived(text in "([a-zA-Z#%!@]{1,4}|ALL|NOPASSWD|[=:,()\"\\\\ \\n]){0,30}") {
        let _ = statements(text.as_bytes());
    }
}
