//! What can go wrong in or around an appliance.

use std::fmt;

use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit};

/// Why something in the guest failed, as far as its output tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The guest's disk is full.
    NoSpace,
    /// A name could not be resolved, or a server could not be reached.
    Network,
    /// A package or repository signature could not be verified.
    Signature,
    /// A package does not exist in any repository.
    NoSuchPackage,
    /// A package's maintainer script failed.
    MaintainerScript,
    /// The kernel killed a process for want of memory.
    OutOfMemory,
    /// Nothing known was recognised.
    Unknown,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "no space left on the guest's disk",
            Self::Network => "a name or server could not be reached from the guest",
            Self::Signature => "a signature could not be verified",
            Self::NoSuchPackage => "a package does not exist in the guest's repositories",
            Self::MaintainerScript => "a package's maintainer script failed",
            Self::OutOfMemory => "out of memory in the appliance",
            Self::Unknown => "see the last lines of output",
        })
    }
}

/// Something in or around the appliance failed.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The appliance did not start.
    #[error("the appliance did not start: {}", one_line(message))]
    Launch {
        /// What libguestfs or qemu said.
        message: String,
        /// Last console lines, oldest first.
        console: Vec<String>,
    },
    /// A libguestfs call failed.
    #[error("{operation} failed{}: {}", path.as_deref().map(|p| format!(" on `{p}`")).unwrap_or_default(), one_line(message))]
    Call {
        /// The libguestfs call.
        operation: &'static str,
        /// The path it was about.
        path: Option<String>,
        /// libguestfs' own words.
        message: String,
        /// `errno`, when libguestfs gives one; 0 otherwise.
        errno: i32,
    },
    /// A script in the guest exited with an error.
    #[error("{purpose} failed: {cause}")]
    Script {
        /// What the script was for.
        purpose: String,
        /// What its output points to.
        cause: Cause,
        /// Its last lines of output, oldest first.
        tail: Vec<String>,
    },
    /// A script took longer than it may.
    #[error("{purpose} took longer than {seconds} s and was ended")]
    Timeout {
        /// What the script was for.
        purpose: String,
        /// The limit.
        seconds: u64,
    },
    /// The disk holds no operating system that tib can mount.
    #[error("no operating system found in the image: {reason}")]
    NoOperatingSystem {
        /// What was looked for and not found.
        reason: String,
    },
    /// The appliance ended in the middle of the work.
    #[error("the appliance ended unexpectedly during {operation}")]
    Died {
        /// The libguestfs call that was running.
        operation: &'static str,
        /// Last console lines, oldest first.
        console: Vec<String>,
    },
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A message of libguestfs, which may have several lines, as one: messages are printed as a line each.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

impl Diagnose for GuestError {
    fn exit(&self) -> Exit {
        match self {
            Self::Launch { .. } => Exit::Host,
            Self::Script { cause: Cause::NoSpace, .. } => Exit::Space,
            Self::Script { cause: Cause::Network, .. } => Exit::Network,
            Self::Script { cause: Cause::Signature, .. } => Exit::Integrity,
            Self::NoOperatingSystem { .. } => Exit::Integrity,
            Self::Call { errno, .. } if *errno == rustix::io::Errno::NOSPC.raw_os_error() => Exit::Space,
            Self::Call { .. } | Self::Script { .. } | Self::Timeout { .. } | Self::Died { .. } => Exit::Guest,
            Self::Cancelled(_) => Exit::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Launch { .. } | Self::Died { .. } => "run `tib doctor` to see what this host lacks",
            Self::Script { cause: Cause::NoSpace, .. } => "give a larger `--size`",
            Self::Script { cause: Cause::Network, .. } => {
                "check name resolution and proxies; `tib doctor` tests them from inside the appliance"
            }
            Self::Script { cause: Cause::Signature, .. } => {
                "the repository's key is missing, expired or not the pinned one"
            }
            Self::Script { cause: Cause::NoSuchPackage, .. } => {
                "check the spelling, the release, and whether the recipe adds the right repository"
            }
            Self::Script { cause: Cause::OutOfMemory, .. } => {
                "give the appliance more memory with `TIB_MEMORY` (MiB)"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn context(&self) -> Vec<String> {
        match self {
            Self::Launch { console, .. } | Self::Died { console, .. } => console.clone(),
            Self::Script { tail, .. } => tail.clone(),
            _ => Vec::new(),
        }
    }
}
