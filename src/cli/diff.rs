//! `tib diff`

use std::io::Write;

use crate::error::{Exit, Result};
use crate::look::diff;
use crate::look::diff::{Diff, Side, Style};

use super::args::DiffArgs;
use super::stdout::{Stdout, content, lines, put, put_json};
use super::{Context, in_image};

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
                patches(args.raw, &found, &mut old, &mut new, context)?;
            } else {
                let style = Style { all_files: args.files, color: context.settings.colors.stdout };
                put(&found.to_text(style))?;
            }
            Ok(found.exit(args.exit_code))
        })
    })
}

/// What changed in text files. A patch that was escaped is for people: to be applied, it must be raw.
fn patches(raw: bool, found: &Diff, old: &mut Side<'_>, new: &mut Side<'_>, context: &Context) -> Result<()> {
    if raw {
        let mut out = content(true);
        diff::patches(found, old, new, &mut out)?;
        out.flush().map_err(Stdout)?;
        return Ok(());
    }
    let mut out = lines();
    diff::patches(found, old, new, &mut out)?;
    out.flush().map_err(Stdout)?;
    if out.has_altered() {
        context
            .control
            .events
            .warning("characters were escaped that are not to be seen: for `patch`, give `--raw` too");
    }
    Ok(())
}
