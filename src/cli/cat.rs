//! `tib cat`

use std::io::Write;

use crate::build::with_tree;
use crate::disk::Policy;
use crate::error::{Exit, Result};
use crate::source::Cache;

use super::Context;
use super::args::CatArgs;

/// Takes a broken pipe for the end of the reader's interest.
struct Patient<W: Write>(W);

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

pub(super) fn run(args: &CatArgs, context: &Context) -> Result<Exit> {
    let cache = Cache::open(context.settings.cache_dir.clone())?;
    let policy = Policy::within(cache.root());
    with_tree(&args.image, &policy, &context.events, &context.cancel, |tree| {
        let mut out = Patient(std::io::BufWriter::new(std::io::stdout().lock()));
        for path in &args.paths {
            tree.read_to(path.as_bytes(), &mut out)?;
        }
        out.flush().map_err(super::Stdout)?;
        Ok(())
    })?;
    Ok(Exit::Done)
}
