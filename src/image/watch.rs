//! A tree that can be interrupted, and that tells how much of it was read.

use std::io::Write;
use std::ops::DerefMut;
use std::time::{Duration, Instant};

use crate::cancel::Cancelled;
use crate::control::Control;
use crate::disk::{DiskError, Root, Stat, Tree, Xattr};

/// Work shorter than this needs no progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two messages.
const PACE: Duration = Duration::from_millis(200);

/// Passes everything on to another tree.
pub(super) struct Watched<'a, T> {
    tree: T,
    progress: Progress<'a>,
}

/// Tells how far reading has come, and when to stop.
struct Progress<'a> {
    what: String,
    control: &'a Control,
    next: Instant,
    read: u64,
}

impl Progress<'_> {
    fn tell(&mut self, bytes: usize) -> Result<(), Cancelled> {
        self.control.cancel.check()?;
        self.read += bytes as u64;
        let now = Instant::now();
        if now >= self.next {
            self.next = now + PACE;
            self.control.events.progress(&self.what, self.read, None);
        }
        Ok(())
    }
}

impl<'a, T> Watched<'a, T> {
    pub(super) fn new(tree: T, what: String, control: &'a Control) -> Self {
        Self { tree, progress: Progress { what, control, next: Instant::now() + PATIENCE, read: 0 } }
    }
}

/// Counts what goes through, piece by piece, so that a large file can be interrupted too.
struct Counting<'a, 'b> {
    sink: &'a mut dyn Write,
    progress: &'a mut Progress<'b>,
}

impl Write for Counting<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.progress.tell(written).map_err(std::io::Error::other)?;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}

impl<T: DerefMut<Target: Tree> + Send> Tree for Watched<'_, T> {
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
        self.progress.tell(0)?;
        self.tree.read_dir(path)
    }

    fn lstat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        self.tree.lstat(path)
    }

    fn stat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        self.tree.stat(path)
    }

    fn read_link(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        self.tree.read_link(path)
    }

    fn canonicalize(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        self.tree.canonicalize(path)
    }

    fn xattrs(&mut self, path: &[u8]) -> Result<Vec<Xattr>, DiskError> {
        self.tree.xattrs(path)
    }

    fn keeps_xattrs(&mut self, path: &[u8]) -> Result<bool, DiskError> {
        self.tree.keeps_xattrs(path)
    }

    fn read_range(
        &mut self,
        path: &[u8],
        offset: u64,
        length: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, DiskError> {
        self.progress.tell(0)?;
        let mut sink = Counting { sink, progress: &mut self.progress };
        let result = self.tree.read_range(path, offset, length, &mut sink);
        // The sink refuses to go on once the user interrupts; that is not the image's fault.
        self.progress.tell(0)?;
        result
    }

    fn fork(&self) -> Option<Box<dyn Tree + '_>> {
        let Progress { what, control, .. } = &self.progress;
        Some(Box::new(Watched::new(self.tree.fork()?, what.clone(), control)))
    }

    fn root(&mut self) -> Result<Root, DiskError> {
        self.tree.root()
    }

    fn explain(&self) -> String {
        self.tree.explain()
    }

    fn missed(&self) -> &[String] {
        self.tree.missed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn an_interruption_ends_reading_and_walking() {
        let control = Control::none();
        let mut inner = MemTree::new().file("/f", "content");
        let mut tree = Watched::new(&mut inner, "x".to_owned(), &control);
        assert_eq!(tree.read(b"/f", 100).unwrap(), b"content");
        assert_eq!(tree.progress.read, 7);
        control.cancel.raise();
        assert!(matches!(tree.read(b"/f", 100), Err(DiskError::Cancelled(_))));
        assert!(matches!(tree.read_dir(b"/"), Err(DiskError::Cancelled(_))));
    }
}
