//! A program that publishes, under strace.

#![allow(unreachable_pub)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use fs_err as fs;

use super::set::directory;

/// That program under strace, with further arguments of strace.
pub fn traced(directory: &Path, force: bool, arguments: &[String]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-o"]).arg(log(directory)).args(arguments).arg("--");
    command.arg(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "faults::publishes_in_a_process_of_its_own",
        "--ignored",
        "--test-threads=1",
        "--quiet",
    ]);
    command.env("PUBLISH_IN", directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if force {
        command.env("PUBLISH_FORCE", "yes");
    }
    command
}

pub fn run_traced(directory: &Path, force: bool, arguments: &[String]) -> ExitStatus {
    traced(directory, force, arguments).status().expect("strace is there (make setup)")
}

/// Where strace writes: beside the directory, which is looked at.
pub fn log(directory: &Path) -> PathBuf {
    directory.with_file_name("strace")
}

pub const MKDIR: &[&str] = &["mkdir", "mkdirat"];
pub const RENAME: &[&str] = &["rename", "renameat", "renameat2"];
pub const UNLINK: &[&str] = &["unlink", "unlinkat", "rmdir"];
pub const SYNC: &[&str] = &["fsync"];

/// A system call that the program makes in the directory: strace counts those of each name, from 1.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    pub number: usize,
    pub line: String,
}

impl Call {
    /// What strace shall do at this call, and with `+` at all later ones too.
    pub fn inject(&self, what: &str, later: &str) -> [String; 2] {
        inject(&self.name, what, &format!("{}{later}", self.number))
    }
}

pub fn inject(name: &str, what: &str, when: &str) -> [String; 2] {
    ["-e".to_owned(), format!("inject={name}:{what}:when={when}")]
}

/// Its calls of these names, with further arguments of strace.
#[track_caller]
pub fn occurrences(old: bool, names: &[&str], further: &[String]) -> Vec<Call> {
    let directory = directory(old);
    let names: Vec<_> = names.iter().map(|name| format!("?{name}")).collect();
    let trace = ["-e".to_owned(), format!("trace={}", names.join(","))];
    run_traced(&directory.path(), old, &[&trace[..], further].concat());
    let text = fs::read_to_string(log(&directory.path())).unwrap();
    let place = directory.path().to_str().unwrap().to_owned();
    // Each line begins with the thread, and strace counts the calls of each.
    let thread =
        text.lines().find(|line| line.contains(&place)).and_then(|line| line.split_once(' ')).unwrap().0;
    let mut numbers = BTreeMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix(thread) else { continue };
        let Some((name, _)) = line.trim_start().split_once('(') else { continue };
        let number = numbers.entry(name.to_owned()).or_insert(0);
        *number += 1;
        if line.contains(&place) {
            found.push(Call { name: name.to_owned(), number: *number, line: line.trim_start().to_owned() });
        }
    }
    assert!(!found.is_empty(), "{names:?}: {text}");
    found
}
