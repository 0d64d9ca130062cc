//! One ext2/3/4 file system, read by `ext4-view`.
//!
//! The library is not `Send`, so it lives on a thread of its own; calls go there as closures. It replays a
//! journal that was not written back in memory, and says which features it lacks.
//!
//! It believes the sizes in the superblock and in inodes, so those are held against the partition first.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Path};

use super::raw::check_range;
use super::{BlockRead, DiskError, FileKind, Stat};

/// Longest target of a link that Linux accepts.
const MAX_LINK: u64 = 4096;
/// Largest directory that is read.
const MAX_DIRECTORY: u64 = 256 << 20;
/// Entries of a directory that are read.
const MAX_ENTRIES: usize = 4 << 20;
/// Memory for block group descriptors, on the disk's side.
const MAX_DESCRIPTORS: u64 = 64 << 20;
/// Bytes of a file sent at once.
const PIECE: usize = 256 << 10;

/// A disk that several file systems read from.
pub(super) type Shared = Arc<Mutex<Box<dyn BlockRead>>>;

type Call = Box<dyn FnOnce(&Ext4) + Send>;

/// An open file system.
pub(super) struct FileSystem {
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<()>>,
    /// Longest file that indirect blocks can map. A longer one, unless it has extents, makes `ext4-view` panic,
    /// and there is no telling which it has.
    longest: u64,
}

impl FileSystem {
    /// Opens the file system in `length` bytes from `start`.
    ///
    /// # Errors
    /// [`DiskError::Unsupported`] for a feature `ext4-view` does not know, [`DiskError::Damaged`].
    pub(super) fn open(disk: &Shared, start: u64, length: u64) -> Result<Self, DiskError> {
        let mut window = Window { disk: Arc::clone(disk), start, length };
        let mut superblock = [0; 1024];
        window.read_exact(1024, &mut superblock)?;
        let block_size = check_superblock(&superblock, length)?;
        let per_block = block_size / 4;
        let longest = (12 + per_block + per_block.pow(2) + per_block.pow(3)) * block_size;
        let (calls, queue) = mpsc::channel::<Call>();
        let (opened, result) = mpsc::channel();
        let thread = std::thread::spawn(move || match Ext4::load(Box::new(window)) {
            Ok(fs) => {
                // The opener waits for this and then sends calls, until it drops its end.
                let _ = opened.send(Ok(()));
                for call in queue {
                    call(&fs);
                }
            }
            Err(error) => {
                let _ = opened.send(Err(translate(b"/", error)));
            }
        });
        result.recv().map_err(|_| ended())??;
        Ok(Self { calls: Some(calls), thread: Some(thread), longest })
    }

