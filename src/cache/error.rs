//! What can go wrong with what comes in.

use std::io;
use std::path::{Path, PathBuf};

use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};
use crate::host::process::ProcessError;
use crate::host::space;
use crate::trust::checksum::Checksum;
use crate::trust::openpgp::Fingerprint;

/// A base, or the cache it is kept in, is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or directory could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done: `read`, `create`, …
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file system a file should go to is full.
    #[error("cannot {action} `{}`: no space left on its file system ({free} free)", path.display())]
    Space {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What is free there, for people.
        free: String,
    },
    /// The cache, or something in it, belongs to somebody else.
    #[error("cannot {action} `{}` in the cache", path.display())]
    NotOurs {
        /// What was being done: `create`, `write`, `lock`.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No directory can be derived for the cache.
    #[error("no directory for the cache: neither TIB_CACHE_DIR, XDG_CACHE_HOME nor HOME is set")]
    NoCacheDirectory,
    /// The cache is where not all programs that work in it could find it.
    #[error("the path of the cache, `{}`, is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// `--base` says something that makes no sense.
    #[error("base `{text}` {problem}")]
    BadBase {
        /// What was given.
        text: String,
        /// What is wrong with it, as the end of a sentence.
        problem: String,
        /// What to say instead.
        hint: String,
    },
    /// A URL says where bytes are, and nothing says which they have to be.
    #[error("nothing says what `{0}` must hold")]
    UrlWithoutChecksum(String),
    /// A file or download is not what its digest says.
    #[error("`{file}` is not what it should be: its digest is {found}, wanted was {wanted}")]
    WrongChecksum {
        /// The file or URL.
        file: String,
        /// The digest it must have.
        wanted: Box<Checksum>,
        /// The digest it has.
        found: Box<Checksum>,
    },
    /// The cache does not hold an image that can be fetched.
    #[error("`{what}` is not in the cache, and nothing is fetched offline")]
    NotHere {
        /// The image.
        what: String,
    },
    /// The name says nothing of the image, and is not in the cache.
    #[error("the cache holds no image of `{0}`")]
    NotHeld(String),
    /// Somebody uses what should be removed.
    #[error("`{0}` is in use by a running tib")]
    InUse(String),
    /// A checksum file does not name the image.
    #[error("`{url}` names no file `{file}`")]
    NotListed {
        /// The checksum file.
        url: String,
        /// What was looked for: a name, or a pattern.
        file: String,
    },
    /// Nothing says where a key can be had.
    #[error("the key {0} is not in the cache, and the catalogue does not say where to get it")]
    NoKey(Fingerprint),
    /// A checksum file that nobody signed came without TLS.
    #[error("`{0}` is neither signed nor fetched over HTTPS")]
    Unprotected(String),
    /// A base would have to be made, and `--offline` forbids it.
    #[error("base `{0}` is not in the cache and cannot be made offline")]
    Offline(String),
    /// This host lacks something a bootstrap needs.
    #[error("cannot bootstrap on this host: {problem}")]
    Host {
        /// What is missing.
        problem: String,
        /// How to get it.
        fix: String,
    },
    /// A program on the host failed.
    #[error("{what} failed")]
    Program {
        /// What it was run for: `bootstrapping debian-12`.
        what: String,
        /// How it failed.
        source: ProcessError,
    },
    /// The bootstrapped tree lacks something a bootable image needs.
    #[error("the bootstrapped system is incomplete: {0}")]
    Incomplete(String),
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl SourceError {
    /// Turns the error of an I/O operation into one that says what was being done; a full disk becomes
    /// [`SourceError::Space`].
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match io_exit(&source, Exit::Host) {
            Exit::Space => Self::Space { action, free: free_space(&path), path },
            _ => Self::Io { action, path, source },
        }
    }

    /// The same for what everybody who uses the cache must be able to do: [`SourceError::NotOurs`] when it is not allowed.
    pub(crate) fn in_cache(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotOurs { action, path, source }
            }
            _ => Self::io(action, path)(source),
        }
    }

    /// Says what a program was run for, and where it wrote: if it complains of a full disk, that one is meant.
    pub fn program(what: impl Into<String>, place: impl Into<PathBuf>) -> impl FnOnce(ProcessError) -> Self {
        let (what, path) = (what.into(), place.into());
        move |source| match source {
            ProcessError::Cancelled(cancelled) => Self::Cancelled(cancelled),
            ProcessError::Failed { ref tail, .. } if tail.iter().any(|l| l.contains("No space left")) => {
                Self::Space { action: "write below", free: free_space(&path), path }
            }
            source => Self::Program { what, source },
        }
    }

    fn unreachable(&self) -> bool {
        const SIGNS: [&str; 5] = [
            "Could not resolve",
            "Failed to fetch",
            "Temporary failure",
            "Connection timed out",
            "Could not connect",
        ];
        self.tail().iter().any(|line| SIGNS.iter().any(|sign| line.contains(sign)))
    }

    fn tail(&self) -> &[String] {
        match self {
            Self::Program { source, .. } => source.tail(),
            _ => &[],
        }
    }
}

