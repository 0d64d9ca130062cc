//! The host's git, so that a repository cannot make it do anything but fetch and read.
//!
//! Nothing of git's configuration on this host holds, and nothing of its environment but where trusted certificates are: no
//! hooks, no credential helpers, no programs that ask for passwords, no rewritten URLs, no filters. Of what is the person's
//! own `~/.netrc`, and ssh's keys and configuration, are used, since these belong to servers.

use std::ffi::OsStr;
use std::process::Command;

/// Variables of git that are about trust and not about behaviour.
const KEPT: [&str; 2] = ["GIT_SSL_CAINFO", "GIT_SSL_CAPATH"];

/// Seconds without a byte after which git gives a server up.
const PATIENCE: u32 = 30;

/// git, allowed to speak `protocols` alone (none: to read what is here), in front of its arguments.
pub fn git(protocols: &[&str]) -> Command {
    let mut command = Command::new("git");
    tame(&mut command);
    command.env("GIT_ALLOW_PROTOCOL", protocols.join(":"));
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "credential.helper=",
        "submodule.recurse=false",
        "fetch.recurseSubmodules=false",
        "gc.auto=0",
        "maintenance.auto=false",
        "advice.detachedHead=false",
        "http.lowSpeedLimit=1",
    ] {
        command.args(["-c", setting]);
    }
    command.args(["-c", &format!("http.lowSpeedTime={PATIENCE}")]);
    command
}

/// Makes the git that a program starts, or is, as tame as [`git`], as far as its environment can.
pub fn tame(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let is_git = name.as_encoded_bytes().starts_with(b"GIT_");
        if is_git && !KEPT.iter().any(|kept| name == OsStr::new(kept)) || name == OsStr::new("SSH_ASKPASS") {
            command.env_remove(&name);
        }
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", format!("ssh -oBatchMode=yes -oConnectTimeout={PATIENCE}"))
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        // What it says is read.
        .env("LC_ALL", "C.UTF-8");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_hooks_and_helpers_of_a_repository_do_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let repository = directory.path().join("repository");
        let run = |command: &mut Command| command.current_dir(directory.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(run(git(&[]).args(["init", "--quiet", "repository"])).status.success());
        let hook = repository.join(".git/hooks/post-checkout");
        fs_err::create_dir_all(hook.parent().unwrap()).unwrap();
        fs_err::write(&hook, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs_err::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let commit = ["-C", "repository", "commit", "--quiet", "--allow-empty", "-m", "x"];
        assert!(run(git(&[]).args(identity).args(commit)).status.success());
        assert!(
            run(git(&[]).args(["-C", "repository", "checkout", "--quiet", "-b", "other"])).status.success()
        );
        assert!(!mark.exists());
        // The same hook works for a git that is not tamed.
        run(Command::new("git").args(["-C", "repository", "checkout", "--quiet", "-b", "third"]));
        assert!(mark.exists());

        let out = run(git(&["https"]).args(["ls-remote", "repository"]));
        assert!(text(&out.stderr).contains("transport 'file' not allowed"), "{}", text(&out.stderr));
        let out = run(git(&["file"]).args(["ls-remote", "ext::sh -c true"]));
        assert!(text(&out.stderr).contains("transport 'ext' not allowed"), "{}", text(&out.stderr));
        assert!(run(git(&["file"]).args(["ls-remote", "repository"])).status.success());
    }
}
