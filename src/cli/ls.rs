//! `tib ls`

use crate::error::{Exit, Result};
use crate::look::ls::{self, Form, ListOptions, Listing};

use super::args::LsArgs;
use super::stdout::lines;
use super::{Context, in_image};

pub(super) fn run(args: &LsArgs, context: &Context) -> Result<Exit> {
    let options = options(args);
    context.with_tree(&args.image, |tree| {
        context.printer.finish();
        let form = match (args.json, args.csv) {
            (true, _) => Form::Json,
            (_, true) => Form::Csv,
            _ => Form::Text,
        };
        let mut listing = Listing::new(form, &options, lines());
        let listed = ls::list(tree, &in_image(&args.path), &options, &mut |entry| listing.add(entry));
        Ok(listed.and_then(|()| listing.finish())?)
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
