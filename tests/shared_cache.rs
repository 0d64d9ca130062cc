//! One cache and several users: in a user namespace, where an ordinary user can be more than one.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::disks::debian_of_machine;
use common::{Outcome, outcome, run_tib, scratch, tib_path};
use fs_err as fs;

/// A directory that everybody may enter, with a cache that belongs to a group, and a base.
struct Shared {
    _directory: tempfile::TempDir,
    root: PathBuf,
}

/// Users and the group of the namespace. Its root is whoever runs the test.
const GROUP: u32 = 50;

impl Shared {
    fn new() -> Self {
        let directory = scratch();
        let root = directory.path().to_owned();
        open_up(&root, 0o755);
        let base = debian_of_machine(&root, 62);
        open_up(&base, 0o644);
        let shared = Self { _directory: directory, root };
        // Made by the namespace's root for a group that both users are in.
        let make = format!("install -d -m 2775 -g {GROUP} {}", shared.cache().display());
        let mut command = namespace();
        shared.expect(command.args(["sh", "-c", &make]));
        shared
    }

    fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Runs `tib` as a user of the namespace who is in the group.
    fn tib(&self, user: u32, umask: &str, arguments: &[&str]) -> Outcome {
        let script = format!("umask {umask}; exec \"$@\"");
        let mut command = namespace();
        command
            .args(["setpriv", "--reuid", &user.to_string(), "--regid", &user.to_string()])
            .args(["--groups", &GROUP.to_string(), "sh", "-c", &script, "sh"])
            .arg(tib_path())
            .args(arguments)
            .current_dir(&self.root)
            .env("TIB_CACHE_DIR", self.cache())
            .env("NO_COLOR", "1");
        outcome(&mut command)
    }

    #[track_caller]
    fn expect(&self, command: &mut Command) -> String {
        outcome(command).expect(0)
    }

    /// Has a user bring the base into the cache.
    fn import(&self, user: u32, umask: &str) -> Outcome {
        self.tib(user, umask, &["build", "redis", "--base", "disk.raw", "--dry-run"])
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // What the users made belongs to ids that only the namespace can remove.
        let gone = format!("rm -rf {}", self.cache().display());
        let _ = namespace().args(["sh", "-c", &gone]).status();
    }
}

fn open_up(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A command in a user namespace with the caller as root and as many other users as it has subordinate ids.
fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--map-auto", "--"]);
    command
}

#[test]
fn users_of_one_group_share_a_cache() {
    let shared = Shared::new();
    shared.import(1, "002").expect(0);
    let second = shared.import(2, "002");
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert!(!second.stderr.contains("copying"), "it is there already: {}", second.stderr);
    // Used by both, and collected by who did not make it.
    let collected = shared.tib(2, "002", &["cache", "gc", "--keep-days", "0"]).expect(0);
    assert!(collected.contains("file disk.raw"), "{collected}");
    shared.import(1, "002").expect(0);
}

#[test]
fn a_cache_that_others_cannot_write_says_how_to_share_it() {
    let shared = Shared::new();
    shared.import(1, "022").expect(0);
    let refused = shared.import(2, "022");
    assert_eq!(refused.code, Some(7), "{}", refused.stderr);
    assert!(refused.stderr.contains("in the cache"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: use a cache of your own"), "{}", refused.stderr);
    assert!(refused.stderr.contains("docs/cache.md"), "{}", refused.stderr);
    // Looking is another thing.
    for arguments in
        [&["cache", "status"][..], &["cache", "path"], &["base", "list"], &["base", "show", "debian-12"]]
    {
        let looked = shared.tib(2, "022", arguments);
        assert_eq!(looked.code, Some(0), "{arguments:?}: {}", looked.stderr);
    }
    let status = shared.tib(2, "022", &["cache", "status", "--verbose"]).expect(0);
    assert!(status.contains("file disk.raw"), "{status}");
}

#[test]
fn looking_makes_no_cache() {
    let directory = scratch();
    let none = directory.path().join("none");
    for arguments in
        [&["cache", "status"][..], &["cache", "path"], &["base", "list"], &["base", "show", "debian-12"]]
    {
        let none = none.to_str().unwrap();
        run_tib([&["--cache-dir", none], arguments].concat()).expect(0);
    }
    assert!(!none.exists());
}
