//! `tib base check-catalogue`

use serde::Serialize;

use crate::base::catalogue::{CatalogueEntry, ImageSource, Selection};
use crate::error::{Exit, Result};
use crate::fetch::{Fetcher, Options};
use crate::shown::Text;

use super::super::{Context, put, put_json};
use super::open_catalogue;

#[derive(Serialize)]
struct EntryProblem {
    id: String,
    file: String,
    message: String,
}

#[derive(Serialize)]
struct Outcome {
    entries: usize,
    asked: usize,
    problems: Vec<EntryProblem>,
}

pub(super) fn check(context: &Context, ids: &[String], online: bool, json: bool) -> Result<Exit> {
    let catalogue = open_catalogue(context)?;
    let names = ids.iter().map(|id| Ok(catalogue.find(id)?.id())).collect::<Result<Vec<_>>>()?;
    let wanted = |id: &str| names.is_empty() || names.contains(&id);
    let entries: Vec<_> = catalogue.entries().iter().filter(|entry| wanted(&entry.id)).collect();
    let problems = catalogue
        .check()
        .into_iter()
        .filter(|problem| wanted(&problem.id))
        .map(|problem| EntryProblem { id: problem.id, file: problem.file, message: problem.message });
    let mut outcome = Outcome { entries: entries.len(), asked: 0, problems: problems.collect() };
    if online {
        context
            .control
            .events
            .stage("servers", "asking for every image", || ask(&entries, context, &mut outcome))?;
        context.printer.finish();
    }
    let good = outcome.problems.is_empty();
    if json {
        put_json(&outcome)?;
    } else {
        let mut text = Text::default();
        for EntryProblem { id, file, message } in &outcome.problems {
            text.line(format!("{file}: {id}: {message}"));
        }
        let asked = if online { format!(", {} images asked for", outcome.asked) } else { String::new() };
        text.line(format!("{} entries{asked}, {} problems", outcome.entries, outcome.problems.len()));
        put(&text)?;
    }
    Ok(if good { Exit::Done } else { Exit::Recipe })
}

/// One HEAD request for each image: the newest build, and the newest pinned one.
fn ask(entries: &[&CatalogueEntry], context: &Context, outcome: &mut Outcome) -> Result<()> {
    let fetcher = Fetcher::new(Options::default(), &context.control)?;
    for entry in entries.iter().filter(|entry| entry.local.is_none()) {
        for image in images(entry) {
            context.control.cancel.check()?;
            outcome.asked += 1;
            context.control.events.output("head", format!("{} {}", entry.id(), image.file));
            if let Some(message) = absence(&image, &fetcher) {
                outcome.problems.push(EntryProblem {
                    id: entry.id.clone(),
                    file: entry.origin.clone(),
                    message,
                });
            }
        }
    }
    context.control.cancel.check()?;
    Ok(())
}

fn images(entry: &CatalogueEntry) -> Vec<ImageSource> {
    let mut images = Vec::new();
    for arch in entry.arch.keys() {
        let pin = entry.pins(*arch).last().map(|pin| Selection::Pinned(pin.version.clone()));
        let newest = entry.newest.as_ref().map(|_| Selection::Newest);
        images.extend(
            newest.into_iter().chain(pin).filter_map(|selection| entry.image(*arch, &selection).ok()),
        );
    }
    images
}

/// Why no place has the image; `None` if one has it.
fn absence(image: &ImageSource, fetcher: &Fetcher) -> Option<String> {
    let mut first = None;
    for url in image.urls(&image.file) {
        let problem = match fetcher.head(&url) {
            Ok(head) if head.status == 200 => {
                match (head.length, image.pin.as_ref().and_then(|pin| pin.size)) {
                    (Some(length), Some(size)) if length != size => {
                        format!("`{url}` has {length} bytes instead of {size}")
                    }
                    _ => return None,
                }
            }
            Ok(head) => format!("`{url}` answers {}", head.status),
            Err(error) => error.to_string(),
        };
        first.get_or_insert(problem);
    }
    first
}
