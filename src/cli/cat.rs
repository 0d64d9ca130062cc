//! `tib cat`

use std::io::Write;

use crate::error::{Exit, Result};

use super::args::CatArgs;
use super::stdout::{Stdout, content};
use super::{Context, for_each, in_image};

pub(super) fn run(args: &CatArgs, context: &Context) -> Result<Exit> {
    context.with_tree(&args.image, |tree| {
        let mut out = content(args.raw);
        let exit = for_each(context, &args.paths, |path| {
            tree.read_to(&in_image(path), &mut out)?;
            Ok(())
        })?;
        out.flush().map_err(Stdout)?;
        Ok(exit)
    })
}
