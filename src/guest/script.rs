//! Running scripts in the guest.
//!
//! libguestfs binds the appliance's `/dev`, `/proc` and `/sys` into the guest's root and runs a command there with
//! `chroot`. So `/dev` is memory: what a run needs lies there, leaves nothing on the disk and works when that is
//! full. What the script writes goes, marked, to the appliance's console, where it arrives while it runs.
//!
//! With a network, libguestfs up to 1.58 moves the guest's `/etc/resolv.conf` aside while a command runs and puts
//! the appliance's in its place; since 1.60 it mounts it over, which fails on a dangling link. Either way the guest
//! should hold a plain file during the work, and what a script writes to it is lost. The engine sees to that.

use std::time::{Duration, Instant};

use super::classify::classify;
use super::console::{END_MARK, MARK};
use super::ffi;
use super::session::Session;
use super::{Cause, GuestError, Script};
use crate::shell::quote;

/// Lines of output in an error.
const TAIL: usize = 20;
/// Where the runner lies in the guest, in the appliance's memory.
const RUNNER: &str = "/dev/tib-run";
/// Script text passed in one call: the kernel limits one argument to 128 KiB, and quoting may make it four times as
/// long.
const CHUNK: usize = 24 * 1024;
/// Output fetched in one call; libguestfs' protocol limits an answer to 4 MiB.
const FETCH: usize = 1024 * 1024;
/// Lines of one script that are shown while it runs.
const SHOWN: usize = 3000;
/// How long to wait for the console to deliver the end of a script that is over.
const CONSOLE_WAIT: Duration = Duration::from_secs(2);

/// What a run reports before its output.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: i32,
    /// Names of processes it left behind.
    strays: Vec<String>,
    /// Bytes it wrote to stdout.
    size: usize,
    /// The first bytes of stdout if it succeeded, else the last lines of all output.
    body: Vec<u8>,
}

impl Session {
    pub(super) fn run_script(&mut self, script: &Script) -> Result<Vec<u8>, GuestError> {
        // Each call costs a second under emulation, which goes into a dozen mounts: so one call does it all.
        let runner = match self.scripts {
            0 => format!("printf %s {} >{RUNNER} && ", quote(include_str!("run.sh"))),
            _ => String::new(),
        };
        self.scripts += 1;
        let directory = format!("/dev/tib-{}", self.scripts);
        let last = self.put_script(&directory, &script.text)?;
        self.console.begin_script();
        let command = format!("{runner}{last} || exit 1\n{}. {RUNNER}", settings(&directory));
        let answer = self.sh(&command, script.timeout).map_err(|error| match error {
            GuestError::Timeout { seconds, .. } => {
                GuestError::Timeout { purpose: script.purpose.clone(), seconds }
            }
            error => error,
        })?;
        self.await_console(&directory)?;
        let outcome = parse_outcome(&answer).ok_or_else(|| GuestError::Call {
            operation: "sh",
            path: None,
            message: format!("the guest's shell gave no result for {}", script.purpose),
            errno: 0,
        })?;
        if !outcome.strays.is_empty() {
            let names = outcome.strays.join(", ");
            self.events.note(format!("{} left processes behind, which were ended: {names}", script.purpose));
        }
        if outcome.status != 0 {
            return Err(self.failure(script, &outcome));
        }
        self.fetch(&directory, outcome, &script.purpose)
    }

    fn sh(&self, command: &str, timeout: Option<Duration>) -> Result<Vec<u8>, GuestError> {
        let command = command.to_owned();
        self.raw_call("sh", None, timeout, move |handle| ffi::sh(handle, &command))
    }

    /// Writes a script into the guest, all but its end; returns the command that writes the end.
    fn put_script(&self, directory: &str, text: &str) -> Result<String, GuestError> {
        let mut begin = format!("mkdir -m 700 {directory} && ");
        let mut rest = text;
        loop {
            let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
            let command = format!("{begin}printf %s {} >>{directory}/script", quote(chunk));
            if after.is_empty() {
                return Ok(command);
            }
            self.sh(&command, None)?;
            begin.clear();
            rest = after;
        }
    }

