use super::super::super::run_checks;
use crate::check::Check;
use crate::os::testing::MemTree;
use crate::report::Outcome;

/// What the check says of these files: `ok`, what is wrong, or why it cannot be decided.
fn judged(files: &[(&str, &str)], check: &str) -> String {
    let tree = files.iter().fold(MemTree::new(), |tree, (path, text)| tree.file(path, text));
    let check: Check = toml::from_str(&format!("check = 'config'\n{check}")).unwrap();
    let mut tree = tree;
    let results = run_checks(&mut tree, None, &[], &[check]);
    match &results[0].outcome {
        Outcome::Passed => "ok".to_owned(),
        Outcome::Failed { found } => found.clone(),
        Outcome::NotChecked { reason } => format!("not checked: {reason}"),
    }
}

const MAIN: &str = "/etc/ssh/sshd_config";
const DROP_IN: &str = "/etc/ssh/sshd_config.d/a.conf";

/// Each with what `sshd -T` of OpenSSH 9.2 says of `PasswordAuthentication` with these files.
const SSHD: &[(&str, &str, &str)] = &[
    ("PasswordAuthentication yes\nMatch User backup\nPasswordAuthentication no\n", "", "yes"),
    ("Match User backup\nPasswordAuthentication no\nMatch all\nPasswordAuthentication no\n", "", "no"),
    ("PasswordAuthentication yes\nMatch all\nPasswordAuthentication no\n", "", "no"),
    (
        "PasswordAuthentication yes\nInclude /etc/ssh/sshd_config.d/*.conf\n",
        "PasswordAuthentication no\n",
        "yes",
    ),
    (
        "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication yes\n",
        "PasswordAuthentication no\n",
        "no",
    ),
    (
        "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n",
        "Match User backup\nPasswordAuthentication yes\n",
        "no",
    ),
    ("Include sshd_config.d/*.conf\nPasswordAuthentication no\n", "passwordauthentication=yes\n", "yes"),
    ("Match User a\nInclude /etc/ssh/sshd_config.d/*.conf\n", "PasswordAuthentication no\n", ""),
    ("UsePAM yes\n", "PasswordAuthentication no\n", ""),
    ("PasswordAuthentication \"no\" # local\n", "", "no"),
    ("PasswordAuthentication No\n", "", "no"),
    ("PasswordAuthentication 'no'\n", "", "no"),
    ("Match all # everybody\nPasswordAuthentication no\n", "", "no"),
    ("Include /etc/ssh/sshd_config.d/[a-f]*.conf\n", "PasswordAuthentication no\n", "no"),
    ("Include \"/etc/ssh/none\" '/etc/ssh/sshd_config.d/a.conf'\n", "PasswordAuthentication no\n", "no"),
    ("Include /etc/ssh/none /etc/ssh/sshd_config.d/*.conf # both\n", "PasswordAuthentication no\n", "no"),
    (
        "Include /etc/ssh/sshd_config.d/[!a]*.conf\nPasswordAuthentication yes\n",
        "PasswordAuthentication no\n",
        "yes",
    ),
];

/// Each with a key, and what `sshd -T` of OpenSSH 9.2 says of it.
const FORMER_NAMES: &[(&str, &str, &str)] = &[
    (
        "ChallengeResponseAuthentication no\nKbdInteractiveAuthentication yes\n",
        "KbdInteractiveAuthentication",
        "no",
    ),
    ("SkeyAuthentication no\n", "ChallengeResponseAuthentication", "no"),
    ("DSAAuthentication no\n", "PubkeyAuthentication", "no"),
    ("KeepAlive no\nTCPKeepAlive yes\n", "TCPKeepAlive", "no"),
    (
        "PubkeyAcceptedKeyTypes ssh-ed25519\nPubkeyAcceptedAlgorithms ssh-rsa\n",
        "PubkeyAcceptedAlgorithms",
        "ssh-ed25519",
    ),
    ("HostbasedAcceptedKeyTypes ssh-rsa\n", "HostbasedAcceptedAlgorithms", "ssh-rsa"),
];

#[test]
fn sshd_reads_matches_and_includes() {
    for (main, drop_in, expected) in SSHD {
        let files = [(MAIN, *main), (DROP_IN, *drop_in)];
        // However the files are named, and whatever is said of the order.
        for paths in [
            "path = '/etc/ssh/sshd_config'",
            "path = ['/etc/ssh/sshd_config.d/*.conf', '/etc/ssh/sshd_config']\nwins = 'first'",
        ] {
            let asked =
                |value: &str| judged(&files, &format!("{paths}\nkey = 'PasswordAuthentication'\n{value}"));
            for value in ["yes", "no"] {
                let found = asked(&format!("value = '{value}'"));
                assert_eq!(found == "ok", value == *expected, "{main}|{drop_in}|{value}: {found}");
            }
            assert_eq!(asked("set = false") == "ok", expected.is_empty(), "{main}|{drop_in}");
        }
    }
}

