//! Runs programs on the host: output line by line, killed with all its children when the user cancels.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::cancel::{Cancel, Cancelled, OnRaise};
use crate::control::Control;
use crate::event::Events;

/// Lines of a program's output that are kept for an error message.
const TAIL_LINES: usize = 20;
/// Time between two looks at a program that is waited for with a timeout.
const POLL: Duration = Duration::from_millis(10);

/// A program on the host could not be run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The program ended with an error.
    #[error("`{program}` failed ({status})")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines of output, oldest first.
        tail: Vec<String>,
    },
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Runs `command` to its end and returns what it wrote to stdout.
///
/// # Streams
/// stdin is empty. stdout is captured whole. stderr is as of [`spawn`].
///
/// # Errors
/// See [`ProcessError`].
pub fn run(command: &mut Command, control: &Control) -> Result<Vec<u8>, ProcessError> {
    spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()), control)?.wait()
}

/// Starts `command`, for as long as the result lives. stdin and stdout are what the command says.
///
/// A program of `/usr/sbin` is found, too, whatever the user's `PATH`; so it is by what the program runs itself.
///
/// Each line of stderr is sent as an [`Event::Output`](crate::event::Event::Output) as it comes, and the last ones are
/// kept for errors.
///
/// The program gets a process group of its own, which is killed when the user cancels, and also when this process
/// is killed itself and can do nothing any more.
///
/// # Errors
/// [`ProcessError::Start`], [`ProcessError::Cancelled`].
pub fn spawn(command: &mut Command, control: &Control) -> Result<Running, ProcessError> {
    control.cancel.check()?;
    let program = command.get_program().to_string_lossy().into_owned();
    let program = program.rsplit('/').next().unwrap_or(&program).to_owned();
    command.stderr(Stdio::piped());
    if command.get_envs().all(|(name, _)| name != "PATH") {
        command.env(
            "PATH",
            with_system_programs(&std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into())),
        );
    }
    let mut group = Group::spawn(command, &control.cancel)
        .map_err(|source| ProcessError::Start { program: program.clone(), source })?;
    let tail = Tail::default();
    let reader = group.child.stderr.take().map(|stderr| {
        let (tail, events, program) = (tail.clone(), control.events.clone(), program.clone());
        std::thread::spawn(move || follow(stderr, &program, &tail, &events))
    });
    Ok(Running { program, group, tail, reader, cancel: control.cancel.clone() })
}

/// `path` followed by the directories of system programs that it lacks: Debian leaves them out for everybody but root,
/// and `mke2fs` lies there.
fn with_system_programs(path: &OsStr) -> OsString {
    let mut directories: Vec<_> = std::env::split_paths(path).collect();
    for more in ["/usr/sbin", "/sbin"].map(PathBuf::from) {
        if !directories.contains(&more) {
            directories.push(more);
        }
    }
    // Only a directory with a colon in its name cannot be joined, and none comes out of a split.
    std::env::join_paths(directories).unwrap_or_else(|_| path.to_owned())
}

/// A program that runs, with all its children. Dropping it kills them.
#[derive(Debug)]
pub struct Running {
    program: String,
    group: Group,
    tail: Tail,
    reader: Option<JoinHandle<()>>,
    cancel: Cancel,
}

impl Running {
    /// Waits for the program's end and returns what it wrote to stdout, if that is captured.
    ///
    /// # Errors
    /// See [`ProcessError`].
    pub fn wait(mut self) -> Result<Vec<u8>, ProcessError> {
        let child = &mut self.group.child;
        let mut out = Vec::new();
        let read = child.stdout.take().map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut out));
        let status = child.wait();
        let tail = self.end();
        self.cancel.check()?;
        let program = self.program;
        let status = match read.and(status) {
            Ok(status) => status,
            Err(source) => return Err(ProcessError::Start { program, source }),
        };
        if status.success() { Ok(out) } else { Err(ProcessError::Failed { program, status, tail }) }
    }

    /// Waits for the program's end, but no longer than `timeout`. `None` if it still runs then.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = self.group.child.try_wait() {
                return Some(status);
            }
            let left = timeout.checked_sub(started.elapsed())?;
            std::thread::sleep(left.min(POLL));
        }
    }

    /// Ends the program, if it has not ended by itself, and returns the last lines that it wrote to stderr, oldest first.
    pub fn end(&mut self) -> Vec<String> {
        self.group.end();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.tail.lines()
    }
}

/// The last lines of a program's stderr.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A program and all its children: killed when the user cancels, when this process is killed, and when it is dropped.
#[derive(Debug)]
struct Group {
    _on_cancel: OnRaise,
    _watchdog: Watchdog,
    id: Pid,
    /// The program itself.
    child: Child,
}