    /// Runs `work` where the file system lives.
    fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Ext4) -> Result<R, DiskError> + Send + 'static,
    ) -> Result<R, DiskError> {
        let (sender, result) = mpsc::channel();
        // Nobody waits for the answer only if this thread is gone.
        let call: Call = Box::new(move |fs| drop(sender.send(work(fs))));
        self.calls.as_ref().ok_or_else(ended)?.send(call).map_err(|_| ended())?;
        result.recv().map_err(|_| ended())?
    }

    /// The names in a directory.
    pub(super) fn read_dir(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
        let path = path.to_vec();
        self.call(move |fs| {
            let at = |error| translate(&path, error);
            if fs.symlink_metadata(parse(&path)?).map_err(at)?.len() > MAX_DIRECTORY {
                return Err(damaged(&path, "is a directory of an absurd size"));
            }
            let mut names = Vec::new();
            for entry in fs.read_dir(parse(&path)?).map_err(at)? {
                let entry = entry.map_err(at)?;
                let name = entry.file_name();
                let name: &[u8] = name.as_ref();
                if name != b"." && name != b".." {
                    names.push(name.to_vec());
                }
                if names.len() > MAX_ENTRIES {
                    return Err(damaged(&path, "has more entries than tib reads"));
                }
            }
            Ok(names)
        })
    }

    /// What is at `path`, whose parents are no links.
    pub(super) fn lstat(&self, path: &[u8]) -> Result<Stat, DiskError> {
        let path = path.to_vec();
        self.call(move |fs| {
            let metadata = fs.symlink_metadata(parse(&path)?).map_err(|error| translate(&path, error))?;
            Ok(Stat {
                kind: kind(metadata.file_type()),
                mode: u32::from(metadata.mode()),
                uid: metadata.uid(),
                gid: metadata.gid(),
                size: metadata.len(),
                mtime: metadata.modified().seconds(),
                links: 0, // ext4-view keeps it to itself
            })
        })
    }

    /// What the link at `path` points to.
    pub(super) fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let path = path.to_vec();
        self.call(move |fs| {
            let at = |error| translate(&path, error);
            let metadata = fs.symlink_metadata(parse(&path)?).map_err(at)?;
            if metadata.is_symlink() && metadata.len() > MAX_LINK {
                return Err(damaged(&path, "is a link of an absurd length"));
            }
            Ok(fs.read_link(parse(&path)?).map_err(at)?.as_ref().to_vec())
        })
    }

    /// Hands the content of the file at `path`, which is no link, to `sink`.
    pub(super) fn read_to(&self, path: &[u8], sink: &mut dyn std::io::Write) -> Result<u64, DiskError> {
        // A full channel makes the file system's thread wait for the sink.
        let (pieces, content) = mpsc::sync_channel::<Result<Vec<u8>, DiskError>>(2);
        let (owned, longest) = (path.to_vec(), self.longest);
        let call: Call = Box::new(move |fs| {
            if let Err(error) = send_file(fs, &owned, longest, &pieces) {
                // Nobody listens any more only if the sink failed.
                let _ = pieces.send(Err(error));
            }
        });
        self.calls.as_ref().ok_or_else(ended)?.send(call).map_err(|_| ended())?;
        let mut total = 0;
        loop {
            let piece = content.recv().map_err(|_| ended())??;
            if piece.is_empty() {
                return Ok(total);
            }
            total += piece.len() as u64;
            sink.write_all(&piece).map_err(|source| DiskError::Io {
                action: "pass on",
                path: String::from_utf8_lossy(path).into_owned().into(),
                source,
            })?;
        }
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has failed the call that was waiting for it.
            let _ = thread.join();
        }
    }
}

/// Sends a file piece by piece, and an empty piece at its end.
fn send_file(
    fs: &Ext4,
    path: &[u8],
    longest: u64,
    pieces: &mpsc::SyncSender<Result<Vec<u8>, DiskError>>,
) -> Result<(), DiskError> {
    let at = |error| translate(path, error);
    let mut file = fs.open(parse(path)?).map_err(at)?;
    if file.metadata().len() > longest {
        let path = String::from_utf8_lossy(path);
        return Err(DiskError::Unsupported(format!("`{path}` in the image is too long to be read natively")));
    }
    loop {
        let mut piece = vec![0; PIECE];
        let mut filled = 0;
        while filled < piece.len() {
            let count = file.read_bytes(&mut piece[filled..]).map_err(at)?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        piece.truncate(filled);
        if pieces.send(Ok(piece)).is_err() || filled == 0 {
            return Ok(());
        }
    }
}

/// Holds what the superblock claims against the size of the partition, and returns the block size.
fn check_superblock(bytes: &[u8; 1024], length: u64) -> Result<u64, DiskError> {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if u16_at(0x38) != 0xef53 {
        return Err(DiskError::Unsupported("there is no ext4 file system".to_owned()));
    }
    let fault = |what: &str| Err(DiskError::Damaged(format!("the ext4 superblock claims {what}")));
    let log_block_size = u32_at(0x18);
    if log_block_size > 6 {
        return fault("blocks larger than 64 KiB");
    }
    let block_size = 1024u64 << log_block_size;
    let is_64bit = u32_at(0x60) & 0x80 != 0;
    let high = if is_64bit { u64::from(u32_at(0x150)) } else { 0 };
    let blocks = high << 32 | u64::from(u32_at(0x4));
    if blocks.checked_mul(block_size).is_none_or(|size| size > length) {
        return fault("a file system larger than its partition");
    }
    let per_group = u64::from(u32_at(0x20));
    if per_group == 0 || u32_at(0x28) == 0 {
        return fault("empty block groups");
    }
    let descriptor = if is_64bit { u64::from(u16_at(0xfe)).max(64) } else { 32 };
    if blocks.div_ceil(per_group) * descriptor > MAX_DESCRIPTORS.min(length) {
        return fault("more block groups than fit");
    }
    let inode = u64::from(u16_at(0x58));
    if inode < 128 || inode > block_size || !inode.is_power_of_two() {
        return fault("inodes of an impossible size");
    }
    Ok(block_size)
}

fn parse(path: &[u8]) -> Result<Path<'_>, DiskError> {
    Path::try_from(path).map_err(|_| DiskError::NotFound(String::from_utf8_lossy(path).into_owned()))
}

