//! The packages that stand in for vendors' (docs/datastores.md): their own tests, which need neither a network nor a guest.

use std::process::Command;

#[test]
fn the_tests_of_the_stand_ins_pass() {
    let tests = ["-B", "-m", "unittest", "discover", "-s", "unit", "-t", "."];
    let run = Command::new("python3").args(tests).current_dir("tests/standins").output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    // Discovery that finds nothing is a success, too.
    let count = said.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse().ok());
    assert!(count > Some(3), "{said}");
}