impl Group {
    fn spawn(command: &mut Command, cancel: &Cancel) -> std::io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let id = Pid::from_child(&child);
        Ok(Self { _on_cancel: cancel.on_raise(move || kill(id)), _watchdog: Watchdog::of(id), id, child })
    }

    fn end(&mut self) {
        // Who has ended by itself has left nobody that is to be killed.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill(self.id);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

fn kill(group: Pid) {
    // The group may be gone already; then there is nothing left to kill.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
}

/// A small process that outlives this one if need be, and then ends a process group.
///
/// The kernel can tell a child of its parent's death, but not a child's children, and mmdebstrap has many.
#[derive(Debug)]
struct Watchdog(Option<Child>);

impl Watchdog {
    fn of(group: Pid) -> Self {
        let watchdog = Command::new("sh")
            // A line means that all is well. End of file without one means that nobody is left to write it.
            .args(["-c", "read -r _ || kill -s KILL -- \"-$1\"", "sh", &group.as_raw_nonzero().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        // Without it all works as well, as long as nobody kills us.
        Self(watchdog.ok())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(watchdog) = &mut self.0 {
            let told = watchdog.stdin.take().is_some_and(|mut stdin| stdin.write_all(b"\n").is_ok());
            if !told {
                let _ = watchdog.kill();
            }
            let _ = watchdog.wait();
        }
    }
}

fn follow(stream: impl Read, program: &str, tail: &Tail, events: &Events) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        bytes.clear();
        if line.is_empty() {
            continue;
        }
        events.output(program, line.clone());
        tail.push(line);
    }
}

impl ProcessError {
    /// Whether the program ended because of a signal.
    pub fn by_signal(&self) -> bool {
        matches!(self, Self::Failed { status, .. } if status.signal().is_some())
    }

    /// The last lines of the program's output, oldest first.
    pub fn tail(&self) -> &[String] {
        match self {
            Self::Failed { tail, .. } => tail,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_runs_long_is_asked_ended_and_says_its_last_lines() {
        let none = Control::none();
        let mut running = spawn(&mut sh("echo why >&2; exec sleep 600"), &none).unwrap();
        assert_eq!(running.wait_timeout(Duration::from_millis(50)), None);
        while running.tail.lines().is_empty() {
            std::thread::sleep(POLL);
        }
        assert_eq!(running.end(), ["why"]);
        assert!(running.wait_timeout(Duration::ZERO).is_some_and(|status| status.signal() == Some(9)));
        let mut short = spawn(&mut sh("exit 3"), &none).unwrap();
        assert_eq!(short.wait_timeout(Duration::from_secs(60)).unwrap().code(), Some(3));
        assert!(matches!(short.wait(), Err(ProcessError::Failed { status, .. }) if status.code() == Some(3)));
    }

    #[test]
    fn stdout_is_returned_and_stderr_kept_for_the_error() {
        let none = Control::none();
        assert_eq!(run(&mut sh("echo out; echo err >&2"), &none).unwrap(), b"out\n");
        let error = run(&mut sh("echo why >&2; exit 3"), &none).unwrap_err();
        assert_eq!(error.tail(), ["why"]);
        assert_eq!(error.to_string(), "`sh` failed (exit status: 3)");
    }

    #[test]
    fn system_programs_are_found_whatever_the_path_and_come_last() {
        let table = [
            ("/usr/local/bin:/usr/bin:/bin", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
            ("/usr/sbin:/usr/bin", "/usr/sbin:/usr/bin:/sbin"),
            ("/sbin:/usr/sbin", "/sbin:/usr/sbin"),
        ];
        for (path, expected) in table {
            assert_eq!(with_system_programs(OsStr::new(path)), expected, "{path}");
        }
        let none = Control::none();
        let asked = run(&mut sh("echo $PATH"), &none).unwrap();
        assert!(String::from_utf8(asked).unwrap().trim().split(':').any(|one| one == "/usr/sbin"));
        assert_eq!(
            run(sh("echo $PATH").env("PATH", "/bin"), &none).unwrap(),
            b"/bin\n",
            "as the caller wants it"
        );
    }

    const CHILD: &str = "TIB_TEST_PROCESS_CHILD";

    /// Not a test of its own: what the next one starts, and kills.
    #[test]
    #[ignore = "run by what_runs_ends_with_us_even_when_we_are_killed"]
    fn child() {
        let Some(path) = std::env::var_os(CHILD) else { return };
        let script = format!("sleep 60 & echo $! >'{}'; wait", path.to_string_lossy());
        let _ = run(&mut sh(&script), &Control::none());
    }

    #[test]
    fn what_runs_ends_with_us_even_when_we_are_killed() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "host::process::tests::child"])
            .env(CHILD, &note)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let sleeper = loop {
            let text = std::fs::read_to_string(&note).unwrap_or_default();
            match text.strip_suffix('\n').map(str::parse) {
                Some(pid) => break Pid::from_raw(pid.unwrap()).unwrap(),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
            assert!(Instant::now() < deadline, "the child did not start");
        };
        child.kill().unwrap();
        child.wait().unwrap();
        while rustix::process::test_kill_process(sleeper).is_ok() {
            assert!(Instant::now() < deadline, "it goes on without us");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn cancelling_kills_the_children_too() {
        let cancel = Cancel::new();
        let raise = cancel.clone();
        let started = Instant::now();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            raise.raise();
        });
        let error =
            run(&mut sh("sleep 60 & wait"), &Control::new(Events::none(), cancel.clone())).unwrap_err();
        assert!(matches!(error, ProcessError::Cancelled(_)));
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
