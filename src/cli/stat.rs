//! `tib stat`

use std::io::Write;

use crate::error::{Exit, Result};
use crate::look::ls;
use crate::shown::Text;

use super::args::StatArgs;
use super::stdout::{Stdout, lines, put};
use super::{Context, for_each, in_image};

pub(super) fn run(args: &StatArgs, context: &Context) -> Result<Exit> {
    context.with_tree(&args.image, |tree| {
        let mut entries = Vec::new();
        let exit = for_each(context, &args.paths, |path| {
            entries.push(ls::look_at(tree, &in_image(path), args.dereference)?);
            Ok(())
        })?;
        context.printer.finish();
        if args.json {
            let mut out = lines();
            ls::json(&entries, &mut out)?;
            out.flush().map_err(Stdout)?;
            return Ok(exit);
        }
        let mut text = Text::default();
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                text.blank();
            }
            text.append(&ls::describe(tree, entry));
        }
        put(&text)?;
        Ok(exit)
    })
}
