//! OpenPGP keys made for a test, by gpg.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A home of gpg's with keys. Its agent ends with it.
pub struct Gpg {
    home: tempfile::TempDir,
}

/// A secret key in a [`Gpg`].
#[derive(Debug, Clone)]
pub struct Key {
    pub fingerprint: String,
}

impl Gpg {
    pub fn new() -> Self {
        // A short path: the agent's socket lies in it.
        Self { home: tempfile::Builder::new().prefix("tib-gpg-").tempdir_in("/tmp").unwrap() }
    }

    /// gpg's directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .args([
                "--batch",
                "--quiet",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                "--homedir",
            ])
            .arg(self.home.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A key of this name, made at `time` (gpg's format, empty for now), that expires after `life` (`0` for never).
    pub fn key(&self, name: &str, time: &str, life: &str) -> Key {
        let faked = format!("{time}!");
        let mut arguments = vec![];
        if !time.is_empty() {
            arguments.extend(["--faked-system-time", faked.as_str()]);
        }
        arguments.extend(["--quick-generate-key", name, "ed25519", "sign", life]);
        self.run(&arguments, b"");
        let list = String::from_utf8(self.run(&["--with-colons", "--list-keys", name], b"")).unwrap();
        let line = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
        Key { fingerprint: line.trim_start_matches("fpr:").trim_matches(':').to_owned() }
    }

    /// The public half of a key, armoured.
    pub fn public(&self, key: &Key) -> Vec<u8> {
        self.run(&["--armor", "--export", &key.fingerprint], b"")
    }

    /// A detached signature by some keys; `time` as for [`key`](Self::key).
    pub fn detached(&self, keys: &[&Key], time: &str, data: &[u8]) -> Vec<u8> {
        self.sign("--detach-sign", keys, time, data)
    }

    /// The data with a signature around it.
    pub fn clearsigned(&self, keys: &[&Key], data: &[u8]) -> Vec<u8> {
        self.sign("--clear-sign", keys, "", data)
    }

    fn sign(&self, how: &str, keys: &[&Key], time: &str, data: &[u8]) -> Vec<u8> {
        let faked = format!("{time}!");
        let mut arguments = vec!["--armor"];
        if !time.is_empty() {
            arguments.extend(["--faked-system-time", faked.as_str()]);
        }
        for key in keys {
            arguments.extend(["--local-user", key.fingerprint.as_str()]);
        }
        arguments.push(how);
        self.run(&arguments, data)
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ =
            Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).status();
    }
}

/// The SHA-256 of a file, by coreutils.
pub fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// The digest of bytes as `algorithm` (`sha256`, `sha512`) names it, by coreutils.
pub fn digest(algorithm: &str, bytes: &[u8]) -> String {
    let mut child =
        Command::new(format!("{algorithm}sum")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}
