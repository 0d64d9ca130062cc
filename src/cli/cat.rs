//! `tib cat`

use std::io::Write;

use crate::error::{Exit, Result};

use super::args::CatArgs;
use super::{Context, for_each, in_image};

/// Takes a broken pipe for the end of the reader's interest.
pub(super) struct Patient<W: Write>(pub(super) W);

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
    context.with_tree(&args.image, |tree| {
        let mut out = Patient(std::io::BufWriter::new(std::io::stdout().lock()));
        let exit = for_each(context, &args.paths, |path| {
            tree.read_to(&in_image(path), &mut out)?;
            Ok(())
        })?;
        out.flush().map_err(super::Stdout)?;
        Ok(exit)
    })
}