#[test]
fn sshd_knows_keys_by_their_former_names() {
    for (text, key, value) in FORMER_NAMES {
        let check = format!("path = '{MAIN}'\nkey = '{key}'\nvalue = '{value}'");
        assert_eq!(judged(&[(MAIN, *text)], &check), "ok", "{text}");
    }
}

#[test]
fn sshd_includes_no_hidden_files() {
    let files = [
        (MAIN, "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n"),
        ("/etc/ssh/sshd_config.d/.a.conf", "PasswordAuthentication yes\n"),
    ];
    let check = format!("path = '{MAIN}'\nkey = 'PasswordAuthentication'\nvalue = 'no'");
    assert_eq!(judged(&files, &check), "ok");
}

#[test]
fn keys_of_sshd_that_add_up() {
    let asked = |value, wins| {
        let check = format!("path = '{MAIN}'\nkey = 'Port'\nvalue = '{value}'\nwins = '{wins}'");
        judged(&[(MAIN, "Port 22\nPort 2222\n")], &check)
    };
    assert_eq!((asked("22", "first"), asked("2222", "last")), ("ok".to_owned(), "ok".to_owned()));
}

#[test]
fn sshd_includes_have_an_end() {
    let found =
        judged(&[(MAIN, "Include /etc/ssh/sshd_config\n")], &format!("path = '{MAIN}'\nkey = 'Port'"));
    assert!(found.contains("include each other without end"), "{found}");
}

