//! `tib ls`

use crate::build::with_tree;
use crate::disk::Policy;
use crate::error::{Exit, Result};
use crate::source::Cache;
use crate::verify::ls::{self, ListOptions};

use super::args::LsArgs;
use super::{Context, put, put_json};

pub(super) fn run(args: &LsArgs, context: &Context) -> Result<Exit> {
    let cache = Cache::open(context.settings.cache_dir.clone())?;
    let LsArgs { image, path, long, recursive, human, uids, times, checksum, json, csv } = args;
    let options = ListOptions {
        long: *long,
        recursive: *recursive,
        human: *human,
        uids: *uids,
        times: *times,
        checksums: *checksum,
    };
    let policy = Policy::within(cache.root());
    with_tree(image, &policy, &context.events, &context.cancel, |tree| {
        let entries = ls::list(tree, path.as_bytes(), &options)?;
        context.printer.finish();
        if *json {
            return put_json(&ls::json(&entries));
        }
        let mut out = Vec::new();
        if *csv {
            ls::csv(&entries, &options, &mut out)?;
        } else {
            ls::text(&entries, &options, &mut out)?;
        }
        put(&out)
    })?;
    Ok(Exit::Done)
}
