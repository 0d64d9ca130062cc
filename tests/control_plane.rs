//! The control plane that proves an image (docs/proving.md): its own tests, which need neither a network nor a guest; and
//! the image of the recipe `trove-guest` on it. PostgreSQL is for `make test-all` (`TIB_TEST_COMBINATIONS=all`).

mod common;

use std::process::Command;

use common::{built_image, cache, scratch};
use fs_err as fs;

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
    prove("mariadb");
}

#[test]
fn appliance_trove_makes_a_postgresql_of_the_image() {
    if std::env::var("TIB_TEST_COMBINATIONS").is_ok_and(|which| which == "all") {
        prove("postgresql");
    }
}

fn prove(datastore: &str) {
    let image = built_image("trove-guest");
    let directory = scratch();
    let report = directory.path().join("report.json");
    // What comes from other people's servers is kept between runs; so are the logs.
    let run = Command::new("python3")
        .args([
            "-B",
            "tests/control_plane/prove.py",
            "--timeout",
            "1200",
            "--datastore",
            datastore,
            "--workdir",
        ])
        .arg(cache().join("prove"))
        .arg("--json")
        .arg(&report)
        .arg(image)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(run.status.code(), Some(0), "{out}{err}");
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let reached: Vec<_> =
        report["milestones"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for wanted in ["instance is ACTIVE/HEALTHY", "logged in from this host", "restarted", "instance deleted"]
    {
        assert!(reached.contains(&wanted), "no {wanted:?} in {reached:?}");
    }
}
