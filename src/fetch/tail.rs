//! Reading a file from the start while it is still being written.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cancel::Cancel;

/// How much of the file may be read; shared by the one who writes and those who follow.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    level: Mutex<Level>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Level {
    /// Bytes from the start that are there.
    ready: u64,
    /// Whether these are all.
    complete: bool,
    /// Whether nobody wants to know any more.
    stopped: bool,
}

impl Watermark {
    /// The first `ready` bytes may be read.
    pub(crate) fn advance(&self, ready: u64) {
        self.change(|level| level.ready = ready);
    }

    /// What may be read is the whole file.
    pub(crate) fn complete(&self) {
        self.change(|level| level.complete = true);
    }

    /// Whoever reads is to give up.
    pub(crate) fn stop(&self) {
        self.change(|level| level.stopped = true);
    }

    fn change(&self, change: impl FnOnce(&mut Level)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Level> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader was told to give up, by [`Watermark::stop`] or by the user.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub(crate) struct Stopped;

/// A reader that waits for what is not there yet.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    position: u64,
    watermark: Arc<Watermark>,
    cancel: Cancel,
}

impl Tail {
    pub(crate) fn new(file: File, watermark: Arc<Watermark>, cancel: Cancel) -> Self {
        Self { file, position: 0, watermark, cancel }
    }
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut level = self.watermark.lock();
        let ready = loop {
            if level.stopped || self.cancel.is_raised() {
                return Err(io::Error::other(Stopped));
            }
            if level.ready > self.position || level.complete {
                break level.ready;
            }
            level = self.watermark.changed.wait(level).unwrap_or_else(PoisonError::into_inner);
        };
        drop(level);
        let left = usize::try_from(ready.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        self.file.read_exact_at(&mut buffer[..length], self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_what_is_there_and_waits_for_the_rest() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"one two and junk", 0).unwrap();
        let watermark = Arc::new(Watermark::default());
        watermark.advance(4);
        let mut tail = Tail::new(file, Arc::clone(&watermark), Cancel::new());
        let mut buffer = [0; 32];
        assert_eq!(tail.read(&mut buffer).unwrap(), 4);
        let reader = std::thread::spawn(move || {
            let mut rest = Vec::new();
            tail.read_to_end(&mut rest).map(|_| rest)
        });
        watermark.advance(6);
        watermark.advance(7);
        watermark.complete();
        assert_eq!(reader.join().unwrap().unwrap(), b"two");
    }

    #[test]
    fn a_waiting_reader_can_be_stopped() {
        let watermark = Arc::new(Watermark::default());
        let mut tail = Tail::new(tempfile::tempfile().unwrap(), Arc::clone(&watermark), Cancel::new());
        let reader = std::thread::spawn(move || tail.read(&mut [0; 1]));
        watermark.stop();
        let error = reader.join().unwrap().unwrap_err();
        assert!(error.get_ref().is_some_and(|inner| inner.is::<Stopped>()), "{error}");
    }
}
