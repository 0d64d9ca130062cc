//! The libguestfs session: an appliance with the disk attached, and what can be done through it.
//!
//! The only room that uses the `guestfs` crate, and the only one with unsafe code.

mod classify;
mod console;
pub mod doctor;
mod error;
mod ffi;
mod layout;
mod mounts;
mod operations;
mod process;
mod root;
mod script;
mod session;
mod space;
mod storage;
mod tree;
mod worker;

pub use error::{Cause, GuestError};
pub use session::{Drive, DriveFormat, Session, SessionOptions};
pub use storage::{lacking, packages_for};
pub use tree::SessionTree;

use std::path::Path;
use std::time::Duration;

use crate::disk::Stat;

/// Longer than any installation takes, even emulated: what is not done by then waits for somebody.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

/// A script for the guest's own shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What it does, for messages: `installing packages`.
    pub purpose: String,
    /// Text for `/bin/sh`, run with `set -e`; no network unless the session has it.
    pub text: String,
    /// The appliance is ended and the step fails when this is over. `None`: no limit.
    pub timeout: Option<Duration>,
}

impl Script {
    /// A script that may take as long as any package manager ever should.
    pub fn new(purpose: impl Into<String>, text: impl Into<String>) -> Self {
        Self { purpose: purpose.into(), text: text.into(), timeout: Some(PATIENCE) }
    }
}

/// Owner and permission bits of something put into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits, `0o7777` at the most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Access {
    /// Root's, with these permission bits.
    pub fn root(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0 }
    }
}

/// A guest whose file systems are mounted and writable. Paths are absolute in the guest.
///
/// The engine's steps know only this trait, so that plans are tested without an appliance.
pub trait Guest {
    /// Runs a script in the guest's root and returns what it wrote to stdout. Each line it writes to stderr
    /// or stdout of its commands is told as an event while it runs.
    ///
    /// # Errors
    /// [`GuestError::Script`] with its last lines when it exits with anything but 0.
    fn run(&mut self, script: &Script) -> Result<Vec<u8>, GuestError>;

    /// What is at `path`, not following a link in its last part; `None` if nothing is.
    ///
    /// # Errors
    /// See [`GuestError`]; likewise for all that follow.
    fn lstat(&mut self, path: &str) -> Result<Option<Stat>, GuestError>;

    /// Reads a file, following links inside the guest.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, GuestError>;

    /// Writes a regular file, replacing what is there (a link itself, not its target), with owner and mode.
    fn write(&mut self, path: &str, content: &[u8], access: Access) -> Result<(), GuestError>;

    /// Copies a file of the host into the guest.
    fn upload(&mut self, host: &Path, path: &str, access: Access) -> Result<(), GuestError>;

    /// Makes a directory and its missing parents; sets owner and mode of the last part only.
    fn mkdir_p(&mut self, path: &str, access: Access) -> Result<(), GuestError>;

    /// Sets the extended attributes that stand in a file of the host, of some MiB at the most, in the form of
    /// `getfattr --dump`: paths without their first slash, links not followed. All that can be set are; the error names the
    /// first others.
    fn restore_xattrs(&mut self, list: &Path) -> Result<(), GuestError>;

    /// Makes a symbolic link, replacing a file or link at `path`.
    fn symlink(&mut self, target: &str, path: &str) -> Result<(), GuestError>;

    /// The target of a link, unresolved.
    fn read_link(&mut self, path: &str) -> Result<String, GuestError>;

    /// Removes a file, link or whole directory; nothing happens if there is none.
    fn remove(&mut self, path: &str) -> Result<(), GuestError>;
}
