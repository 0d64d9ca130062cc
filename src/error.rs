//! Exit codes, and what every error of this crate can tell a person.
//!
//! Each room has its own `thiserror` enum and implements [`Diagnose`] for it. [`Failure`] carries any of
//! them to the command line, so that no room needs to know another room's errors.

use std::fmt;

use rustix::io::Errno;

/// How the process ends. The numbers are documented in `docs/exit-codes.md` and are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// A fault of tib itself.
    Internal = 1,
    /// The command line asks for something that makes no sense.
    Usage = 2,
    /// A recipe, a file of checks or the catalogue is invalid.
    Recipe = 3,
    /// The network, or a server on it, did not deliver.
    Network = 4,
    /// Bytes are not what they should be: checksum, signature, image header.
    Integrity = 5,
    /// Customising the guest failed.
    Guest = 6,
    /// This host cannot do the work; `tib doctor` says why.
    Host = 7,
    /// The image was read, and checks failed or could not be performed.
    Checks = 8,
    /// No space left, on the host or in the image.
    Space = 9,
    /// Interrupted by a signal.
    Interrupted = 130,
}

/// An error that knows how the process should end and what its user can do next.
pub trait Diagnose: std::error::Error + Send + Sync + 'static {
    /// The exit code that stands for this error.
    fn exit(&self) -> Exit;

    /// One sentence that says what to do next, if there is something to be done.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The last relevant lines of output behind the error, oldest first.
    fn context(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Any room's error, on its way to the command line.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn Diagnose>,
    /// What else could be done.
    instead: Option<String>,
}

/// The result of work that crosses rooms.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// The exit code that stands for this error.
    pub fn exit(&self) -> Exit {
        self.error.exit()
    }

    /// The same with something that could be done instead, besides what the error itself says.
    #[must_use]
    pub fn or(self, instead: impl Into<String>) -> Self {
        Self { instead: Some(instead.into()), ..self }
    }

    /// One sentence that says what to do next.
    pub fn hint(&self) -> Option<String> {
        if self.is_at_its_limit() {
            return Some("raise the limit of open files: `ulimit -n 4096`".to_owned());
        }
        match (self.error.hint(), &self.instead) {
            (Some(hint), Some(instead)) => Some(format!("{hint}; {instead}")),
            (hint, instead) => hint.or_else(|| instead.clone()),
        }
    }

    /// Whether the cause of it all is the process's limit of open files, which is nobody's fault but the shell's.
    fn is_at_its_limit(&self) -> bool {
        causes(&*self.error)
            .any(|error| error.downcast_ref().is_some_and(|error| has_errno(error, Errno::MFILE)))
    }

    /// The last relevant lines of output behind the error, oldest first.
    pub fn context(&self) -> Vec<String> {
        self.error.context()
    }

    /// The message and those of all its causes, outermost first, without repetition.
    pub fn chain(&self) -> Vec<String> {
        let mut messages = vec![self.error.to_string()];
        let mut source = self.error.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !messages.last().is_some_and(|last| last.contains(&text)) {
                messages.push(text);
            }
            source = error.source();
        }
        messages
    }
}

impl<E: Diagnose> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: Box::new(error), instead: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain().join(": "))
    }
}

/// An error and its causes, outermost first.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The system's own error within one that also names a temporary file, which means nothing to anybody.
pub(crate) fn without_path(error: std::io::Error) -> std::io::Error {
    // Such an error does not hand out the one within it, so there is only its text, in which the path comes last.
    let text = error.to_string();
    let number = text.split_once("(os error ").and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
    number.map_or(error, std::io::Error::from_raw_os_error)
}

/// Whether it is that error of the system. Libraries wrap it in one of their own, and keep its text alone.
fn has_errno(error: &std::io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
        || error.to_string().contains(&format!("(os error {})", errno.raw_os_error()))
}

/// Whether no more files may be open, in this process or in the whole system.
fn is_out_of_files(error: &std::io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].into_iter().any(|errno| has_errno(error, errno))
}

/// The exit code for an I/O error: [`Exit::Space`] when a disk or quota is full, [`Exit::Host`] when no more files may be
/// open, otherwise `other`.
pub fn io_exit(error: &std::io::Error, other: Exit) -> Exit {
    match error.kind() {
        _ if is_out_of_files(error) => Exit::Host,
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => Exit::Space,
        _ => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open `{path}`")]
    struct Sample {
        path: &'static str,
        source: std::io::Error,
    }

    impl Diagnose for Sample {
        fn exit(&self) -> Exit {
            io_exit(&self.source, Exit::Integrity)
        }
    }

    #[test]
    fn chain_names_every_cause_once() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let failure = Failure::from(Sample { path: "/x", source });
        assert_eq!(failure.chain(), ["cannot open `/x`", "entity not found"]);
        assert_eq!(failure.exit(), Exit::Integrity);
    }

    #[test]
    fn too_few_files_are_the_hosts_fault_however_deep_they_lie() {
        let source = || std::io::Error::from_raw_os_error(24);
        for source in [source(), std::io::Error::other(format!("failed to open `/x`: {}", source()))] {
            let failure = Failure::from(Sample { path: "/x", source });
            assert_eq!(failure.exit(), Exit::Host);
            assert_eq!(failure.hint().as_deref(), Some("raise the limit of open files: `ulimit -n 4096`"));
        }
        // The whole system's limit: the shell cannot raise that.
        let failure = Failure::from(Sample { path: "/x", source: std::io::Error::from_raw_os_error(23) });
        assert_eq!((failure.exit(), failure.hint()), (Exit::Host, None));
    }

    #[test]
    fn an_error_without_its_path_is_still_the_systems() {
        let home = tempfile::tempdir().unwrap();
        let error = tempfile::tempdir_in(home.path().join("nowhere")).unwrap_err();
        assert!(error.raw_os_error().is_none() && error.to_string().contains("nowhere"), "{error}");
        let error = without_path(error);
        assert_eq!((error.raw_os_error(), error.kind()), (Some(2), std::io::ErrorKind::NotFound));
        assert!(!error.to_string().contains("nowhere"), "{error}");
        for error in [std::io::Error::from_raw_os_error(5), std::io::Error::other("odd")] {
            let (number, text) = (error.raw_os_error(), error.to_string());
            let error = without_path(error);
            assert_eq!((error.raw_os_error(), error.to_string()), (number, text));
        }
    }

    #[test]
    fn a_full_disk_has_its_own_exit_code() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(Failure::from(Sample { path: "/x", source }).exit(), Exit::Space);
    }
}
