//! The control plane that proves an image (docs/proving.md): its own tests, which need neither a network nor a guest; and
//! the image of the recipe `trove-guest` on it. PostgreSQL is for `make test-all` (`TIB_TEST_COMBINATIONS=all`).

mod common;

use std::process::Command;

use common::{all_combinations, built_image, cache, outcome, run, run_tib, scratch, tib};

#[test]
fn the_control_planes_own_tests_pass() {
    let tests = ["-B", "-m", "unittest", "discover", "-s", "unit", "-t", "."];
    let run = Command::new("python3").args(tests).current_dir("tests/control_plane").output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    // Discovery that finds nothing is a success, too.
    let count = said.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse().ok());
    assert!(count > Some(40), "{said}");
}

#[test]
fn appliance_trove_makes_a_mariadb_of_the_image() {
    prove("mariadb", &[]);
}

#[test]
fn appliance_trove_makes_a_postgresql_of_the_image() {
    if all_combinations() {
        prove("postgresql", &["--metadata-service", "--trove", "26.0.0"]);
    }
}

fn prove(datastore: &str, options: &[&str]) {
    // What comes from other people's servers is kept between runs; so are the logs.
    let workdir = cache().join("prove");
    let mut command = tib();
    command.arg("prove").arg(built_image("trove-guest")).args([
        "--datastore",
        datastore,
        "--timeout",
        "1200",
    ]);
    let found = outcome(command.arg("--workdir").arg(workdir).args(options).arg("--json"));
    assert_eq!(found.code, Some(0), "{}{}", found.stdout, found.stderr);
    let report: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let reached: Vec<_> =
        report["milestones"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for wanted in ["instance is ACTIVE/HEALTHY", "logged in from this host", "restarted", "instance deleted"]
    {
        assert!(reached.contains(&wanted), "no {wanted:?} in {reached:?}");
    }
}

#[test]
fn what_cannot_be_proved_is_told() {
    let directory = scratch();
    let blank = directory.path().join("blank.qcow2");
    let blank = blank.to_str().unwrap();
    run("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &blank, &"1M"]);
    for (arguments, expected) in [
        (&["nowhere.qcow2"][..], "no image"),
        (&[blank, "--datastore", "mysql", "--trove", "26.0.0"], "datastore mysql cannot be proved"),
        (&["Cargo.toml"], "too small to be a disk image"),
        (&[blank, "--trove", "banana", "--keep"], "'banana' is no version of Trove"),
    ] {
        let found = run_tib(["prove"].iter().chain(arguments));
        assert!(found.stderr.contains(expected), "{}", found.stderr);
        found.expect(2);
    }
}
