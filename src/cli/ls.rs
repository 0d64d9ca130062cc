//! `tib ls`

use crate::error::{Exit, Result};
use crate::verify::ls::{self, ListOptions};

use super::args::LsArgs;
use super::{Context, in_image, put, put_json};

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
        if args.json {
            return put_json(&ls::json(&entries));
        }
        let mut out = Vec::new();
        if args.csv {
            ls::csv(&entries, &options, &mut out)?;
        } else {
            ls::text(&entries, &options, &mut out)?;
        }
        put(&out)
    })?;
    Ok(Exit::Done)
}
