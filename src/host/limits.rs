//! Limits that the shell sets to this process.

use rustix::process::{Resource, getrlimit};

use crate::error::{Diagnose, Exit};

/// Files that may have to be open at once: a chain of images, its tables, pipes of programs, connections of several downloads.
const OPEN_FILES: u64 = 128;

/// Too few files may be open at once. Found out before anything is done: in the middle of the work it would show as an error of
/// whatever had to open the next one, or as a crash of a library.
#[derive(Debug, thiserror::Error)]
#[error("the limit of open files is {0}, and tib may need {OPEN_FILES} at once")]
pub(crate) struct FewOpenFiles(u64);

impl Diagnose for FewOpenFiles {
    fn exit(&self) -> Exit {
        Exit::Host
    }

    fn hint(&self) -> Option<String> {
        Some("raise the limit of open files: `ulimit -n 4096`".to_owned())
    }
}

/// Whether this process may open as many files as it may need.
pub(crate) fn open_files() -> Result<(), FewOpenFiles> {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < OPEN_FILES => Err(FewOpenFiles(limit)),
        _ => Ok(()),
    }
}