    /// Lets libguestfs read what is left on the console: it does so only during calls.
    fn await_console(&self, directory: &str) -> Result<(), GuestError> {
        let started = Instant::now();
        while !self.console.script_ended(directory) && started.elapsed() < CONSOLE_WAIT {
            self.call("ping_daemon", None, |g| g.ping_daemon())?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn fetch(&self, directory: &str, outcome: Outcome, purpose: &str) -> Result<Vec<u8>, GuestError> {
        let mut output = outcome.body;
        let expected = outcome.size;
        if expected > FETCH {
            while output.len() < expected {
                let before = output.len();
                let command = format!("tail -c +{} {directory}/out | head -c {FETCH}", before + 1);
                output.extend(self.sh(&command, None)?);
                if output.len() == before {
                    break;
                }
            }
            self.sh(&format!("rm -rf {directory}"), None)?;
        }
        if output.len() == expected {
            return Ok(output);
        }
        Err(GuestError::Call {
            operation: "sh",
            path: None,
            message: format!("the output of {purpose} contains NUL bytes"),
            errno: rustix::io::Errno::ILSEQ.raw_os_error(),
        })
    }

    fn failure(&self, script: &Script, outcome: &Outcome) -> GuestError {
        let text = String::from_utf8_lossy(&outcome.body);
        let mut lines: Vec<String> =
            text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let mut evidence = self.console.script_lines();
        evidence.extend(lines.iter().cloned());
        // The kernel's word on a process it killed comes on the console only.
        evidence.extend(self.console.lines());
        let cause = classify(&evidence);
        lines.drain(..lines.len().saturating_sub(TAIL));
        if lines.is_empty() {
            lines.push(format!("it exited with status {} and said nothing", outcome.status));
        }
        // Shells report a process killed by SIGKILL as 137; only the kernel does that in here.
        let cause = if cause == Cause::Unknown && outcome.status == 137 { Cause::OutOfMemory } else { cause };
        GuestError::Script { purpose: script.purpose.clone(), cause, tail: lines }
    }
}

/// What the runner wants to be told.
fn settings(directory: &str) -> String {
    format!("d={directory}\nmark='{MARK}'\nend='{END_MARK}'\nfetch={FETCH}\nlines={SHOWN}\n")
}

fn parse_outcome(answer: &[u8]) -> Option<Outcome> {
    let mut outcome = Outcome { status: 0, strays: Vec::new(), size: 0, body: Vec::new() };
    let mut rest = answer;
    let mut status = None;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        match line.split_once(' ') {
            Some(("status", value)) => status = value.parse().ok(),
            Some(("size", value)) => outcome.size = value.trim().parse().ok()?,
            Some(("stray", name)) if !outcome.strays.iter().any(|other| other == name) => {
                outcome.strays.push(name.to_owned());
            }
            Some(("stray", _)) => {}
            None if line.is_empty() => break,
            _ => return None,
        }
    }
    outcome.status = status?;
    outcome.body = rest.to_vec();
    Some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn outcomes_are_read() {
        let outcome =
            parse_outcome(b"status 3\nstray gpg-agent\nstray gpg-agent\nsize 9\n\nlast\nlines\n").unwrap();
        assert_eq!(outcome.status, 3);
        assert_eq!(outcome.strays, ["gpg-agent"]);
        assert_eq!((outcome.size, outcome.body.as_slice()), (9, &b"last\nlines\n"[..]));
        for bad in ["", "status 0\n", "size 1\n\n", "status x\n\n", "status 0\nwhat\n\n", "sh: not found\n\n"]
        {
            assert_eq!(parse_outcome(bad.as_bytes()), None, "{bad:?}");
        }
    }

    /// The runner is plain `sh`: it works on the host too, where only the search for strays finds nothing to end.
    fn run(text: &str) -> Outcome {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        fs_err::write(directory.path().join("script"), text).unwrap();
        // Strays are known by their root directory, which is everybody's on the host.
        let runner =
            include_str!("run.sh").replace("/dev/console", "/nothing").replace("/proc/[", "/nothing/[");
        let command = format!("{}{runner}", settings(path));
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        parse_outcome(&output.stdout).unwrap()
    }

    #[test]
    fn status_and_output_come_back() {
        let outcome = run("echo one; echo two >&2; printf three");
        assert_eq!((outcome.status, outcome.body.as_slice()), (0, &b"one\nthree"[..]));
        assert_eq!(outcome.size, 9);
        let outcome = run("echo one; echo two >&2; false; echo never");
        assert_eq!(outcome.status, 1);
        let lines = String::from_utf8(outcome.body).unwrap();
        assert!(lines.contains("one\n") && lines.contains("two\n") && !lines.contains("never"), "{lines}");
        assert_ne!(run("echo $undefined").status, 0);
        assert_eq!(run("exit 7").status, 7);
        let outcome = run("i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done; exit 4");
        assert_eq!(outcome.status, 4);
        assert!(outcome.body.starts_with(b"line 3800\n") && outcome.body.ends_with(b"line 3999\n"));
        assert_eq!(
            run("umask; echo $HOME $LANG $DEBIAN_FRONTEND").body,
            b"0022\n/root C.UTF-8 noninteractive\n"
        );
    }
}
