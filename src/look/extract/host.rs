//! Onto the host. The names are the image's, and it is untrusted: everything goes into a new directory that nobody
//! else has written to, so that no link in it can lead a later write elsewhere.

use std::ffi::OsStr;
use std::fs::{FileTimes, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use rustix::fs::CWD;

use super::{Extracted, FirstNames, entries};
use crate::disk::{DiskError, FileKind, Stat, Timestamp, Tree};
use crate::error::without_path;
use crate::look::LookError;
use crate::os::files::show;
use crate::{rename, sparse};

/// The copy, and what it replaces, until the names have changed.
const NEW: &str = "new";
const OLD: &str = "old";
/// Holes of files are found in steps of this.
const BLOCK: usize = 4096;

/// Copies a file or a directory to `target`, which gets its name when all is there. Modes (without set-id bits), times
/// and holes are kept, owners and attributes are not.
///
/// # Errors
/// [`LookError::Exists`] if something is at `target` and `replace` is not set; [`LookError::Read`],
/// [`LookError::Host`].
pub fn to_host(
    tree: &mut dyn Tree,
    path: &[u8],
    target: &Path,
    replace: bool,
) -> Result<Extracted, LookError> {
    if !replace && target.symlink_metadata().is_ok() {
        return Err(LookError::Exists { path: target.to_owned() });
    }
    let entries = entries(tree, path)?;
    let (top, stat) = &entries[0];
    if !matches!(stat.kind, FileKind::File | FileKind::Directory | FileKind::Symlink) {
        let problem = "is a device, a pipe or a socket, which only a tar file holds (`--tar`)".to_owned();
        return Err(DiskError::WrongKind { path: show(top), problem }.into());
    }
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut work = Work::in_directory(parent)
        .map_err(|error| LookError::host("create a directory in", parent, without_path(error)))?;
    let root = work.path().join(NEW);
    let prefix = if top == b"/" { 0 } else { top.len() };

    let mut done = Extracted::default();
    let mut names: FirstNames<PathBuf> = FirstNames::default();
    for (path, stat) in &entries {
        let relative = path[prefix..].strip_prefix(b"/").unwrap_or_default();
        let to = if relative.is_empty() { root.clone() } else { root.join(OsStr::from_bytes(relative)) };
        let result = match stat.kind {
            FileKind::Directory => {
                done.directories += 1;
                // Its own mode may not let us in.
                fs::create_dir(&to).and_then(|()| fs::set_permissions(&to, Permissions::from_mode(0o700)))
            }
            FileKind::Symlink => {
                done.links += 1;
                let link = tree.read_link(path)?;
                symlink(OsStr::from_bytes(&link), &to)
            }
            FileKind::File => {
                done.files += 1;
                match names.of(stat) {
                    Some(first) => fs::hard_link(first, &to),
                    None => {
                        done.bytes += copy(tree, path, stat, &to)?;
                        names.remember(stat, to.clone());
                        Ok(())
                    }
                }
            }
            FileKind::Block | FileKind::Character | FileKind::Fifo | FileKind::Socket => {
                done.left_out.push(path.clone());
                Ok(())
            }
        };
        result.map_err(|source| LookError::host("create", &to, source))?;
    }
    // Children first, or a directory without write permission would keep them from their own.
    for (path, stat) in entries.iter().rev().filter(|(_, stat)| stat.kind == FileKind::Directory) {
        let relative = path[prefix..].strip_prefix(b"/").unwrap_or_default();
        let to = root.join(OsStr::from_bytes(relative));
        finish_directory(&to, stat).map_err(|source| LookError::host("set the mode of", &to, source))?;
    }
    put_in_place(&mut work, target, replace)?;
    Ok(done)
}

/// Where a copy is made, and what it replaces goes. It vanishes at the end, read-only directories included, unless it is
/// to be kept.
struct Work {
    directory: tempfile::TempDir,
    keep: bool,
}

impl Work {
    fn in_directory(parent: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(".tib-extract-").tempdir_in(parent)?;
        Ok(Self { directory, keep: false })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.keep {
            self.directory.disable_cleanup(true);
            return;
        }
        let mut left = vec![self.path().to_owned()];
        while let Some(directory) = left.pop() {
            // What cannot be opened up stays behind; there is nobody to tell.
            let _ = std::fs::set_permissions(&directory, Permissions::from_mode(0o700));
            for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    left.push(entry.path());
                }
            }
        }
    }
}

