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
