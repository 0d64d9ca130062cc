//! Turns a virtual disk into the file a person uploads: one flat, compressed qcow2.
//!
//! Workers read and compress on their own, a few megabytes ahead of the writer, which puts what they bring in
//! guest order. So the file's bytes depend on the disk and the options, never on the number of threads.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use fs_err::File;
use serde::Serialize;

use super::codec::Compress;
use super::header::Compression;
use super::writer::{CLUSTER, Writer};
use super::{BlockRead, DiskError};
use crate::cancel::Cancel;
use crate::digest::{Digest, Hasher};

/// Clusters in a piece of work.
const BATCH: u64 = 32;
/// Pieces of work, of 2 MiB each, that may be under way or wait for the writer.
const WINDOW: u64 = 12;
static ZEROS: [u8; CLUSTER as usize] = [0; CLUSTER as usize];

/// Opens the disk to export. Called once per thread, so that all of them read at once.
pub type Source<'a> = dyn Fn() -> Result<Box<dyn BlockRead>, DiskError> + Sync + 'a;

/// How to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportOptions {
    /// How clusters are compressed.
    pub compression: Compression,
    /// Level of the compression; 1 is quick for both kinds.
    pub level: i32,
    /// Threads that read and compress.
    pub threads: usize,
}

impl Default for ExportOptions {
    /// zstd, quickly, on all processors.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { compression: Compression::Zstd, level: 1, threads }
    }
}

/// What an export made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExportStats {
    /// Length of the file in bytes.
    pub file_size: u64,
    /// Size of the virtual disk in bytes.
    pub virtual_size: u64,
    /// Clusters (of 64 KiB) that hold data, compressed or not.
    pub data_clusters: u64,
    /// Those that did not become smaller and are stored as they are.
    pub plain_clusters: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// Writes the disk that `source` opens into `out`, which is emptied first and must be open for reading and
/// writing. `progress` is told how many bytes of the virtual disk are done, and their total, from the calling
/// thread.
///
/// The file has no header until all of it is written. It is not synced.
///
/// # Errors
/// What is wrong with the source or the file; [`DiskError::Cancelled`].
pub fn export(
    source: &Source<'_>,
    out: &File,
    options: &ExportOptions,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &Cancel,
) -> Result<ExportStats, DiskError> {
    cancel.check()?;
    out.set_len(0).map_err(|source| DiskError::Io {
        action: "empty",
        path: out.path().to_owned(),
        source,
    })?;
    let virtual_size = source()?.size();
    let mut writer = Writer::new(out, virtual_size, options.compression);
    let mut counts = (0, 0);
    let queue = Queue::new(virtual_size.div_ceil(BATCH * CLUSTER));
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || work(source, options, queue, &sender));
        }
        drop(sender);
        let result = collect(&queue, &results, cancel, |number, batch| {
            counts.0 += batch.add(number, &mut writer)?;
            counts.1 += batch.plain;
            progress(((number + 1) * BATCH * CLUSTER).min(virtual_size), virtual_size);
            Ok(())
        });
        queue.stop();
        result
    })?;
    let file_size = writer.finish()?;
    let sha256 = digest(out, file_size, cancel)?;
    Ok(ExportStats { file_size, virtual_size, data_clusters: counts.0, plain_clusters: counts.1, sha256 })
}

/// The clusters of a piece of work, ready to be written.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Cluster within the batch, length in `bytes`, whether it is compressed.
    clusters: Vec<(u64, usize, bool)>,
    plain: u64,
}

impl Batch {
    fn add(&self, number: u64, writer: &mut Writer<'_>) -> Result<u64, DiskError> {
        let mut rest = self.bytes.as_slice();
        for &(cluster, length, compressed) in &self.clusters {
            let (bytes, behind) = rest.split_at(length);
            rest = behind;
            let guest = (number * BATCH + cluster) * CLUSTER;
            if compressed { writer.compressed(guest, bytes)? } else { writer.plain(guest, bytes)? }
        }
        Ok(self.clusters.len() as u64)
    }
}

type Results = mpsc::Sender<(u64, Result<Batch, DiskError>)>;