/// Gives the finished copy its name, in one step where the file system can: then either the old or the new one has it,
/// whatever happens.
fn put_in_place(work: &mut Work, target: &Path, replace: bool) -> Result<(), LookError> {
    let new = work.path().join(NEW);
    // Where what had the name is now.
    let mut old = None;
    let moved = open_up(&new).and_then(|closed| {
        change_names(&new, target, replace, &work.path().join(OLD), &mut old)?;
        closed.map_or(Ok(()), |(directory, mode)| directory.set_permissions(mode))
    });
    let Err(source) = moved else { return Ok(()) };
    // Somebody has made it while we were copying.
    if !replace && source.kind() == io::ErrorKind::AlreadyExists {
        return Err(LookError::Exists { path: target.to_owned() });
    }
    let error = LookError::host("create", target, source);
    let Some(old) = old else { return Err(error) };
    match put_back(&old, target) {
        Ok(()) => Err(error),
        Err(reason) => {
            work.keep = true;
            let path = target.to_owned();
            Err(LookError::NotRestored { path, kept: old, reason, source: Box::new(error) })
        }
    }
}

/// A directory that may not be written cannot be moved either, until it has arrived: makes it writable, and says which
/// mode it is to get then.
fn open_up(new: &Path) -> io::Result<Option<(std::fs::File, Permissions)>> {
    let metadata = new.symlink_metadata()?;
    if !metadata.is_dir() {
        return Ok(None);
    }
    std::fs::set_permissions(new, Permissions::from_mode(0o700))?;
    Ok(Some((std::fs::File::open(new)?, metadata.permissions())))
}

