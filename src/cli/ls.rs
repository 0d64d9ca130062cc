//! `tib ls`

use std::io::Write;

use crate::error::{Exit, Result};
use crate::look::ls;
use crate::look::ls::ListOptions;

use super::args::LsArgs;
use super::stdout::{Stdout, lines};
use super::{Context, in_image};

pub(super) fn run(args: &LsArgs, context: &Context) -> Result<Exit> {
    let options = options(args);
    context.with_tree(&args.image, |tree| {
        let entries = ls::list(tree, &in_image(&args.path), &options)?;
        context.printer.finish();
        let mut out = lines();
        if args.json {
            ls::json(&entries, &mut out)?;
        } else if args.csv {
            ls::csv(&entries, &options, &mut out)?;
        } else {
            ls::text(&entries, &options, &mut out)?;
        }
        Ok(out.flush().map_err(Stdout)?)
    })?;
    Ok(Exit::Done)
}

fn options(args: &LsArgs) -> ListOptions {
    // Columns have a place in long listings only. The other forms always have what is asked for.
    let columns = args.uids || args.times || args.extra_stats || args.checksum;
    ListOptions {
        long: args.long || columns && !args.json && !args.csv,
        recursive: args.recursive,
        human: args.human,
        uids: args.uids,
        times: args.times,
        extra: args.extra_stats,
        checksums: args.checksum,
        xattrs: args.xattrs,
        labels: args.context,
        all: args.all,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(disable_help_flag = true)]
    struct Line {
        #[command(flatten)]
        args: LsArgs,
    }

    #[test]
    fn columns_make_a_listing_long() {
        for (line, long) in [
            ("", false),
            ("-R", false),
            ("-h", false),
            ("-l", true),
            ("--uids", true),
            ("-R --times", true),
            ("--extra-stats", true),
            ("-R --checksum", true),
            // The listed directory itself is no part of these without -l.
            ("-R --checksum --json", false),
            ("-R --times --csv", false),
        ] {
            let words = ["ls"].into_iter().chain(line.split_whitespace()).chain(["image"]);
            let args = Line::try_parse_from(words).unwrap().args;
            assert_eq!(options(&args).long, long, "{line}");
        }
    }
}
