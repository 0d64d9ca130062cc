//! Files that are either whole or absent: copying without filling holes, syncing, removing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;

use super::CacheError;
use crate::cancel::Cancel;
use crate::digest::{self, Digest};
use crate::trust::checksum::{Algorithm, Checksum, Hasher};

/// Bytes copied or hashed between two looks at the cancel flag.
const CHUNK: usize = 4 << 20;
/// Zeros in pieces of this size are not written but left out.
const HOLE: usize = 64 << 10;

/// Makes the names in a directory survive a crash.
pub(crate) fn sync_dir(path: &Path) -> Result<(), CacheError> {
    let dir = File::open(path).map_err(CacheError::io("open", path))?;
    dir.sync_all().map_err(CacheError::io("sync", path))
}

/// Makes a file's content survive a crash.
pub(crate) fn sync_file(path: &Path) -> Result<(), CacheError> {
    let file = File::open(path).map_err(CacheError::io("open", path))?;
    file.sync_all().map_err(CacheError::io("sync", path))
}

/// Renames `from` to `to` on the same file system and syncs the directory that `to` is in.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<(), CacheError> {
    fs_err::rename(from, to).map_err(CacheError::io("create", to))?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Copies what is not a hole of `source` to `shift` bytes further on in `target`, which is all zeros there.
pub(crate) fn copy_data(
    source: &File,
    from: &Path,
    (target, to): (&File, &Path),
    shift: u64,
    cancel: &Cancel,
) -> Result<(), CacheError> {
    let size = source.metadata().map_err(CacheError::io("read", from))?.len();
    let mut position = 0;
    while let Some((mut start, end)) =
        next_data(source, position, size).map_err(CacheError::io("read", from))?
    {
        while start < end {
            cancel.check()?;
            let length = usize::try_from(end - start).unwrap_or(CHUNK).min(CHUNK);
            let copied = copy_range(source, start, target, start + shift, length);
            start += copied.map_err(CacheError::io("write", to))? as u64;
        }
        position = end;
    }
    Ok(())
}

/// The next run of bytes at or after `position` that is not a hole.
fn next_data(file: &File, position: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if position >= size {
        return Ok(None);
    }
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(position)) {
        Ok(start) => {
            let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start))?;
            Ok(Some((start, end.min(size))))
        }
        Err(Errno::NXIO) => Ok(None),
        // A file system without holes.
        Err(Errno::INVAL) => Ok(Some((position, size))),
        Err(error) => Err(error.into()),
    }
}

/// Copies up to `length` bytes (at least one), inside the kernel where it can.
fn copy_range(source: &File, from: u64, target: &File, to: u64, length: usize) -> io::Result<usize> {
    let (mut read_at, mut write_at) = (from, to);
    match rustix::fs::copy_file_range(source, Some(&mut read_at), target, Some(&mut write_at), length) {
        Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut while it was copied")),
        Ok(copied) => Ok(copied),
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
            let mut buffer = vec![0; length];
            source.read_exact_at(&mut buffer, from)?;
            target.write_all_at(&buffer, to)?;
            Ok(length)
        }
        Err(error) => Err(error.into()),
    }
}

/// Copies `from` into the new file `to` and returns the SHA-256 of what `to` then holds; `progress` is told the
/// bytes done. Blocks are shared where the file system can; zeros become holes. `to` is synced.
pub(crate) fn copy_hashed(
    from: &Path,
    to: &Path,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64),
) -> Result<Digest, CacheError> {
    let source = File::open(from).map_err(CacheError::io("open", from))?;
    let mut target = create(to)?;
    // What is hashed is the copy: the original may change while it is read.
    let digest = if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        hash_reader(&mut target, to, cancel, &mut |_, _| Ok(()), progress)?
    } else {
        let copy = &target;
        let mut write = |offset: u64, bytes: &[u8]| {
            let mut at = offset;
            for piece in bytes.chunks(HOLE) {
                if piece.iter().any(|byte| *byte != 0) {
                    copy.write_all_at(piece, at).map_err(CacheError::io("write", to))?;
                }
                at += piece.len() as u64;
            }
            // The end may be a hole; the length has to be right all the same.
            copy.set_len(at).map_err(CacheError::io("write", to))
        };
        let mut source = source;
        hash_reader(&mut source, from, cancel, &mut write, progress)?
    };
    target.sync_all().map_err(CacheError::io("sync", to))?;
    target.flush().map_err(CacheError::io("write", to))?;
    Ok(digest)
}

