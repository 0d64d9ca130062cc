//! `tib stat`

use crate::error::{Exit, Result};
use crate::look::ls::{self, Form, ListOptions, Listing};
use crate::shown::Text;

use super::args::StatArgs;
use super::stdout::{lines, put};
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
            let mut listing = Listing::new(Form::Json, &ListOptions::default(), lines());
            for entry in entries {
                listing.add(entry)?;
            }
            listing.finish()?;
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