/// Judged by MariaDB's own reader of these files.
#[test]
fn mysql_reads_what_is_included() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (main, drop_in, other) = (path("my.cnf"), path("conf.d/b.cnf"), path("other.cnf"));
    std::fs::create_dir(path("conf.d")).unwrap();
    for (text, included, further) in [
        (format!("[mysqld]\nport=1\n!includedir {}\n", path("conf.d")), "[mysqld]\nport=2\n", ""),
        (format!("!includedir {}\n[mysqld]\nport=1\n", path("conf.d")), "[mysqld]\nport=2\n", ""),
        (format!("[mysqld]\n!include {other}\nport=3\n"), "", "[mysqld]\nport=4\n"),
        (format!("[mysqld]\nport=3\n!include {other}\n"), "", "[client]\nport=4\n"),
        (
            format!("[mysqld]\nport=1\n!includedir {}\n", path("conf.d")),
            "[mysqld]\nport=2 # late\n[mysqld]\nloose-port=5\n",
            "",
        ),
        ("[mysqld]\nport=2#late\n".to_owned(), "", ""),
        ("[mysqld]\nport = \"2#late\" # later\n".to_owned(), "", ""),
        ("[mysqld]\nport = '2'#late\n".to_owned(), "", ""),
    ] {
        let files = [(main.as_str(), text.as_str()), (&drop_in, included), (&other, further)];
        for (path, text) in files {
            std::fs::write(path, text).unwrap();
        }
        let output = std::process::Command::new("my_print_defaults")
            .args([&format!("--defaults-file={main}"), "mysqld"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let last =
            said.lines().rfind(|line| line.contains("port=")).unwrap().rsplit_once('=').unwrap().1.to_owned();
        let check = format!("path = '{main}'\nsection = 'mysqld'\nkey = 'port'\nvalue = '{last}'");
        assert_eq!(judged(&files, &check), "ok", "{text} {included} {further}: {said}");
    }
    let check = |text, key: &str| {
        judged(
            &[("/etc/mysql/my.cnf", text)],
            &format!("path = '/etc/mysql/my.cnf'\nsection = 'mysqld'\nkey = '{key}'\nvalue = '0'"),
        )
    };
    assert_eq!(
        check("[mysqld]\nlog-bin=a\nskip-log-bin\n", "log-bin"),
        "ok",
        "an option that is switched off"
    );
    assert_eq!(check("[mysqld]\nevent-scheduler=OFF\n", "event_scheduler"), "ok", "another word for it");
    let enabled = check("[mysqld]\nenable-log-bin\n", "log-bin");
    assert_eq!(enabled, "/etc/mysql/my.cnf sets it to `1`", "an option that is switched on");
}

/// MariaDB's own reader says so, and ignores it.
#[test]
fn mysql_ignores_what_everybody_may_write() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (main, other) = (path("my.cnf"), path("other.cnf"));
    let files = [
        (main.as_str(), format!("[mysqld]\nport=1\n!include {other}\n")),
        (other.as_str(), "[mysqld]\nport=2\n".to_owned()),
    ];
    for (path, text) in &files {
        std::fs::write(path, text).unwrap();
    }
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o666)).unwrap();
    let output = std::process::Command::new("my_print_defaults")
        .args([&format!("--defaults-file={main}"), "mysqld"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--port=1\n");
    let tree = files.iter().fold(MemTree::new(), |tree, (path, text)| tree.file(path, text));
    let check = format!("check = 'config'\npath = '{main}'\nsection = 'mysqld'\nkey = 'port'\nvalue = '1'");
    let check: Check = toml::from_str(&check).unwrap();
    let result = run_checks(&mut tree.access(&other, 0o666, 0, 0), None, &[], &[check]);
    assert_eq!(result[0].outcome, Outcome::Passed);
}

/// As `postgres -C` of 15 says.
#[test]
fn postgresql_reads_values_and_what_alter_system_wrote() {
    let main = "/etc/postgresql/15/main/postgresql.conf";
    let altered = "/var/lib/postgresql/15/main/postgresql.auto.conf";
    for (text, auto, key, expected) in [
        ("port=5433#x\n", "", "port", "5433"),
        ("listen_addresses = '*'#c\n", "", "listen_addresses", "*"),
        ("listen_addresses = 'it''s'\n", "", "listen_addresses", "it's"),
        ("ssl = yes\n", "", "ssl", "on"),
        ("data_directory = '/var/lib/postgresql/15/main'\nport = 1\n", "port = '2'\n", "port", "2"),
        ("port = 1\n", "port = '2'\n", "port", "1"),
    ] {
        let files = [(main, text), (altered, auto)];
        let check = format!("path = '{main}'\nkey = '{key}'\nvalue = \"{expected}\"");
        assert_eq!(judged(&files, &check), "ok", "{text} {auto}");
    }
    let beside = "/var/lib/pgsql/data/postgresql.conf";
    let files = [(beside, "port = 1\n"), ("/var/lib/pgsql/data/postgresql.auto.conf", "port = 2\n")];
    assert_eq!(judged(&files, &format!("path = '{beside}'\nkey = 'port'\nvalue = '2'")), "ok");
}

#[test]
fn postgresql_and_redis_read_what_is_included() {
    let main = "/etc/postgresql/15/main/postgresql.conf";
    for (text, expected) in [
        ("port = 1\ninclude_dir 'conf.d'\n", "3"),
        ("include_dir = 'conf.d'\nport = 1\n", "1"),
        ("include 'other.conf'\n", "2"),
        ("port = 7\ninclude_if_exists 'missing.conf'\n", "7"),
    ] {
        let files = [
            (main, text),
            ("/etc/postgresql/15/main/other.conf", "port = 2\n"),
            ("/etc/postgresql/15/main/conf.d/b.conf", "port = 3\n"),
            ("/etc/postgresql/15/main/conf.d/.c.conf", "port = 4\n"),
            ("/etc/postgresql/15/main/conf.d/d.txt", "port = 5\n"),
        ];
        assert_eq!(
            judged(&files, &format!("path = '{main}'\nkey = 'port'\nvalue = '{expected}'")),
            "ok",
            "{text}"
        );
    }
    let missing = judged(&[(main, "include 'gone.conf'\n")], &format!("path = '{main}'\nkey = 'port'"));
    assert!(missing.starts_with("not checked"), "{missing}");

    let redis = "/etc/redis/redis.conf";
    let files = [(redis, "port 1\ninclude /etc/redis/more.conf\n"), ("/etc/redis/more.conf", "port 2\n")];
    assert_eq!(judged(&files, &format!("path = '{redis}'\nkey = 'port'\nvalue = '2'")), "ok");
    let relative = judged(&[(redis, "include more.conf\n")], &format!("path = '{redis}'\nkey = 'port'"));
    assert!(relative.starts_with("not checked"), "{relative}");
}

#[test]
fn what_programs_take_is_not_a_matter_of_what_a_check_says() {
    for (path, text, section) in [
        ("/etc/mysql/my.cnf", "[mysqld]\nport=1\nport=2\n", "section = 'mysqld'\n"),
        ("/etc/postgresql/15/main/postgresql.conf", "port = 1\nport = 2\n", ""),
        ("/etc/redis/redis.conf", "port 1\nport 2\n", ""),
    ] {
        for wins in ["first", "last"] {
            let check = format!("path = '{path}'\n{section}key = 'port'\nvalue = '2'\nwins = '{wins}'");
            assert_eq!(judged(&[(path, text)], &check), "ok", "{path} {wins}");
        }
    }
    let other = |wins| {
        judged(
            &[("/etc/a.conf", "port 1\nport 2\n")],
            &format!("path = '/etc/a.conf'\nkey = 'port'\nvalue = '1'\n{wins}"),
        )
    };
    assert_eq!(other("wins = 'first'"), "ok");
    assert_eq!(other(""), "/etc/a.conf sets it to `2`");
}

#[test]
fn other_files_include_nothing() {
    let found = judged(
        &[("/etc/a.conf", "include /etc/b.conf\nport 1\n")],
        "path = '/etc/a.conf'\nkey = 'include'\nvalue = '/etc/b.conf'",
    );
    assert_eq!(found, "ok");
}
