//! What a command cannot do is told with what to do next, before anything takes long.

mod common;

use std::path::Path;

use common::disks::{debian_of_machine, disk_of_tree};
use common::{Outcome, outcome, run, scratch, tib};
use fs_err as fs;

/// Runs `tib` in a directory, with a cache of its own there.
fn run_in(directory: &Path, arguments: &[&str]) -> Outcome {
    let mut tib = tib();
    tib.args(arguments).current_dir(directory).env("TIB_CACHE_DIR", directory.join("cache"));
    outcome(&mut tib)
}

#[test]
fn every_failure_says_what_to_do_next() {
    let place = scratch();
    let directory = place.path();
    debian_of_machine(directory, 62);
    run("mkfifo", &[&directory.join("pipe")]);
    fs::create_dir(directory.join("directory")).unwrap();
    let missing = "hint: give the path of a qcow2 or raw image; `tib build` makes one";
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["ls", "none.qcow2"], 2, &[missing]),
        (&["boot", "none.qcow2"], 2, &[missing]),
        (&["verify", "none.qcow2"], 2, &[missing]),
        (&["diff", "disk.raw", "none.qcow2"], 2, &[missing]),
        (&["inspect", "directory"], 5, &["it is a directory", "hint: give the file with the image"]),
        (&["ls", "pipe"], 5, &["it is not a regular file", "hint: write the image into a file first"]),
        (
            &["cat", "disk.raw", "/etc"],
            2,
            &["is a directory", "hint: `tib ls` lists it, and `tib extract` copies"],
        ),
        (&["tail", "disk.raw", "/etc"], 2, &["is a directory", "hint: `tib ls` lists it"]),
        (
            &["extract", "disk.raw", "/etc/fstab", "-o", "none/x"],
            2,
            &["`none`", "hint: make the directory first, or choose another place with `-o`"],
        ),
        (
            &["extract", "disk.raw", "/etc", "-o", "none/x"],
            2,
            &["hint: make the directory first, or choose another place with `-o`"],
        ),
        (
            &["extract", "disk.raw", "/etc", "--tar", "-o", "none/x"],
            2,
            &["hint: make the directory first, or choose another place with `-o`"],
        ),
        (
            &["recipe", "show", "none.toml"],
            3,
            &[
                "there is no recipe file `none.toml`",
                "hint: name a file (what it can hold: docs/recipes.md), or one of the recipes that `tib recipe list` lists",
            ],
        ),
        (&["build", "./none"], 3, &["there is no recipe file `./none`"]),
        (
            &["boot", "disk.raw", "--timeout", "-1"],
            2,
            &["invalid value '-1' for '--timeout <SECONDS>': write a number of seconds, such as 300"],
        ),
        (&["prove", "disk.raw", "--timeout", "-1"], 2, &["invalid value '-1' for '--timeout <SECONDS>'"]),
        (&["tail", "-n", "-5", "disk.raw", "/etc/fstab"], 2, &["invalid value '-5' for '--lines <N>'"]),
        (&["cache", "gc", "--max-size", "-1"], 2, &["invalid value '-1' for '--max-size <SIZE>'"]),
    ];
    for (arguments, code, parts) in cases {
        let Outcome { code: ended, stderr, .. } = run_in(directory, arguments);
        assert_eq!(ended, Some(*code), "{arguments:?}: {stderr}");
        for part in *parts {
            assert!(stderr.contains(part), "{arguments:?}: {part}\n{stderr}");
        }
    }
    // What only looks like an option is not explained as something else.
    let wrong = run_in(directory, &["build", "redis", "--size", "-1G"]);
    assert!(wrong.code == Some(2) && !wrong.stderr.contains("tip:"), "{}", wrong.stderr);
    let checked = run_in(directory, &["recipe", "check", "none.toml"]);
    assert_eq!(checked.code, Some(3));
    assert_eq!(checked.stdout.lines().next(), Some("none.toml: there is no recipe file `none.toml`"));
    assert!(checked.stdout.contains("\n  hint: name a file"), "{}", checked.stdout);
}

