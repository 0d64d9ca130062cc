//! The session as a [`Guest`]: what the engine's steps do to a mounted root.

use std::path::Path;

use guestfs::Handle;

use super::ffi::{self, CallError};
use super::session::{Session, errno_of, explain};
use super::{Access, Guest, GuestError, Script};
use crate::disk::Stat;
use crate::host::temp_dir;
use crate::shell::quote;

/// Content above this goes through a file on the host: libguestfs' protocol limits one message to 4 MiB.
const WRITE_LIMIT: usize = 2 * 1024 * 1024;

/// Where a list of extended attributes lies in the appliance, and how many of those that cannot be set are named.
const LIST: &str = "/dev/tib-xattrs";
const SHOWN: usize = 5;
/// Text passed in one call: the kernel limits one argument to 128 KiB, and quoting may make it four times as long.
const CHUNK: usize = 30 * 1024;
/// What the appliance says when all of them are set.
const DONE: &str = "all set";

/// A file system with less than this free is full: what is left cannot take another piece of a transfer.
const FULL: i64 = 1024 * 1024;

impl Guest for Session {
    fn run(&mut self, script: &Script) -> Result<Vec<u8>, GuestError> {
        self.run_script(script)
    }

    fn lstat(&mut self, path: &str) -> Result<Option<Stat>, GuestError> {
        let bytes = path.as_bytes().to_vec();
        self.raw_call("lstat", Some(path), None, move |handle| match ffi::lstat(handle, &bytes) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, GuestError> {
        let from = path.to_owned();
        self.call("read_file", Some(path), move |g| g.read_file(&from))
    }

    fn write(&mut self, path: &str, content: &[u8], access: Access) -> Result<(), GuestError> {
        if content.len() > WRITE_LIMIT {
            let file = spool(content).map_err(|error| host_error("write", path, &error))?;
            return self.upload(file.path(), path, access);
        }
        let content = content.to_vec();
        self.replace("write", path, access, move |g, new| g.write(new, &content))
    }

    fn upload(&mut self, host: &Path, path: &str, access: Access) -> Result<(), GuestError> {
        let from = host_name(host, "upload")?;
        self.console.set_transfer(Some(format!("copying {path}")));
        let result = self.replace("upload", path, access, move |g, new| g.upload(&from, new));
        self.console.set_transfer(None);
        result
    }

    fn mkdir_p(&mut self, path: &str, access: Access) -> Result<(), GuestError> {
        let directory = path.to_owned();
        self.call("mkdir_p", Some(path), move |g| {
            g.mkdir_p(&directory)?;
            set(g, &directory, access)
        })
    }

    fn restore_xattrs(&mut self, list: &Path) -> Result<(), GuestError> {
        let text = fs_err::read_to_string(list).map_err(|error| host_error("setfattr", LIST, &error))?;
        // Into the appliance's memory, so that nothing of it reaches the disk: libguestfs uploads to the guest alone.
        let mut rest = text.as_str();
        let mut redirect = ">";
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
            self.appliance_sh(&format!("printf %s {} {redirect}{LIST}", quote(chunk)))?;
            (rest, redirect) = (after, ">>");
        }
        // One program for all: a call for each file takes four times as long.
        let said = self.appliance_sh(&format!(
            "cd /sysroot && if said=$(setfattr -h --restore={LIST} 2>&1); then echo {DONE}; \
             else printf '%s\\n' \"$said\" | head -n {SHOWN}; fi; rm -f {LIST}"
        ))?;
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines == [DONE] {
            return Ok(());
        }
        let message = if lines.is_empty() { "setfattr said nothing".to_owned() } else { lines.join("; ") };
        let error = CallError { message, errno: 0 };
        let errno = errno_of(&error);
        Err(GuestError::Call { operation: "setfattr", path: None, message: error.message, errno })
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), GuestError> {
        let (target, new, link) = (target.to_owned(), beside(path), path.to_owned());
        self.call("ln_s", Some(path), move |g| {
            g.rm_f(&new)?;
            g.ln_s(&target, &new)?;
            g.rename(&new, &link)
        })
    }

    fn read_link(&mut self, path: &str) -> Result<String, GuestError> {
        let link = path.as_bytes().to_vec();
        let target = self.raw_call("readlink", Some(path), None, move |g| ffi::readlink(g, &link))?;
        String::from_utf8(target).map_err(|_| GuestError::Call {
            operation: "readlink",
            path: Some(path.to_owned()),
            message: "the link's target is not UTF-8".to_owned(),
            errno: rustix::io::Errno::ILSEQ.raw_os_error(),
        })
    }

    fn remove(&mut self, path: &str) -> Result<(), GuestError> {
        let gone = path.to_owned();
        self.call("rm_rf", Some(path), move |g| g.rm_rf(&gone))
    }
}

impl Session {
    /// Fills a new file beside `path`, gives it its owner and mode, and only then its name: nobody ever sees it
    /// half-written or with too wide a mode, and a link at `path` is replaced, not followed.
    fn replace(
        &self,
        operation: &'static str,
        path: &str,
        access: Access,
        fill: impl FnOnce(&Handle, &str) -> Result<(), guestfs::Error> + Send + 'static,
    ) -> Result<(), GuestError> {
        let (new, path) = (beside(path), path.to_owned());
        let about = path.clone();
        self.raw_call(operation, Some(&about), None, move |g| {
            let filled = g.touch(&new).and_then(|()| g.chmod(0o600, &new)).and_then(|()| fill(g, &new));
            let filled = filled.map_err(|error| name_full_disk(g, &new, explain(g, &error)));
            let finished = filled.and_then(|()| {
                let named = set(g, &new, access).and_then(|()| g.rename(&new, &path));
                named.map_err(|error| explain(g, &error))
            });
            if finished.is_err() {
                // What went wrong before matters; the half-made file is lost with the disk if this fails too.
                let _ = g.rm_f(&new);
            }
            finished
        })
    }
}

/// A failed upload says `write error` and keeps the errno to itself. Looks whether the disk is full.
fn name_full_disk(g: &Handle, new: &str, error: CallError) -> CallError {
    // Not `bfree`: ext4 keeps blocks that not even root gets.
    let full = |stat: guestfs::StatVFS| stat.bavail.saturating_mul(stat.frsize) < FULL;
    if error.errno == 0 && error.message.contains("write error") && g.statvfs(new).is_ok_and(full) {
        let errno = rustix::io::Errno::NOSPC.raw_os_error();
        return CallError { message: "no space left on the guest's disk".to_owned(), errno };
    }
    error
}

fn own(g: &Handle, path: &str, access: Access) -> Result<(), guestfs::Error> {
    let id = |id: u32| i32::try_from(id).unwrap_or(i32::MAX);
    g.lchown(id(access.uid), id(access.gid), path)
}

fn set(g: &Handle, path: &str, access: Access) -> Result<(), guestfs::Error> {
    // In this order: changing the owner clears set-id bits.
    own(g, path, access)?;
    g.chmod(i32::try_from(access.mode & 0o7777).unwrap_or(0), path)
}

/// A name in the same directory that nothing else uses. The work is done by one thread of one process.
fn beside(path: &str) -> String {
    let (directory, _) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{directory}/.tib-new")
}

fn is_missing(error: &CallError) -> bool {
    use rustix::io::Errno;
    [Errno::NOENT, Errno::NOTDIR].iter().any(|errno| errno.raw_os_error() == error.errno)
}

/// The name of a host's file for a crate that takes text only.
fn host_name(path: &Path, operation: &'static str) -> Result<String, GuestError> {
    path.to_str().map(str::to_owned).ok_or_else(|| GuestError::Call {
        operation,
        path: Some(path.display().to_string()),
        message: "the name of the file on the host is not UTF-8".to_owned(),
        errno: rustix::io::Errno::ILSEQ.raw_os_error(),
    })
}

fn spool(content: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new_in(temp_dir())?;
    std::io::Write::write_all(&mut file, content)?;
    Ok(file)
}

fn host_error(operation: &'static str, path: &str, error: &std::io::Error) -> GuestError {
    GuestError::Call {
        operation,
        path: Some(path.to_owned()),
        message: format!("cannot spool it on the host: {error}"),
        errno: error.raw_os_error().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_files_lie_in_the_same_directory() {
        assert_eq!(beside("/etc/hosts"), "/etc/.tib-new");
        assert_eq!(beside("/hosts"), "/.tib-new");
    }

    #[test]
    fn only_a_missing_path_counts_as_missing() {
        for (errno, missing) in [(2, true), (20, true), (13, false), (0, false)] {
            assert_eq!(is_missing(&CallError { message: String::new(), errno }), missing, "{errno}");
        }
    }
}
