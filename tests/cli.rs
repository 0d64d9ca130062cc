//! The command line as a user meets it, without an appliance: help texts, recipes, exit codes.

mod common;

use std::process::{Command, Output};

fn tib(args: &[&str]) -> Output {
    tib_beside(&[], args)
}

/// Runs `tib` in a directory that holds some files.
fn tib_beside(files: &[(&str, &str)], args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(home.path().join(name), text).unwrap();
    }
    Command::new(common::tib_path())
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("TIB_CACHE_DIR", home.path().join("cache"))
        .current_dir(home.path())
        .output()
        .unwrap()
}

/// Exit code, stdout and stderr, with what changes from run to run replaced.
fn transcript(args: &[&str]) -> String {
    transcript_of(args, &tib(args))
}

fn transcript_of(args: &[&str], output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    format!(
        "$ tib {}\nexit code {}\n----- stdout -----\n{}\n----- stderr -----\n{}\n",
        args.join(" "),
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr)
    )
}

macro_rules! snapshot {
    ($name:literal, $($arg:literal),*) => {
        insta::with_settings!({ filters => vec![
            (r"/[^ `\n]*/\.tmp[A-Za-z0-9]+", "[HOME]"),
            (r"tib \d+\.\d+\.\d+", "tib [VERSION]"),
            // On a busy machine even nothing takes a while.
            (r"(?m)^\[ *\d+\.\d\] ", "[   0.0] "),
            // Days pass.
            (r"(until|ended on) (\d{4}-\d\d-\d\d) *", "[until] $2 "),
        ]}, { insta::assert_snapshot!($name, transcript(&[$($arg),*])); });
    };
}

#[test]
fn help() {
    snapshot!("help_base", "base", "--help");
    snapshot!("help_base_fetch", "base", "fetch", "--help");
    snapshot!("help_cache", "cache", "--help");
    snapshot!("help", "--help");
    snapshot!("help_boot", "boot", "--help");
    snapshot!("help_build", "build", "--help");
    snapshot!("help_inspect", "inspect", "--help");
    snapshot!("help_ls", "ls", "--help");
    snapshot!("help_log", "log", "--help");
    snapshot!("help_prove", "prove", "--help");
    snapshot!("help_tail", "tail", "--help");
    snapshot!("help_verify", "verify", "--help");
    snapshot!("help_recipe_show", "recipe", "show", "--help");
}

#[test]
fn recipes() {
    snapshot!("recipe_list", "recipe", "list");
    snapshot!("recipe_check", "recipe", "check");
    snapshot!("recipe_unknown", "recipe", "show", "mariadv");
    snapshot!("recipe_unknown_os", "recipe", "show", "mariadb", "--os", "plan9-4");
}

