//! `tib stat`

use crate::error::{Exit, Result};
use crate::verify::ls;

use super::args::StatArgs;
use super::{Context, in_image, put};

pub(super) fn run(args: &StatArgs, context: &Context) -> Result<Exit> {
    context.with_tree(&args.image, |tree| {
        let mut entries = Vec::new();
        for path in &args.paths {
            entries.push(ls::look_at(tree, &in_image(path), args.dereference)?);
        }
        context.printer.finish();
        if args.json {
            let mut out = Vec::new();
            ls::json(&entries, &mut out)?;
            return put(&out);
        }
        let texts: Vec<String> = entries.iter().map(|entry| ls::describe(tree, entry)).collect();
        put(texts.join("\n").as_bytes())
    })?;
    Ok(Exit::Done)
}