/// The SHA-256 of a file.
pub(crate) fn hash(
    path: &Path,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64),
) -> Result<Digest, CacheError> {
    let mut file = File::open(path).map_err(CacheError::io("open", path))?;
    hash_reader(&mut file, path, cancel, &mut |_, _| Ok(()), progress)
}

/// The digest of a file in any algorithm.
pub(crate) fn checksum(path: &Path, algorithm: Algorithm, cancel: &Cancel) -> Result<Checksum, CacheError> {
    let mut file = File::open(path).map_err(CacheError::io("open", path))?;
    let mut hasher = Hasher::new(algorithm);
    let mut sink = |_: u64, bytes: &[u8]| {
        hasher.update(bytes);
        Ok(())
    };
    hash_reader(&mut file, path, cancel, &mut sink, &mut |_| ())?;
    Ok(hasher.finish())
}

type Sink<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), CacheError>;

fn hash_reader(
    file: &mut File,
    path: &Path,
    cancel: &Cancel,
    sink: Sink<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Digest, CacheError> {
    file.seek(SeekFrom::Start(0)).map_err(CacheError::io("read", path))?;
    let mut hasher = digest::Hasher::default();
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    loop {
        cancel.check()?;
        let length = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CacheError::io("read", path)(error)),
        };
        hasher.update(&buffer[..length]);
        sink(done, &buffer[..length])?;
        done += length as u64;
        progress(done);
    }
    Ok(hasher.finish())
}

fn create(path: &Path) -> Result<File, CacheError> {
    let file = File::options().read(true).write(true).create_new(true).open(path);
    file.map_err(CacheError::io("create", path))
}

/// Removes a file or a whole tree, also one with files of the user's subordinate ids, which only a user
/// namespace may remove.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let remove = || match fs_err::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    let Err(error) = remove() else { return Ok(()) };
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Err(error);
    }
    // The namespace's root may neither list nor change our own directories, so it gets what is in this one by
    // name, removes what it can and fails; what is left is ours.
    let inside: Vec<_> = fs_err::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
    let _ = Command::new("mmdebstrap")
        .args(["--unshare-helper", "rm", "-rf", "--one-file-system", "--"])
        .args(inside)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    remove()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    /// 3 MiB of hole, one piece of data, and a hole up to an odd length.
    fn sparse(path: &Path) -> File {
        let file = create(path).unwrap();
        file.write_all_at(b"in the middle", 3 << 20).unwrap();
        file.set_len((8 << 20) + 3).unwrap();
        file
    }

    #[test]
    fn copies_are_equal_and_keep_their_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, copy) = (dir.path().join("a"), dir.path().join("b"));
        sparse(&from);
        let mut seen = 0;
        let digest = copy_hashed(&from, &copy, &Cancel::new(), &mut |done| seen = done).unwrap();
        let content = fs_err::read(&from).unwrap();
        assert_eq!(digest, Digest::of(&content));
        assert_eq!(seen, content.len() as u64);
        assert_eq!(fs_err::read(&copy).unwrap(), content);
        let blocks = fs_err::metadata(&copy).unwrap().blocks();
        assert!(blocks * 512 < 1 << 20, "{} has {blocks} blocks", copy.display());
    }

    #[test]
    fn data_can_be_moved_to_another_place() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        let (source, target) = (sparse(&from), create(&to).unwrap());
        target.set_len(16 << 20).unwrap();
        copy_data(&source, &from, (&target, &to), 1 << 20, &Cancel::new()).unwrap();
        let mut there = [0; 13];
        target.read_exact_at(&mut there, 4 << 20).unwrap();
        assert_eq!(&there, b"in the middle");
    }

    #[test]
    fn an_existing_file_is_not_overwritten_and_cancelling_stops() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        sparse(&from);
        fs_err::write(&to, "there").unwrap();
        assert!(copy_hashed(&from, &to, &Cancel::new(), &mut |_| ()).is_err());
        assert_eq!(fs_err::read(&to).unwrap(), b"there");
        let cancel = Cancel::new();
        cancel.raise();
        let error = hash(&from, &cancel, &mut |_| ()).unwrap_err();
        assert!(matches!(error, CacheError::Cancelled(_)));
    }

    #[test]
    fn what_is_absent_counts_as_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs_err::create_dir_all(tree.join("a/b")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }
}
