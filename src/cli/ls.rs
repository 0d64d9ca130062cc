//! `tib ls`

use std::io::{BufWriter, Write};

use crate::error::{Exit, Result};
use crate::verify::ls::{self, ListOptions};

use super::args::LsArgs;
use super::cat::Patient;
use super::{Context, in_image};

pub(super) fn run(args: &LsArgs, context: &Context) -> Result<Exit> {
    let options = ListOptions {
        long: args.long,
        recursive: args.recursive,
        human: args.human,
        uids: args.uids,
        times: args.times,
        extra: args.extra_stats,
        checksums: args.checksum,
        xattrs: args.xattrs,
        all: args.all,
    };
    context.with_tree(&args.image, |tree| {
        let entries = ls::list(tree, &in_image(&args.path), &options)?;
        context.printer.finish();
        let mut out = Patient(BufWriter::new(std::io::stdout().lock()));
        if args.json {
            ls::json(&entries, &mut out)?;
        } else if args.csv {
            ls::csv(&entries, &options, &mut out)?;
        } else {
            ls::text(&entries, &options, &mut out)?;
        }
        Ok(out.flush().map_err(super::Stdout)?)
    })?;
    Ok(Exit::Done)
}
