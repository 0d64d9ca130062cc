//! `tib prove`

use crate::cache::Cache;
use crate::error::{Exit, Result};
use crate::prove::{self, ProveRequest, Proved};
use crate::shown::Text;

use super::args::ProveArgs;
use super::{Context, put, put_json};

pub(super) fn run(args: &ProveArgs, context: &Context) -> Result<Exit> {
    let request = ProveRequest {
        image: args.image.clone(),
        datastore: args.datastore.clone(),
        keep: args.keep,
        metadata: args.metadata_service,
        timeout: args.timeout,
        trove: args.trove.clone(),
        workdir: args.workdir.clone(),
    };
    let cache = Cache::open(context.settings.cache_dir.clone())?;
    let proved = prove::prove(&request, &cache, &context.control)?;
    context.printer.finish();
    if args.json {
        put_json(&proved.report)?;
    } else {
        put(&text(&proved, args))?;
    }
    Ok(if proved.is_proved() { Exit::Done } else { Exit::Checks })
}

fn text(proved: &Proved, args: &ProveArgs) -> Text {
    let (report, mut text) = (&proved.report, Text::default());
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let verdict = if proved.is_proved() { "proved" } else { "NOT proved" };
    let seconds = report["seconds"].as_f64().unwrap_or_default();
    text.line(format!("{}: {verdict} with {} in {seconds:.0} s", args.image.display(), args.datastore));
    let failure = &report["failure"];
    if failure.is_object() {
        text.line(format!("  found: {}", word(&failure["what"])));
        text.line(format!("  hint: {}", word(&failure["hint"])));
        for (name, lines) in failure["logs"].as_object().into_iter().flatten() {
            text.line(format!("  last lines of {name}:"));
            for line in lines.as_array().into_iter().flatten() {
                text.line(format!("    {}", word(line)));
            }
        }
    }
    text.line(format!("  logs: {}", word(&report["logs"])));
    text
}
