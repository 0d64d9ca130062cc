use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::os::testing::MemTree;

/// The parts of a text that begin with a marker, by title.
fn parts<'a>(text: &'a str, marker: &str) -> BTreeMap<&'a str, &'a str> {
    text.split(marker).skip(1).map(|part| part.split_once('\n').unwrap()).collect()
}

fn tree(files: &BTreeMap<&str, &str>) -> MemTree {
    files.iter().fold(MemTree::new(), |tree, (name, text)| tree.file(&format!("/etc/ssh/{name}"), text))
}

/// The settings for all connections in the form of `sshd -T`.
fn shown(config: &Config) -> Vec<String> {
    let settings = config.settings.iter().filter(|s| s.matching.is_none() && s.name != "HostKey");
    let mut lines: Vec<_> = settings
        .map(|setting| {
            let value = setting.values.join(" ").replace("prohibit-password", "without-password");
            format!("{} {value}", setting.name.to_ascii_lowercase())
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn sshd_says_the_same() {
    let answers = parts(include_str!("testdata/answers.txt"), "=== ");
    let cases = parts(include_str!("testdata/cases.txt"), "=== ");
    assert_eq!(cases.keys().collect::<Vec<_>>(), answers.keys().collect::<Vec<_>>());
    for (title, case) in cases {
        let config = Config::read(&mut tree(&parts(case, "--- "))).unwrap();
        let expected: Vec<_> = answers[title].lines().collect();
        assert_eq!(shown(&config), expected, "{title}");
    }
}

#[test]
fn who_says_so_and_for_whom() {
    let files = BTreeMap::from([
        ("sshd_config", "Include sshd_config.d/*.conf\nPermitRootLogin yes\nMatch User ops\nInclude more\n"),
        ("sshd_config.d/1.conf", "PermitRootLogin no\n"),
        ("more", "PasswordAuthentication no\nMatch Group x\nPermitRootLogin yes\n"),
    ]);
    let config = Config::read(&mut tree(&files)).unwrap();
    let found: Vec<_> = config
        .settings
        .iter()
        .filter(|s| s.file.is_some())
        .map(|s| (s.name.as_str(), s.values[0].as_str(), s.file.as_deref().unwrap(), s.matching.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("PermitRootLogin", "no", "/etc/ssh/sshd_config.d/1.conf", None),
            ("PasswordAuthentication", "no", "/etc/ssh/more", Some("User ops")),
            ("PermitRootLogin", "yes", "/etc/ssh/more", Some("User ops, Group x")),
        ]
    );
}

#[test]
fn what_sshd_refuses_is_said() {
    for (text, expected) in [
        ("PermitRootLogin maybe\n", "line 1: sshd refuses the value"),
        ("\nPort 70000\n", "line 2: sshd refuses the value"),
        ("PasswordAuthentication\n", "has no value"),
        ("PermitRootLogin \"no\n", "a quote is not closed"),
        ("Match\n", "`Match` says nothing"),
        ("Include sshd_config\n", "included too deeply"),
        ("Include [a]*\n", "tib does not read such a pattern"),
    ] {
        let error =
            Config::read(&mut tree(&BTreeMap::from([("sshd_config", text)]))).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(Config::read(&mut MemTree::new().dir("/etc/ssh").broken("/etc/ssh/sshd_config")).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        any_text(&bytes);
    }

    #[test]
    fn any_words_are_survived(text in "((Match|Include|Port|PermitRootLogin|x)[ =\"'\\\\a#]{0,8}\n?){0,8}") {
        let _ = Config::read(&mut MemTree::new().file("/etc/ssh/sshd_config", text));
    }
}
