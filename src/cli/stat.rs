//! `tib stat`

use crate::error::{Exit, Result};
use crate::verify::ls;

use super::args::StatArgs;
use super::{Context, for_each, in_image, put};

pub(super) fn run(args: &StatArgs, context: &Context) -> Result<Exit> {
    context.with_tree(&args.image, |tree| {
        let mut entries = Vec::new();
        let exit = for_each(context, &args.paths, |path| {
            entries.push(ls::look_at(tree, &in_image(path), args.dereference)?);
            Ok(())
        })?;
        context.printer.finish();
        if args.json {
            let mut out = Vec::new();
            ls::json(&entries, &mut out)?;
            put(&out)?;
            return Ok(exit);
        }
        let texts: Vec<String> = entries.iter().map(|entry| ls::describe(tree, entry)).collect();
        put(texts.join("\n").as_bytes())?;
        Ok(exit)
    })
}