fn change_names(
    new: &Path,
    target: &Path,
    replace: bool,
    aside: &Path,
    old: &mut Option<PathBuf>,
) -> io::Result<()> {
    if !replace {
        return rename::to_free(CWD, new.as_os_str(), CWD, target.as_os_str());
    }
    let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    if is_directory(new) || is_directory(target) {
        match rename::exchange(new, target) {
            Ok(true) => {
                *old = Some(new.to_owned());
                return Ok(());
            }
            // In two steps then.
            Ok(false) => match std::fs::rename(target, aside) {
                Ok(()) => *old = Some(aside.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            // There is nothing to replace.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    std::fs::rename(new, target)
}

fn put_back(old: &Path, target: &Path) -> io::Result<()> {
    match rename::exchange(old, target) {
        Ok(true) => Ok(()),
        Ok(false) => rename::to_free(CWD, old.as_os_str(), CWD, target.as_os_str()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            rename::to_free(CWD, old.as_os_str(), CWD, target.as_os_str())
        }
        Err(error) => Err(error),
    }
}

fn copy(tree: &mut dyn Tree, path: &[u8], stat: &Stat, to: &Path) -> Result<u64, LookError> {
    let host = |source| LookError::host("write", to, source);
    let file = std::fs::File::create_new(to).map_err(host)?;
    let mut sink = Sparse { file: &file, at: 0 };
    let length = tree.read_to(path, &mut sink)?;
    file.set_len(length)
        .and_then(|()| file.set_permissions(Permissions::from_mode(stat.mode & 0o777)))
        .and_then(|()| file.set_times(times(stat)))
        .map_err(host)?;
    Ok(length)
}

fn finish_directory(to: &Path, stat: &Stat) -> io::Result<()> {
    std::fs::File::open(to)?.set_times(times(stat))?;
    std::fs::set_permissions(to, Permissions::from_mode(stat.mode & 0o1777))
}

fn times(stat: &Stat) -> FileTimes {
    let moment = |time: Timestamp| {
        let seconds = Duration::from_secs(time.seconds.unsigned_abs());
        let base = if time.seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(seconds)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(seconds)
        };
        base.and_then(|base| base.checked_add(Duration::from_nanos(time.nanoseconds.into())))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    FileTimes::new().set_accessed(moment(stat.accessed)).set_modified(moment(stat.modified))
}

/// Writes a file front to back and leaves its holes out.
struct Sparse<'a> {
    file: &'a std::fs::File,
    at: u64,
}

impl io::Write for Sparse<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sparse::write_at(self.file, self.at, bytes, BLOCK)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::os::testing::MemTree;

    fn tree() -> MemTree {
        MemTree::new()
            .file("/d/file", "content")
            .access("/d/file", 0o4640, 12, 34)
            .hard_link("/d/file", "/d/other")
            .file("/d/closed/in", "x")
            .access("/d/closed", 0o555, 0, 0)
            .file("/d/sparse", [vec![0; 1 << 20], vec![1; 10]].concat())
            .link("/d/out", "../../../etc/passwd")
            .link("/alias", "d")
            .special("/d/pipe", FileKind::Fifo)
    }

    #[test]
    fn a_directory_with_its_modes_times_links_and_holes() {
        let host = tempfile::tempdir().unwrap();
        for path in [b"/d".as_slice(), b"/alias"] {
            let to = host.path().join("copy");
            let done = to_host(&mut tree(), path, &to, true).unwrap();
            assert_eq!((done.files, done.directories, done.links), (4, 2, 1));
            assert_eq!(done.left_out, [b"/d/pipe"]);
            let meta = |name: &str| to.join(name).symlink_metadata().unwrap();
            assert_eq!(meta("file").mode() & 0o7777, 0o640, "no set-id bit");
            assert_eq!(meta("file").mtime(), 1_700_000_000);
            assert_eq!(meta("file").ino(), meta("other").ino());
            assert_eq!(meta("closed").mode() & 0o777, 0o555);
            assert_eq!(meta("closed").mtime(), 1_700_000_000);
            assert!(meta("sparse").blocks() * 512 < 100_000);
            assert_eq!(std::fs::read(to.join("sparse")).unwrap().len(), (1 << 20) + 10);
            assert_eq!(std::fs::read_link(to.join("out")).unwrap(), Path::new("../../../etc/passwd"));
            assert!(!to.join("pipe").exists());
        }
        let left: Vec<_> =
            std::fs::read_dir(host.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["copy"], "nothing else is left behind");
    }

    #[test]
    fn nothing_is_replaced_unasked_and_nothing_is_lost_on_failure() {
        let host = tempfile::tempdir().unwrap();
        let to = host.path().join("file");
        std::fs::write(&to, "mine").unwrap();
        let error = to_host(&mut tree(), b"/d/file", &to, false).unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        let error = to_host(&mut tree().broken("/d/sparse"), b"/d", &to, true).unwrap_err();
        assert!(error.to_string().contains("bad block"), "{error}");
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "mine");
        to_host(&mut tree(), b"/d/file", &to, true).unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "content");
        assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 1);
        for path in [b"/nothing".as_slice(), b"/d/pipe"] {
            assert!(to_host(&mut tree(), path, &host.path().join("x"), false).is_err());
            assert!(!host.path().join("x").exists());
        }
    }

    #[test]
    fn what_somebody_makes_meanwhile_is_replaced_only_if_asked() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for (new_is_directory, there_is_directory) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let make = |path: &Path, directory: bool, what: &str| {
                let file = if directory { path.join("file") } else { path.to_owned() };
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, what).unwrap();
            };
            let read = |name: &str, directory: bool| {
                let file = if directory { path(name).join("file") } else { path(name) };
                std::fs::read_to_string(file).unwrap()
            };
            let mut work = Work::in_directory(home.path()).unwrap();
            make(&work.path().join(NEW), new_is_directory, "new");
            make(&path("there"), there_is_directory, "theirs");
            let error = put_in_place(&mut work, &path("there"), false).unwrap_err();
            assert!(matches!(error, LookError::Exists { .. }), "{error}");
            assert_eq!(read("there", there_is_directory), "theirs");
            put_in_place(&mut work, &path("there"), true).unwrap();
            assert_eq!(read("there", new_is_directory), "new");
            drop(work);
            let left: Vec<_> =
                std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(left, [path("there")]);
            let _ = std::fs::remove_dir_all(path("there")).or_else(|_| std::fs::remove_file(path("there")));
        }
    }
}
