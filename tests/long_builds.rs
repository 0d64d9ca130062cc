//! Builds that take long: whoever reads lines hears of them, and nobody works for the same output meanwhile.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{outcome, scratch, tib};
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

/// A directory with a program in place of `mmdebstrap` that says one line and then waits until `condition`, a command of the
/// shell, holds. It ends with an error in any case.
struct Waiting {
    directory: tempfile::TempDir,
}

impl Waiting {
    fn until(condition: &str) -> Self {
        let directory = scratch();
        let bin = directory.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let script = format!(
            "#!/bin/sh\ncd '{}'\ncase \"$1\" in\n--version) echo mmdebstrap 1.3.5; exit;;\n\
             --unshare-helper) shift; exec \"$@\";;\nesac\n\
             echo 'I: taking its time' >&2\ntouch started\n\
             for i in $(seq 1800); do {condition} && break; sleep 0.1; done\nexit 1\n",
            directory.path().display()
        );
        fs::write(bin.join("mmdebstrap"), script).unwrap();
        fs::set_permissions(bin.join("mmdebstrap"), PermissionsExt::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `tib build redis` for an output, with a cache of its own.
    fn build(&self, output: &Path, arguments: &[&str]) -> Command {
        let mut tib = tib();
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        tib.args(["build", "redis", "-o"]).arg(output).args(arguments);
        tib.env("PATH", path).env("TIB_CACHE_DIR", self.path("cache"));
        tib
    }

    /// Starts one, and waits until it has begun.
    fn begun(&self, output: &Path) -> Child {
        let mut build = self.build(output, &["--base", "bootstrap:debian-12"]);
        let errors = fs::File::create(self.path("stderr")).unwrap().into_parts().0;
        let mut child = build.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
        while !self.path("started").exists() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(self.path("stderr")).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        child
    }
}

#[test]
fn a_stage_that_says_nothing_is_told_to_go_on() {
    // It ends as soon as that is told.
    let waiting = Waiting::until("grep -q 'still running' stderr");
    let ended = waiting.begun(&waiting.path("image.qcow2")).wait().unwrap();
    assert_eq!(ended.code(), Some(7));
    let told = fs::read_to_string(waiting.path("stderr")).unwrap();
    let line = told.lines().find(|line| line.contains("still running")).unwrap_or_else(|| panic!("{told}"));
    assert!(
        line.contains("bootstrap: still running after ") && line.ends_with(": I: taking its time"),
        "{line}"
    );
}

#[test]
fn nobody_else_starts_to_build_the_same_image() {
    let waiting = Waiting::until("[ -e go ]");
    let output = waiting.path("image.qcow2");
    let mut first = waiting.begun(&output);
    let another_name = waiting.path("here/../image.qcow2");
    fs::create_dir(waiting.path("here")).unwrap();
    // Nothing of this can be fetched, so it ends early in any case.
    let second =
        |output: &Path| outcome(&mut waiting.build(output, &["--base", "debian-12", "--offline", "--force"]));
    for name in [&output, &another_name] {
        let refused = second(name);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        let says = format!("another tib (process {}) is building `", first.id());
        assert!(refused.stderr.contains(&says), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("hint: wait until it has ended, or choose another place with `--output`"),
            "{}",
            refused.stderr
        );
    }
    let beside = second(&waiting.path("other.qcow2"));
    assert_eq!(beside.code, Some(4), "another output is free: {}", beside.stderr);
    // However it ends.
    kill_process(Pid::from_child(&first), Signal::KILL).unwrap();
    first.wait().unwrap();
    let free = second(&output);
    assert_eq!(free.code, Some(4), "{}", free.stderr);
    fs::write(waiting.path("go"), "").unwrap();
}
