//! An image seen through an appliance, for file systems the native reader does not know.

use std::io::{Seek, Write};

use super::GuestError;
use super::ffi;
use super::session::Session;
use crate::block::{IS_DIRECTORY, TOO_MANY_LINKS};
use crate::disk::{DiskError, FileKind, Root, Stat, Tree, Xattr, asks_for_directory};
use crate::host::temp_dir;

/// A read-only session as a [`Tree`]. Names are bytes, as guests may have them.
#[derive(Debug)]
pub struct SessionTree {
    session: Session,
    why: String,
}

impl SessionTree {
    /// Takes a session whose file systems are mounted, and why it is needed.
    pub fn new(session: Session, why: impl Into<String>) -> Self {
        Self { session, why: why.into() }
    }

    /// Tells of a link that leads nowhere what it is.
    fn missing(&mut self, path: &[u8], error: DiskError) -> DiskError {
        match (&error, self.read_link(path)) {
            (DiskError::NotFound(_), Ok(target)) => DiskError::dangling(path, &target),
            _ => error,
        }
    }

    /// `None` where the file system has none at all.
    fn kept_xattrs(&mut self, path: &[u8]) -> Result<Option<Vec<Xattr>>, DiskError> {
        let asked = path.to_vec();
        let found =
            self.session.raw_call("lgetxattrs", Some(&text(path)), None, move |g| ffi::lgetxattrs(g, &asked));
        match found {
            // The way libguestfs says so.
            Err(GuestError::Call { errno, .. }) if errno == rustix::io::Errno::OPNOTSUPP.raw_os_error() => {
                Ok(None)
            }
            found => found.map(Some).map_err(|error| explain(path, error)),
        }
    }

    /// Gives the session back.
    pub fn into_session(self) -> Session {
        self.session
    }
}

impl Tree for SessionTree {
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
        let names = spool()?;
        let (directory, to) = (path.to_vec(), names.path().to_owned());
        self.session
            .raw_call("ls0", Some(&text(path)), None, move |g| ffi::ls0(g, &directory, &to))
            .map_err(|error| self.missing(path, explain(path, error)))?;
        let bytes = fs_err::read(names.path()).map_err(|source| host("read", names.path(), source))?;
        let names = bytes.split(|byte| *byte == 0).filter(|name| !matches!(*name, b"" | b"." | b".."));
        Ok(names.map(<[u8]>::to_vec).collect())
    }

    fn lstat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        let asked = path.to_vec();
        self.session
            .raw_call("lstat", Some(&text(path)), None, move |g| ffi::lstat(g, &asked))
            .map(|stat| Stat { device: stat.device ^ self.session.place(path), ..stat })
            .map_err(|error| explain(path, error))
    }

    fn read_link(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let asked = path.to_vec();
        self.session
            .raw_call("readlink", Some(&text(path)), None, move |g| ffi::readlink(g, &asked))
            .map_err(|error| explain(path, error))
    }

    fn canonicalize(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let asked = path.to_vec();
        let found = self
            .session
            .raw_call("realpath", Some(&text(path)), None, move |g| ffi::realpath(g, &asked))
            .map_err(|error| self.missing(path, explain(path, error)))?;
        // Older C libraries do not mind a slash behind a file.
        if asks_for_directory(path) && self.lstat(&found)?.kind != FileKind::Directory {
            return Err(DiskError::NotDirectory(text(&found)));
        }
        Ok(found)
    }

    fn xattrs(&mut self, path: &[u8]) -> Result<Vec<Xattr>, DiskError> {
        let mut found = self.kept_xattrs(path)?.unwrap_or_default();
        found.sort_unstable();
        Ok(found)
    }

    fn keeps_xattrs(&mut self, path: &[u8]) -> Result<bool, DiskError> {
        Ok(self.kept_xattrs(path)?.is_some())
    }

    fn read_range(
        &mut self,
        path: &[u8],
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        let mut content = spool()?;
        let (from, to) = (path.to_vec(), content.path().to_owned());
        let is_whole = offset == 0 && length == u64::MAX;
        self.session
            .raw_call("download", Some(&text(path)), None, move |g| {
                if is_whole {
                    ffi::download(g, &from, &to)
                } else {
                    ffi::download_range(g, &from, &to, offset, length)
                }
            })
            .map_err(|error| self.missing(path, self::explain(path, error)))?;
        let copied = content.rewind().and_then(|()| std::io::copy(content.as_file_mut(), sink));
        copied.map_err(|source| host("copy", content.path(), source))
    }

    fn root(&mut self) -> Result<Root, DiskError> {
        self.session.root().map_err(|error| explain(b"/", error))
    }

    fn explain(&self) -> String {
        format!("read through an appliance: {}", self.why)
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn spool() -> Result<tempfile::NamedTempFile, DiskError> {
    tempfile::NamedTempFile::new_in(temp_dir())
        .map_err(|source| host("create a file in", &temp_dir(), source))
}

fn host(action: &'static str, path: &std::path::Path, source: std::io::Error) -> DiskError {
    DiskError::Io { action, path: path.to_owned(), source }
}

fn explain(path: &[u8], error: GuestError) -> DiskError {
    use rustix::io::Errno;
    let path = text(path);
    match error {
        GuestError::Cancelled(cancelled) => DiskError::Cancelled(cancelled),
        GuestError::Call { errno, message, .. } => {
            let wrong =
                |problem: &str| DiskError::WrongKind { path: path.clone(), problem: problem.to_owned() };
            // 0 is no error's number, and libguestfs may give none.
            match (1..4096).contains(&errno).then(|| Errno::from_raw_os_error(errno)) {
                Some(Errno::NOENT) => DiskError::NotFound(path),
                Some(Errno::NOTDIR) => DiskError::NotDirectory(path),
                Some(Errno::ISDIR) => wrong(IS_DIRECTORY),
                Some(Errno::LOOP) => wrong(TOO_MANY_LINKS),
                Some(Errno::INVAL) => wrong("is not a link"),
                _ => DiskError::Damaged(format!("cannot read `{path}`: {message}")),
            }
        }
        error => DiskError::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_number_is_one() {
        let call =
            |errno| GuestError::Call { operation: "lstat", path: None, message: "odd".to_owned(), errno };
        assert_eq!(explain(b"/x", call(0)).to_string(), "damaged image: cannot read `/x`: odd");
        assert!(explain(b"/x", call(2)).is_missing());
    }
}
