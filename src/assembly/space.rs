//! Watches the cache's file system while an appliance runs.
//!
//! qemu stops a machine whose disk cannot grow and waits for somebody to make room, so that libguestfs would wait
//! for ever, silently. It is better to end the build before that happens.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::control::Control;
use crate::host::space;
use crate::size::Size;

use super::BuildError;

/// The appliance can write this much between two looks.
const RESERVE: u64 = 96 << 20;
const INTERVAL: Duration = Duration::from_millis(500);

/// A watch that lasts as long as the value lives.
#[derive(Debug)]
pub(crate) struct SpaceWatch {
    directory: PathBuf,
    control: Control,
    full: Arc<AtomicBool>,
    /// Dropped with the value, which ends the thread.
    _alive: mpsc::Sender<()>,
}

impl SpaceWatch {
    /// Begins to watch. Work that uses [`control`](Self::control) ends when space runs out or the user interrupts.
    pub(crate) fn start(directory: &Path, outer: &Control) -> Self {
        let control = outer.child();
        let full = Arc::new(AtomicBool::new(false));
        let (alive, ended) = mpsc::channel();
        let (watched, flag, raise) = (directory.to_owned(), Arc::clone(&full), control.cancel.clone());
        std::thread::spawn(move || {
            while ended.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                if space::free(&watched).is_ok_and(|free| free < RESERVE) {
                    flag.store(true, Ordering::SeqCst);
                    raise.raise();
                    return;
                }
            }
        });
        Self { directory: directory.to_owned(), control, full, _alive: alive }
    }

    /// For the work that is watched.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The error to report instead of whatever the work failed with, if space has run out.
    pub(crate) fn verdict(&self) -> Option<BuildError> {
        let free = Size(space::free(&self.directory).unwrap_or_default());
        self.full
            .load(Ordering::SeqCst)
            .then(|| BuildError::CacheFull { directory: self.directory.clone(), free })
    }
}

/// Refuses to begin when less than `needed` bytes are free.
pub(crate) fn require(directory: &Path, needed: u64) -> Result<(), BuildError> {
    match space::free(directory) {
        Ok(free) if free < needed.saturating_add(RESERVE) => {
            Err(BuildError::CacheFull { directory: directory.to_owned(), free: Size(free) })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_heard_through_the_watch() {
        let outer = Control::none();
        let watch = SpaceWatch::start(&std::env::temp_dir(), &outer);
        assert!(!watch.control().cancel.is_raised());
        outer.cancel.raise();
        assert!(watch.control().cancel.is_raised());
        assert!(watch.verdict().is_none(), "it was not for want of space");
    }

    #[test]
    fn nobody_has_that_much() {
        let error = require(&std::env::temp_dir(), u64::MAX / 2).unwrap_err();
        assert!(matches!(error, BuildError::CacheFull { .. }));
        assert!(require(&std::env::temp_dir(), 0).is_ok());
    }
}