/// `tib boot` would otherwise tell after minutes that there is no place for what it found.
#[test]
fn a_report_that_cannot_be_written_is_told_at_the_start() {
    let place = scratch();
    debian_of_machine(place.path(), 62);
    fs::create_dir(place.path().join("directory")).unwrap();
    for command in ["boot", "verify"] {
        for (option, what) in [("--junit", "JUnit"), ("--html", "HTML")] {
            for (path, hint) in [
                ("none/report", "hint: make the directory first, or name a file elsewhere"),
                ("directory", "hint: name a file in a directory that you may write to"),
            ] {
                let told = run_in(place.path(), &[command, "disk.raw", option, path]);
                assert_eq!(told.code, Some(2), "{}", told.stderr);
                let error = format!("error: cannot write the {what} report `{path}`");
                assert!(told.stderr.starts_with(&error) && told.stderr.contains(hint), "{}", told.stderr);
            }
        }
    }
    let report = place.path().join("report.xml");
    fs::write(&report, "precious").unwrap();
    let no_image = run_in(place.path(), &["verify", "none.raw", "--junit", "report.xml"]);
    assert_eq!(no_image.code, Some(2));
    assert_eq!(fs::read(&report).unwrap(), b"precious", "trying leaves what is there");
}

/// Whatever is asked of it, and whoever reads the image.
#[test]
fn links_in_a_circle_are_the_same_for_every_command() {
    let place = scratch();
    debian_of_machine(place.path(), 62);
    let tree = place.path().join("tree");
    for (link, target) in [("a", "b"), ("b", "a")] {
        std::os::unix::fs::symlink(target, tree.join(link)).unwrap();
    }
    disk_of_tree(&place.path().join("disk.raw"), &tree, "", "");
    for command in [&["ls"][..], &["cat"], &["stat"], &["tail"], &["extract", "-o", "copy"], &["log"]] {
        for path in ["/a/", "/a/x"] {
            let told = run_in(place.path(), &[command, &["disk.raw", path]].concat());
            assert_eq!(told.code, Some(2), "{command:?}: {}", told.stderr);
            let error = format!("error: `{path}` in the image goes through too many links");
            assert!(told.stderr.starts_with(&error), "{command:?}: {}", told.stderr);
            assert!(told.stderr.contains("hint: `tib stat` shows a link"), "{command:?}: {}", told.stderr);
        }
    }
}

#[test]
fn a_base_that_cannot_be_fetched_is_told_with_what_would_serve() {
    let place = scratch();
    let serves = "or build on the same system made of packages, `--base bootstrap:debian-12`, or on a file that you have, `--base FILE`";
    let file = "or build on a file that you have, `--base FILE`";
    // The catalogue's own entries, but for servers that nobody can reach.
    let catalogue = place.path().join("catalogue");
    fs::create_dir(&catalogue).unwrap();
    for name in ["debian.toml", "ubuntu.toml"] {
        let entries = fs::read_to_string(Path::new("base-images").join(name)).unwrap();
        fs::write(catalogue.join(name), entries.replace("https://", "https://127.0.0.1:1/")).unwrap();
    }
    for (command, hint) in
        [(&["base", "fetch", "debian-12"][..], serves), (&["build", "redis", "--base", "ubuntu-24.04"], file)]
    {
        let told = run_in(place.path(), &[&["--catalogue-dir", "catalogue"], command].concat());
        assert_eq!(told.code, Some(4), "{}", told.stderr);
        let last = told.stderr.lines().last().unwrap();
        assert!(last.starts_with("hint: ") && last.ends_with(&format!("; {hint}")), "{}", told.stderr);
    }
    // Without a network packages are as far away as images.
    let offline = run_in(place.path(), &["build", "redis", "--base", "debian-12", "--offline"]);
    assert_eq!(offline.code, Some(4), "{}", offline.stderr);
    let last = offline.stderr.lines().last().unwrap().to_owned();
    assert!(last.ends_with(&format!("; {file}")), "{last}");
}