#[test]
fn a_recipe_is_checked_for_the_systems_it_is_made_for() {
    let head = "name = \"site\"\nsummary = \"s\"\n";
    let check = |text: &str, args: &[&str]| {
        let text = format!("{head}{text}");
        let output =
            tib_beside(&[("site.toml", &text)], &[&["recipe", "check", "./site.toml"], args].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let debian = "when = { distro = \"debian\" }\n";
    assert_eq!(
        check(debian, &[]),
        (Some(0), "./site.toml: good for debian-11, debian-12, debian-13\n".to_owned())
    );
    // What it extends decides as well.
    let below = "extends = [\"redis\"]\nwhen = { family = \"rhel\", release = \"8\" }\n";
    let (code, told) = check(below, &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (code, &told[0]["planned"]),
        (Some(0), &serde_json::json!(["rocky-8", "almalinux-8", "rhel-8", "centos-8"]))
    );
    let none = check("when = { family = \"suse\" }\n", &[]);
    assert_eq!(none.0, Some(3));
    assert!(none.1.starts_with("./site.toml: recipe `site` supports none of debian-11, "), "{none:?}");
    // A mistake on one system alone is found, and told with it.
    let mistake = "[[packages]]\nwhen = { family = \"rhel\" }\ninstall = [\"{{ nothing }}\"]\n";
    let (code, told) = check(mistake, &[]);
    let expected =
        "./site.toml: on rocky-8 (x86_64): ./site.toml:3: `packages.install`: undefined variable `nothing`\n";
    assert_eq!((code, told.as_str()), (Some(3), expected));
    assert_eq!(
        check("when = { arch = \"aarch64\", release = \"12\" }\n", &[]).1,
        "./site.toml: good for debian-12\n"
    );
    let there = mistake.replace("family = \"rhel\"", "distro = \"debian\", arch = \"aarch64\"");
    assert!(
        check(&there, &[]).1.starts_with("./site.toml: on debian-11 (aarch64): "),
        "{:?}",
        check(&there, &[])
    );
    let excluded = format!("{debian}{mistake}");
    assert_eq!(check(&excluded, &[]).0, Some(0), "never planned, so never wrong");
}

#[test]
fn recipes_are_shown_with_the_values_that_hold_for_the_system() {
    let show = |args: &[&str]| {
        let output = tib(&[&["recipe", "show", "postgresql"], args].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    for (args, default, installed) in [
        (&[][..], "[default: 15]", "postgresql-15"),
        (&["--os", "ubuntu-24.04"], "[default: 16]", "postgresql-16"),
        (&["--set", "postgresql_version=17"], "[default: 15]", "postgresql-17"),
    ] {
        let text = show(args);
        assert!(text.contains(default) && text.contains(installed), "{args:?}: {text}");
    }
}

#[test]
fn files_on_the_command_line_are_looked_at_before_a_base_is_fetched() {
    for (name, args) in [
        ("agent_missing", &["build", "redis", "--offline", "--agent", "path:./trove"][..]),
        ("agent_below_a_tilde", &["build", "redis", "--offline", "--agent", "path:~/trove"]),
        (
            "constraints_missing",
            &["build", "trove-guest", "--offline", "--agent", "pypi", "--constraints", "upper.txt"],
        ),
    ] {
        for more in [&[][..], &["--dry-run"]] {
            let output = tib(&[args, more].concat());
            assert_eq!(output.status.code(), Some(2), "{}", transcript_of(args, &output));
            insta::with_settings!({ filters => vec![(r"/[^ `\n]*/\.tmp[A-Za-z0-9]+", "[HOME]")] }, {
                insta::assert_snapshot!(name, transcript_of(args, &output));
            });
        }
    }
}

/// Events on stderr: every line is one.
fn events(output: &Output) -> Vec<serde_json::Value> {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {stderr}"));
    stderr.lines().map(parse).collect()
}

#[test]
fn quiet_does_not_change_the_form_of_what_is_left() {
    for quiet in ["-q", "--quiet"] {
        let told = events(&tib(&[quiet, "--progress", "json", "recipe", "show", "no-such-recipe"]));
        let names: Vec<_> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["start", "error"]);
    }
    // Two images that are nowhere: stages are told without it, and not with it.
    let fetch = ["--progress", "json", "base", "fetch", "--offline", "debian-12"];
    let names = |output: &Output| -> Vec<String> {
        events(output).iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    };
    assert!(names(&tib(&fetch)).contains(&"stage-started".to_owned()));
    assert_eq!(names(&tib(&[&["-q"], &fetch[..]].concat())), ["start", "error"]);
}

#[test]
fn a_stage_that_failed_is_not_told_as_finished() {
    let output = tib(&["--progress", "json", "base", "fetch", "--offline", "debian-12", "rocky-9"]);
    assert_eq!(output.status.code(), Some(4));
    let told = events(&output);
    let names: Vec<_> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["start", "stage-started", "error", "error"]);
    for (event, name) in told[2..].iter().zip(["debian-12", "rocky-9"]) {
        assert!(event["message"].as_str().unwrap().contains(name), "{event}");
        assert_eq!(event["exit_code"], 4);
    }
}

#[test]
fn a_host_without_mmdebstrap_cannot_bootstrap() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(common::tib_path());
    command.args(["build", "redis", "--base", "bootstrap:debian-12"]).env_clear();
    command.env("PATH", home.path()).env("HOME", home.path()).current_dir(home.path());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(stderr.contains("cannot bootstrap on this host: mmdebstrap is not installed\n"), "{stderr}");
    assert!(stderr.contains("hint: install the packages mmdebstrap and uidmap\n"), "{stderr}");
}

#[test]
fn usage_errors() {
    snapshot!("no_such_base", "build", "redis", "--base", "debain-12");
    snapshot!("url_without_checksum", "build", "redis", "--base", "https://a.example/x.qcow2");
    snapshot!("base_offline", "build", "redis", "--offline");
    snapshot!("no_command", "biuld");
    snapshot!("bad_agent", "build", "redis", "--agent", "svn:trunk");
    snapshot!("bad_size", "build", "redis", "--size", "big");
    snapshot!("bad_set", "build", "redis", "--set", "novalue");
    snapshot!("log_bad_time", "log", "x.qcow2", "--since", "yesterday");
    snapshot!("log_bad_priority", "log", "x.qcow2", "-p", "loud");
    snapshot!("log_file_has_no_units", "log", "x.qcow2", "syslog", "-u", "ssh");
    snapshot!("no_such_key_file", "build", "redis", "--ssh-key", "missing.pub");
}

#[test]
fn files_of_checks_are_judged_before_the_image_is_opened() {
    let table = "[[check]]\ncheck = \"path\"\npath = \"/etc/x\"\n";
    for (name, text) in [
        ("checks_unknown_key", format!("# ours\n{table}mod = \"0644\"\n")),
        ("checks_bad_regex", format!("{table}\n{table}matches = \"port [0-9\"\n")),
        ("checks_empty", "check = []\n".to_owned()),
    ] {
        let args = ["verify", "missing.qcow2", "--checks", "site.toml"];
        let output = tib_beside(&[("site.toml", &text)], &args);
        assert_eq!(output.status.code(), Some(3));
        insta::assert_snapshot!(name, transcript_of(&args, &output));
    }
    snapshot!("checks_missing", "verify", "missing.qcow2", "--checks", "site.toml");
}

#[test]
fn json_progress_begins_with_its_version() {
    let output = tib(&["--progress", "json", "build", "no-such-recipe"]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    assert_eq!(lines[0]["event"], "start");
    assert_eq!(lines[0]["version"], 1);
    let last = lines.last().unwrap();
    assert_eq!((last["event"].as_str(), last["exit_code"].as_u64()), (Some("error"), Some(3)));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_closed_pipe_is_no_error() {
    for command in
        [&["recipe", "schema"][..], &["recipe", "list"], &["base", "list", "--all", "--json"], &["--help"]]
    {
        // Nobody reads from the very beginning, so that even a short output cannot be written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut tib = Command::new(common::tib_path());
        tib.args(command).env("HOME", "/nonexistent").stdout(writer);
        let output = tib.stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn the_schemas_in_the_repository_are_the_programs() {
    let cases: [(&[&str], &str); 4] = [
        (&["recipe", "schema"], include_str!("../recipes/recipe.schema.json")),
        (&["recipe", "schema", "--checks"], include_str!("../recipes/checks.schema.json")),
        (&["base", "schema"], include_str!("../base-images/base-image.schema.json")),
        (&["inspect", "--schema"], include_str!("../docs/inspect.schema.json")),
    ];
    for (command, checked_in) in cases {
        let output = tib(command);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), checked_in, "run `make generate`");
    }
}

#[test]
fn the_catalogue_as_it_is_listed() {
    snapshot!("base_list", "base", "list", "--all");
    snapshot!("base_show", "base", "show", "noble");
}

/// An ext4 image with some files.
fn image(directory: &std::path::Path, files: &[(&str, &str)]) -> String {
    let tree = directory.join("tree");
    std::fs::create_dir(&tree).unwrap();
    for (path, content) in files {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let image = directory.join("image.raw");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let status = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .args([&tree, &image])
        .arg("8M")
        .env("PATH", path)
        .status()
        .unwrap();
    assert!(status.success());
    image.to_str().unwrap().to_owned()
}

#[test]
fn inspect_tells_what_it_could_read_and_ends_accordingly() {
    let status = "Package: bash\nStatus: install ok installed\nVersion: 5\nArchitecture: amd64\n";
    let os_release = ("etc/os-release", "ID=debian\n");
    let (passwd, group) = (("etc/passwd", "root:x:0:0::/root:/bin/sh\n"), ("etc/group", "root:x:0:\n"));
    for (files, arguments, code, expected) in [
        (&[("data", "x")][..], &[][..], 5, "No operating system"),
        (&[("data", "x")], &["--only", "disk"], 0, "partition table  none"),
        (&[os_release, passwd, group, ("var/lib/dpkg/status", status)], &[], 0, "packages  1"),
        (&[os_release, ("var/lib/dpkg/status", "garbage")], &[], 8, "Could not be read"),
        (
            &[os_release, ("var/lib/dpkg/status", "garbage")],
            &["--only", "system,disk"],
            0,
            "partition table  none",
        ),
        (
            &[os_release, ("var/lib/dpkg/status", "garbage")],
            &["--json"],
            8,
            "\"unreadable\": \"cannot make sense",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let image = image(directory.path(), files);
        let output = tib(&[&["inspect", &image], arguments].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(tib(&["inspect", "gone.qcow2"]).status.code(), Some(2));
    assert_eq!(tib(&["inspect", "x.qcow2", "--only", "nonsense"]).status.code(), Some(2));
}
