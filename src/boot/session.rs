//! A person in the machine: through ssh, or at its console.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{self, OptionalActions, Termios};

use super::machine::Machine;
use super::{Afterwards, BootError};
use crate::control::Control;
use crate::host::process::{self, ProcessError};

const KEY: &str = "ssh-key";
/// How long sshd may take after all else is up.
const SSH: Duration = Duration::from_secs(180);
/// What ends a session at the console: Ctrl-].
const LEAVE: u8 = 0x1d;

/// Where a person gets in.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The port that leads to ssh.
    pub(crate) port: Option<u16>,
    /// `user:group` of injected files; the user is the one keys are for.
    pub(crate) owner: &'a str,
    /// Where the key is.
    pub(crate) directory: &'a Path,
}

/// Makes a key for the occasion and returns its public half.
pub(crate) fn make_key(directory: &Path, control: &Control) -> Result<String, BootError> {
    let key = directory.join(KEY);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "tib", "-f"]).arg(&key);
    process::run(&mut command, control)
        .map_err(|source| BootError::Process { doing: "making a key for ssh", source })?;
    let public = fs_err::read_to_string(key.with_extension("pub")).map_err(BootError::prepare)?;
    Ok(public.trim().to_owned())
}

/// Lets a person in, until they leave.
pub(crate) fn afterwards(
    what: Afterwards,
    machine: &mut Machine,
    entry: &Entry<'_>,
    control: &Control,
) -> Result<(), BootError> {
    match what {
        // The console was attached from the beginning.
        Afterwards::End | Afterwards::Console => Ok(()),
        Afterwards::Keep => {
            let command = format!("{:?}", ssh(entry)).replace('"', "");
            control.events.note(format!("the machine runs until you interrupt (Ctrl-C): {command}"));
            control.events.note(format!("its console and its files: {}", entry.directory.display()));
            while machine.ended().is_none() && !control.cancel.is_raised() {
                std::thread::sleep(Duration::from_millis(250));
            }
            Ok(())
        }
        Afterwards::Ssh => {
            await_ssh(entry, control)?;
            // It has the terminal, and how it ends is its user's business.
            ssh(entry).status().map(|_| ()).map_err(BootError::prepare)
        }
    }
}

/// The command that opens a shell in the machine.
fn ssh(entry: &Entry<'_>) -> Command {
    let user = entry.owner.split(':').next().unwrap_or("root");
    let port = entry.port.unwrap_or_default().to_string();
    let mut command = Command::new("ssh");
    command.arg("-i").arg(entry.directory.join(KEY)).args(["-p", &port]);
    // The host's key was made for this boot alone.
    for option in
        ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes"]
    {
        command.args(["-o", option]);
    }
    command.arg(format!("{user}@127.0.0.1"));
    command
}

/// Waits until somebody is let in: the server may be among the last to start.
fn await_ssh(entry: &Entry<'_>, control: &Control) -> Result<(), BootError> {
    let started = Instant::now();
    loop {
        let mut command = ssh(entry);
        command.args(["-o", "BatchMode=yes", "true"]);
        match process::run(&mut command, &control.quiet()) {
            Ok(_) => return Ok(()),
            Err(error @ ProcessError::Failed { .. }) if started.elapsed() > SSH => {
                return Err(BootError::Process { doing: "logging in with ssh", source: error });
            }
            Err(ProcessError::Failed { .. }) => std::thread::sleep(Duration::from_secs(2)),
            Err(source) => return Err(BootError::Process { doing: "logging in with ssh", source }),
        }
    }
}

/// Attaches the terminal to the console while `work` goes on, which is told when its user has left by typing Ctrl-].
pub(crate) fn at_console<T>(
    machine: &mut Machine,
    work: impl FnOnce(&mut Machine, &AtomicBool) -> Result<T, BootError>,
) -> Result<T, BootError> {
    let left = AtomicBool::new(false);
    let console = Console::attach(machine).map_err(BootError::prepare)?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A console that breaks is one that has been left.
            let _ = console.pass_on_typing(&left);
            left.store(true, Ordering::Relaxed);
        });
        let result = work(machine, &left);
        left.store(true, Ordering::Relaxed);
        result
    })
}

/// The terminal, attached to the machine's console. Dropping this gives it its own ways back.
struct Console {
    stream: UnixStream,
    before: Option<Termios>,
}

impl Console {
    fn attach(machine: &mut Machine) -> io::Result<Self> {
        let stream = machine.console()?;
        let before = termios::tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        }
        let mut from_guest = stream.try_clone()?;
        std::thread::spawn(move || {
            // To the terminal itself, as every terminal's console goes.
            let Ok(mut terminal) = fs_err::OpenOptions::new().write(true).open("/dev/tty") else { return };
            let mut buffer = [0; 4096];
            while let Ok(length) = from_guest.read(&mut buffer) {
                if length == 0 || terminal.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
        });
        Ok(Self { stream, before })
    }

    fn pass_on_typing(&self, left: &AtomicBool) -> io::Result<()> {
        let mut byte = [0];
        while !left.load(Ordering::Relaxed) {
            let stdin = io::stdin();
            let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
            if poll(&mut waiting, Some(&Timespec { tv_sec: 0, tv_nsec: 200_000_000 }))? == 0 {
                continue;
            }
            if rustix::io::read(&stdin, &mut byte)? == 0 || byte[0] == LEAVE {
                break;
            }
            (&self.stream).write_all(&byte)?;
        }
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
