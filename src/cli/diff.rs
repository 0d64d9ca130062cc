//! `tib diff`

use std::io::{BufWriter, Write};

use crate::error::{Exit, Result};
use crate::verify::diff::{self, Side, Style};

use super::args::DiffArgs;
use super::cat::Patient;
use super::{Context, in_image, put, put_json};

pub(super) fn run(args: &DiffArgs, context: &Context) -> Result<Exit> {
    let paths: Vec<Vec<u8>> = args.paths.iter().map(|path| in_image(path)).collect();
    context.with_tree(&args.old, |old| {
        let mut old = Side { name: args.old.display().to_string(), tree: old };
        context.with_tree(&args.new, |new| {
            let mut new = Side { name: args.new.display().to_string(), tree: new };
            let found = diff::diff(&mut old, &mut new, &paths)?;
            context.printer.finish();
            if args.json {
                put_json(&found)?;
            } else if args.patch {
                let mut out = Patient(BufWriter::new(std::io::stdout().lock()));
                diff::patches(&found, &mut old, &mut new, &mut out)?;
                out.flush().map_err(super::Stdout)?;
            } else {
                let style = Style { all_files: args.files, color: context.settings.color };
                put(found.to_text(style).as_bytes())?;
            }
            Ok(found.exit(args.exit_code))
        })
    })
}