fn kind(kind: FileType) -> FileKind {
    match kind {
        FileType::BlockDevice => FileKind::Block,
        FileType::CharacterDevice => FileKind::Character,
        FileType::Directory => FileKind::Directory,
        FileType::Fifo => FileKind::Fifo,
        FileType::Regular => FileKind::File,
        FileType::Socket => FileKind::Socket,
        FileType::Symlink => FileKind::Symlink,
    }
}

fn translate(path: &[u8], error: Ext4Error) -> DiskError {
    let path = String::from_utf8_lossy(path).into_owned();
    let wrong = |problem: &str| DiskError::WrongKind { path: path.clone(), problem: problem.to_owned() };
    match error {
        Ext4Error::NotFound | Ext4Error::MalformedPath | Ext4Error::PathTooLong => DiskError::NotFound(path),
        Ext4Error::NotASymlink => wrong("is not a link"),
        Ext4Error::IsADirectory => wrong("is a directory"),
        Ext4Error::NotADirectory => wrong("is not a directory"),
        Ext4Error::IsASpecialFile => wrong("is not a regular file"),
        Ext4Error::TooManySymlinks => wrong("goes through too many links"),
        Ext4Error::Encrypted => DiskError::Unsupported(format!("`{path}` in the image is encrypted")),
        Ext4Error::Incompatible(what) => {
            DiskError::Unsupported(format!("the ext4 file system uses what tib does not read: {what}"))
        }
        // A hole as ext2 and ext3 store it: an indirect block that is not there. ext4-view goes for block 0.
        Ext4Error::Corrupt(what) if what.to_string().ends_with("from block 0 (originally 0) at offset 0") => {
            DiskError::Unsupported(format!(
                "`{path}` in the image is sparse in a way tib does not read natively"
            ))
        }
        error => DiskError::Damaged(format!("ext4, at `{path}`: {error}")),
    }
}

fn damaged(path: &[u8], what: &str) -> DiskError {
    DiskError::Damaged(format!("`{}` {what}", String::from_utf8_lossy(path)))
}

fn ended() -> DiskError {
    DiskError::Damaged("reading the ext4 file system came to an end it should not have".to_owned())
}

/// A partition, as `ext4-view` reads it.
struct Window {
    disk: Shared,
    start: u64,
    length: u64,
}

impl Window {
    fn read_exact(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        check_range(self.length, at, buffer.len() as u64)?;
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.read_exact_at(buffer, self.start + at)
    }
}

impl Ext4Read for Window {
    fn read(
        &mut self,
        at: u64,
        buffer: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        self.read_exact(at, buffer).map_err(Into::into)
    }
}
