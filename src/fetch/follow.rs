//! Threads that hash and extract what has been written, while more of it is being written.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::Notify;

use super::extract::{self, ExtractError};
use super::place::Place;
use super::tail::{Stopped, Tail, Watermark};
use super::{FetchError, FileCompression};
use crate::cancel::{Cancel, Cancelled};
use crate::digest::Digest;
use crate::trust::checksum::{Algorithm, Checksum, Hasher};

/// Bytes hashed at a time: small enough to be still in the processor's cache.
const CHUNK: usize = 128 << 10;

/// What the followers are to find out.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// For messages.
    pub(crate) what: String,
    /// The algorithm for the bytes as served.
    pub(crate) algorithm: Algorithm,
    /// How they are compressed.
    pub(crate) compression: Option<FileCompression>,
    /// How many bytes may be extracted.
    pub(crate) max_size: u64,
}

/// The followers of one file. They stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Followers {
    watermark: Arc<Watermark>,
    served: Option<Thread<Checksum>>,
    /// Hashes the content of the disk, where that needs more than hashing the bytes as served.
    content: Option<Thread<Digest>>,
}

type Thread<T> = JoinHandle<Result<T, FollowError>>;

/// A follower that ended early: it was stopped, or it failed.
#[derive(Debug)]
enum FollowError {
    Stopped,
    Failed(FetchError),
}

/// What is known of a file that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digests {
    /// Of the bytes as served.
    pub(crate) served: Checksum,
    /// Of the content of the disk.
    pub(crate) content: Digest,
}

impl Followers {
    /// Starts to follow the data of `place`. If a follower fails, `trouble` is told.
    pub(crate) fn start(
        task: &Task,
        place: &Place,
        cancel: &Cancel,
        trouble: &Arc<Notify>,
    ) -> Result<Self, FetchError> {
        let watermark = Arc::new(Watermark::default());
        let mut followers = Self { watermark: Arc::clone(&watermark), served: None, content: None };
        let follow = || -> Result<(Tail, PathBuf), FetchError> {
            let path = place.data();
            let file = File::open(&path).map_err(FetchError::io("open", &path))?;
            Ok((Tail::new(file, Arc::clone(&watermark), cancel.clone()), path))
        };
        let watch = Watch { watermark: Arc::clone(&watermark), trouble: Arc::clone(trouble) };
        let (tail, path) = follow()?;
        let algorithm = task.algorithm;
        followers.served = Some(watch.spawn("hash", move || hash(tail, path, algorithm))?);
        if let Some(compression) = task.compression {
            let (tail, path) = follow()?;
            let (task, disk) = (task.clone(), place.disk());
            let extract = move || extract_to(tail, path, compression, &disk, &task);
            followers.content = Some(watch.spawn("extract", extract)?);
        } else if algorithm != Algorithm::Sha256 {
            let (tail, path) = follow()?;
            let hash = move || hash(tail, path, Algorithm::Sha256).map(|sum| sha256(&sum));
            followers.content = Some(watch.spawn("hash", hash)?);
        }
        Ok(followers)
    }

    /// The first `ready` bytes have been written.
    pub(crate) fn advance(&self, ready: u64) {
        self.watermark.advance(ready);
    }

    /// All bytes have been written: waits for the digests.
    pub(crate) fn finish(mut self) -> Result<Digests, FetchError> {
        self.watermark.complete();
        let (served, content) = (join(self.served.take()), join(self.content.take()));
        // Where one failed, the other was stopped.
        match (served, content) {
            (Err(FollowError::Failed(error)), _) | (_, Err(FollowError::Failed(error))) => Err(error),
            (Ok(Some(served)), Ok(content)) => {
                Ok(Digests { served, content: content.unwrap_or_else(|| sha256(&served)) })
            }
            _ => Err(Cancelled.into()),
        }
    }
}

impl Followers {
    /// Makes the followers give up, and waits until they have.
    pub(crate) fn stop(&mut self) {
        self.watermark.stop();
        // Whatever they have found out by now, nobody wants to know.
        let _ = (join(self.served.take()), join(self.content.take()));
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts threads, and tells when one fails.
struct Watch {
    watermark: Arc<Watermark>,
    trouble: Arc<Notify>,
}

impl Watch {
    fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, FollowError> + Send + 'static,
    ) -> Result<Thread<T>, FetchError> {
        let (watermark, trouble) = (Arc::clone(&self.watermark), Arc::clone(&self.trouble));
        let run = move || {
            let result = work();
            if matches!(result, Err(FollowError::Failed(_))) {
                watermark.stop();
                trouble.notify_one();
            }
            result
        };
        std::thread::Builder::new().name(format!("fetch-{name}")).spawn(run).map_err(FetchError::Host)
    }
}

fn join<T>(thread: Option<Thread<T>>) -> Result<Option<T>, FollowError> {
    let Some(thread) = thread else { return Ok(None) };
    match thread.join() {
        Ok(result) => result.map(Some),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn hash(mut tail: Tail, path: PathBuf, algorithm: Algorithm) -> Result<Checksum, FollowError> {
    let (mut hasher, mut buffer) = (Hasher::new(algorithm), vec![0; CHUNK]);
    loop {
        match tail.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) => return Err(of_read(error, path, None)),
        }
    }
}

fn extract_to(
    tail: Tail,
    data: PathBuf,
    compression: FileCompression,
    disk: &Path,
    task: &Task,
) -> Result<Digest, FollowError> {
    let failed = |action, error| FollowError::Failed(FetchError::io(action, disk)(error));
    let file = File::create(disk).map_err(|error| failed("create", error))?;
    let digest = extract::extract(tail, compression, &file, task.max_size).map_err(|error| match error {
        ExtractError::Read(error) => of_read(error, data, Some((compression, task))),
        ExtractError::Write(error) => failed("write", error),
        ExtractError::TooLarge => {
            FollowError::Failed(FetchError::TooLarge { what: task.what.clone(), limit: task.max_size })
        }
    })?;
    file.sync_all().map_err(|error| failed("sync", error))?;
    Ok(digest)
}

/// An error of the system comes from reading the file; any other comes from the decoder, if there is one.
fn of_read(error: io::Error, path: PathBuf, decoder: Option<(FileCompression, &Task)>) -> FollowError {
    if error.get_ref().is_some_and(|inner| inner.is::<Stopped>()) {
        return FollowError::Stopped;
    }
    FollowError::Failed(match decoder {
        Some((compression, task)) if error.raw_os_error().is_none() => {
            FetchError::Damaged { what: task.what.clone(), compression, problem: error.to_string() }
        }
        _ => FetchError::io("read", path)(error),
    })
}

/// A SHA-256 checksum as a digest.
fn sha256(checksum: &Checksum) -> Digest {
    Digest::from_bytes(checksum.bytes().try_into().expect("a SHA-256 has 32 bytes"))
}
