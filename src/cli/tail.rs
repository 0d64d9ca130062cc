//! `tib tail`

use std::io::Write;

use crate::error::{Exit, Result};
use crate::look::tail;
use crate::shown::show;

use super::args::TailArgs;
use super::stdout::{Stdout, content};
use super::{Context, for_each, in_image};

pub(super) fn run(args: &TailArgs, context: &Context) -> Result<Exit> {
    let end = args.bytes.unwrap_or(args.lines);
    // The words of `tail`: -v is always, -q is never.
    let headed = match context.settings {
        _ if context.settings.verbose => true,
        _ if context.settings.quiet => false,
        _ => args.paths.len() > 1,
    };
    context.with_tree(&args.image, |tree| {
        let mut out = content(args.raw);
        let mut gap = "";
        let exit = for_each(context, &args.paths, |path| {
            // Said before there is a heading for it.
            tree.stat(&in_image(path))?;
            if headed {
                writeln!(out, "{gap}==> {} <==", show(path.as_encoded_bytes())).map_err(Stdout)?;
                gap = "\n";
            }
            tail(tree, &in_image(path), end, &mut out)?;
            Ok(())
        })?;
        out.flush().map_err(Stdout)?;
        Ok(exit)
    })
}
