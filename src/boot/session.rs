//! A person in the machine: through ssh, or at its console.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::termios::{self, OptionalActions};

use super::machine::Machine;
use super::{Afterwards, BootError};
use crate::control::Control;
use crate::host::process;

const KEY: &str = "ssh-key";
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

/// A port of the loopback interface that nobody has at this moment.
pub(crate) fn free_port() -> Result<u16, BootError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(BootError::prepare)?;
    Ok(listener.local_addr().map_err(BootError::prepare)?.port())
}

/// Lets a person in, until they leave.
pub(crate) fn afterwards(
    what: Afterwards,
    machine: &mut Machine,
    entry: &Entry<'_>,
    control: &Control,
) -> Result<(), BootError> {
    match what {
        Afterwards::End => Ok(()),
        Afterwards::Keep => {
            let port = entry.port.unwrap_or_default();
            control.events.note(format!(
                "the machine runs until you interrupt (Ctrl-C); ssh: port {port} of 127.0.0.1; console: {}; files: {}",
                machine.console().display(),
                entry.directory.display(),
            ));
            while machine.ended().is_none() && !control.cancel.is_raised() {
                std::thread::sleep(Duration::from_millis(250));
            }
            Ok(())
        }
        Afterwards::Ssh => ssh(entry),
        Afterwards::Console => console(machine).map_err(BootError::prepare),
    }
}

fn ssh(entry: &Entry<'_>) -> Result<(), BootError> {
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
    // It has the terminal, and how it ends is its user's business.
    command.arg(format!("{user}@127.0.0.1")).status().map_err(BootError::prepare)?;
    Ok(())
}

/// Attaches the terminal to the console until Ctrl-] is typed.
fn console(machine: &Machine) -> io::Result<()> {
    let socket: PathBuf = machine.console_socket();
    let stream = UnixStream::connect(socket)?;
    let stdin = io::stdin();
    let before = termios::tcgetattr(&stdin).ok();
    if let Some(before) = &before {
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw)?;
    }
    let mut from_guest = stream.try_clone()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // To the terminal itself, which is what the guest's console is attached to.
        let Ok(mut terminal) = fs_err::OpenOptions::new().write(true).open("/dev/tty") else { return };
        while let Ok(length) = from_guest.read(&mut buffer) {
            if length == 0 || terminal.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    });
    let mut to_guest = stream;
    let mut byte = [0];
    while stdin.lock().read(&mut byte)? == 1 && byte[0] != LEAVE {
        to_guest.write_all(&byte)?;
    }
    if let Some(before) = &before {
        termios::tcsetattr(&stdin, OptionalActions::Now, before)?;
    }
    Ok(())
}
