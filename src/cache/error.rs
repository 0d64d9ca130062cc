//! What can go wrong with the cache.

use std::io;
use std::path::{Path, PathBuf};

use crate::cancel::Cancelled;
use crate::error::{Diagnose, Exit, io_exit};
use crate::host::space;

/// The cache, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
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
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl CacheError {
    /// Turns the error of an I/O operation into one that says what was being done; a full disk becomes
    /// [`CacheError::Space`].
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match io_exit(&source, Exit::Host) {
            Exit::Space => Self::no_space(action, path),
            _ => Self::Io { action, path, source },
        }
    }

    /// The file system of `path` is full.
    pub(crate) fn no_space(action: &'static str, path: PathBuf) -> Self {
        Self::Space { action, free: free_space(&path), path }
    }

    /// The same for what everybody who uses the cache must be able to do: [`CacheError::NotOurs`] when it is not allowed.
    pub(crate) fn in_cache(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotOurs { action, path, source }
            }
            _ => Self::io(action, path)(source),
        }
    }
}

/// What is free for us on the file system of `path` or its nearest existing parent.
fn free_space(path: &Path) -> String {
    path.ancestors()
        .find_map(|place| space::free(place).ok())
        .map_or_else(|| "unknown".to_owned(), |free| format!("{} MiB", free >> 20))
}

impl Diagnose for CacheError {
    fn exit(&self) -> Exit {
        match self {
            Self::Space { .. } => Exit::Space,
            Self::NoCacheDirectory | Self::NotUtf8(_) => Exit::Usage,
            Self::Io { .. } | Self::NotOurs { .. } => Exit::Host,
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
            Self::NotOurs { .. } => {
                "use a cache of your own, with `--cache-dir` or TIB_CACHE_DIR; how users share one is said in docs/cache.md"
            }
            Self::NoCacheDirectory => "set TIB_CACHE_DIR",
            Self::NotUtf8(_) => "set TIB_CACHE_DIR, or give `--cache-dir`: libguestfs takes no other paths",
            Self::Io { .. } | Self::Cancelled(_) => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_names_the_file_and_the_way_out() {
        let error = CacheError::io("write", "/tmp/x")(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.exit(), Exit::Space);
        assert!(error.to_string().contains("`/tmp/x`") && error.to_string().contains("MiB free"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("TIB_CACHE_DIR")));
        let other = CacheError::io("write", "/tmp/x")(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(other.exit(), Exit::Host);
    }
}