/// One worker: opens the disk, then takes work until there is none.
fn work(source: &Source<'_>, options: &ExportOptions, queue: &Queue, results: &Results) {
    let tools = source().and_then(|disk| Ok((disk, Compress::new(options.compression, options.level)?)));
    let (mut disk, mut compress) = match tools {
        Ok(tools) => tools,
        Err(error) => {
            // Nobody listens any more only if another worker failed first.
            let _ = results.send((0, Err(error)));
            return;
        }
    };
    let mut buffer = vec![0; (BATCH * CLUSTER) as usize];
    let mut packed = Vec::new();
    while let Some(number) = queue.take() {
        let result = pack(disk.as_mut(), number, &mut compress, &mut buffer, &mut packed);
        let failed = result.is_err();
        if results.send((number, result)).is_err() || failed {
            return;
        }
    }
}

fn pack(
    disk: &mut dyn BlockRead,
    number: u64,
    compress: &mut Compress,
    buffer: &mut [u8],
    packed: &mut Vec<u8>,
) -> Result<Batch, DiskError> {
    let start = number * BATCH * CLUSTER;
    let length = (disk.size() - start).min(BATCH * CLUSTER) as usize;
    let mut batch = Batch::default();
    if !read(disk, start, &mut buffer[..length])? {
        return Ok(batch);
    }
    // The last cluster of the disk is stored whole.
    let whole = length.next_multiple_of(CLUSTER as usize);
    buffer[length..whole].fill(0);
    for (cluster, content) in (0..).zip(buffer[..whole].chunks_exact(CLUSTER as usize)) {
        if content == ZEROS {
            continue;
        }
        let compressed = compress.pack(content, packed)?;
        let bytes = if compressed { packed.as_slice() } else { content };
        batch.bytes.extend_from_slice(bytes);
        batch.clusters.push((cluster, bytes.len(), compressed));
        batch.plain += u64::from(!compressed);
    }
    Ok(batch)
}

/// Fills `buffer` from `start`, reading only what is not known to be zero; `false` when all of it is.
fn read(disk: &mut dyn BlockRead, start: u64, buffer: &mut [u8]) -> Result<bool, DiskError> {
    let mut at = 0;
    let mut any = false;
    while at < buffer.len() {
        let extent = disk.extent(start + at as u64)?;
        let rest = buffer.len() - at;
        let length = usize::try_from(extent.length).unwrap_or(rest).clamp(1, rest);
        let piece = &mut buffer[at..at + length];
        if extent.zero {
            piece.fill(0);
        } else {
            any = true;
            disk.read_exact_at(piece, start + at as u64)?;
        }
        at += length;
    }
    Ok(any)
}

/// Hands the results to `take` in order.
fn collect(
    queue: &Queue,
    results: &mpsc::Receiver<(u64, Result<Batch, DiskError>)>,
    cancel: &Cancel,
    mut take: impl FnMut(u64, &Batch) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    while next < queue.total {
        cancel.check()?;
        let (number, batch) = results
            .recv()
            .map_err(|_| DiskError::Damaged("a thread of the export ended early".to_owned()))?;
        early.insert(number, batch?);
        while let Some(batch) = early.remove(&next) {
            take(next, &batch)?;
            next += 1;
            queue.written(next);
        }
    }
    Ok(())
}

/// Numbers the work, and keeps workers from running too far ahead of the writer.
struct Queue {
    total: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    written: u64,
    stopped: bool,
}

impl Queue {
    fn new(total: u64) -> Self {
        Self { total, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<u64> {
        let ahead = |state: &mut State| {
            !state.stopped && state.next < self.total && state.next >= state.written + WINDOW
        };
        let mut state = self.changed.wait_while(self.lock(), ahead).unwrap_or_else(PoisonError::into_inner);
        if state.stopped || state.next >= self.total {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    fn written(&self, count: u64) {
        self.lock().written = count;
        self.changed.notify_all();
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

fn digest(file: &File, length: u64, cancel: &Cancel) -> Result<Digest, DiskError> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < length {
        cancel.check()?;
        let piece = (length - at).min(buffer.len() as u64) as usize;
        file.file().read_exact_at(&mut buffer[..piece], at).map_err(|source| DiskError::Io {
            action: "read back",
            path: file.path().to_owned(),
            source,
        })?;
        hasher.update(&buffer[..piece]);
        at += piece as u64;
    }
    Ok(hasher.finish())
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