/// What is free for us on the file system of `path` or its nearest existing parent.
fn free_space(path: &Path) -> String {
    path.ancestors()
        .find_map(|place| space::free(place).ok())
        .map_or_else(|| "unknown".to_owned(), |free| format!("{} MiB", free >> 20))
}

impl Diagnose for SourceError {
    fn exit(&self) -> Exit {
        match self {
            Self::Space { .. } => Exit::Space,
            Self::NoCacheDirectory
            | Self::NotUtf8(_)
            | Self::BadBase { .. }
            | Self::UrlWithoutChecksum(_)
            | Self::NotHeld(_)
            | Self::InUse(_) => Exit::Usage,
            Self::Offline(_) | Self::NotHere { .. } | Self::NoKey(_) => Exit::Network,
            Self::WrongChecksum { .. } | Self::NotListed { .. } | Self::Unprotected(_) => Exit::Integrity,
            Self::Program { .. } if self.unreachable() => Exit::Network,
            Self::Io { .. } | Self::NotOurs { .. } | Self::Host { .. } | Self::Program { .. } => Exit::Host,
            Self::Incomplete(_) => Exit::Integrity,
            Self::Cancelled(_) => Exit::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Space { path, .. } => {
                return Some(format!(
                    "free some space there (directories below `bases` and `layers` of the cache may be removed \
                     while no tib runs), or set TIB_CACHE_DIR to a larger file system than that of `{}`",
                    path.display()
                ));
            }
            Self::BadBase { hint, .. } => return Some(hint.clone()),
            Self::Host { fix, .. } => return Some(fix.clone()),
            Self::NotOurs { .. } => {
                "use a cache of your own, with `--cache-dir` or TIB_CACHE_DIR; how users share one is said in docs/cache.md"
            }
            Self::NoCacheDirectory => "set TIB_CACHE_DIR",
            Self::NotUtf8(_) => "set TIB_CACHE_DIR, or give `--cache-dir`: libguestfs takes no other paths",
            Self::UrlWithoutChecksum(_) => {
                "add the digest its maker publishes: `--checksum sha256:…` (or sha512); \
                 `--insecure-skip-verify` takes whatever comes, and records that"
            }
            Self::WrongChecksum { .. } => {
                "compare with what its maker publishes; the file may be damaged, or another build"
            }
            Self::NotHere { what } => {
                return Some(format!(
                    "run `tib base fetch {what}` with a network, here or with the same TIB_CACHE_DIR; or give a file"
                ));
            }
            Self::NotHeld(_) => "`tib base list` shows what is here; `tib base fetch ID` fetches",
            Self::InUse(_) => "wait until it has ended, and try again",
            Self::NotListed { .. } => {
                "its maker may have changed the name; `tib base show ID` lists builds known by digest, and \
                 `--base URL --checksum …` takes any image"
            }
            Self::NoKey(_) => "give a file with it: `tib base fetch ID --key FILE`",
            Self::Unprotected(_) => "use the maker's own https address",
            Self::Offline(_) => "run once without `--offline`, or give an image with `--base FILE`",
            Self::Program { .. } if self.unreachable() => {
                "check the network, this host's package sources, and http_proxy"
            }
            Self::Program { .. } => "its last lines say why; `-v` shows all of them",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn context(&self) -> Vec<String> {
        self.tail().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_names_the_file_and_the_way_out() {
        let error = SourceError::io("write", "/tmp/x")(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.exit(), Exit::Space);
        assert!(error.to_string().contains("`/tmp/x`") && error.to_string().contains("MiB free"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("TIB_CACHE_DIR")));
        let other = SourceError::io("write", "/tmp/x")(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(other.exit(), Exit::Host);
    }

    #[test]
    fn what_a_program_printed_decides_the_exit_code() {
        let failed = |line: &str| {
            let status = std::os::unix::process::ExitStatusExt::from_raw(256);
            let tail = vec![line.to_owned()];
            SourceError::program("x", "/")(ProcessError::Failed { program: "p".into(), status, tail })
        };
        let cases = [
            ("E: Could not resolve 'mirror.invalid'", Exit::Network),
            ("tar: write error: No space left on device", Exit::Space),
            ("E: something else", Exit::Host),
        ];
        for (line, exit) in cases {
            assert_eq!(failed(line).exit(), exit, "{line}");
        }
        assert_eq!(
            SourceError::program("x", "/")(ProcessError::Cancelled(Cancelled)).exit(),
            Exit::Interrupted
        );
    }
}
