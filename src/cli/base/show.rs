//! `tib base list` and `tib base show`

use serde::Serialize;

use crate::base;
use crate::base::Held;
use crate::base::catalogue::{Catalogue, CatalogueEntry};
use crate::clock;
use crate::error::{Exit, Result};
use crate::shown::Text;

use super::super::{Context, put, put_json};
use super::{line, look_into_cache, open_catalogue};

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    entry: &'a CatalogueEntry,
    past_end_of_life: bool,
    in_cache: Vec<&'a Held>,
}

pub(super) fn list(context: &Context, all: bool, json: bool) -> Result<Exit> {
    let (cache, catalogue) = (look_into_cache(context)?, open_catalogue(context)?);
    let held = base::held(&cache)?;
    let listed: Vec<_> = catalogue.entries().iter().map(|entry| listed(entry, &held)).collect();
    // Scripts choose for themselves.
    if json {
        put_json(&listed)?;
        return Ok(Exit::Done);
    }
    let shown: Vec<_> = listed
        .iter()
        .filter(|listed| all || !listed.past_end_of_life || !listed.in_cache.is_empty())
        .collect();
    // Not of the catalogue, and something that `--base` takes all the same.
    let made = base::bootstrap_systems(&cache)?;
    let made: Vec<_> = made.into_iter().map(|(system, here)| (format!("bootstrap:{system}"), here)).collect();
    let names =
        shown.iter().map(|listed| listed.entry.id.as_str()).chain(made.iter().map(|(name, _)| name.as_str()));
    let width = names.map(str::len).max().unwrap_or(0);
    let mut text = Text::default();
    let mut row = |name: &str, here: bool, state: &str, title: &str| {
        let here = if here { "here" } else { "" };
        text.line(format!("{name:width$}  {here:<4}  {state:<23}  {title}"));
    };
    for listed in &shown {
        row(&listed.entry.id, !listed.in_cache.is_empty(), &state(listed), &listed.entry.title);
    }
    for (name, here) in &made {
        row(name, *here, "made on this host", "from the packages of a Debian archive");
    }
    put(&text)?;
    if shown.len() < listed.len() {
        let hidden = listed.len() - shown.len();
        let are = if hidden == 1 { "is past its" } else { "are past their" };
        context.control.events.note(format!("{hidden} more {are} end of life: `tib base list --all`"));
    }
    Ok(Exit::Done)
}

fn listed<'a>(entry: &'a CatalogueEntry, held: &'a [Held]) -> Listed<'a> {
    Listed {
        entry,
        past_end_of_life: entry.is_past_end_of_life(clock::today()),
        in_cache: held.iter().filter(|held| held.id == entry.id).collect(),
    }
}

fn state(listed: &Listed<'_>) -> String {
    match (&listed.entry.local, listed.past_end_of_life) {
        (Some(_), _) => "a file that you bring".to_owned(),
        (None, true) => format!("ended on {}", listed.entry.end_of_life),
        (None, false) => format!("until {}", listed.entry.end_of_life),
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    keys: Vec<&'a base::catalogue::Key>,
}

pub(super) fn show(context: &Context, id: &str, json: bool) -> Result<Exit> {
    let (cache, catalogue) = (look_into_cache(context)?, open_catalogue(context)?);
    let held = base::held(&cache)?;
    let entry = catalogue.find(id)?;
    let shown = Shown { listed: listed(entry, &held), keys: catalogue.keys(entry) };
    if json {
        put_json(&shown)?;
    } else {
        put(&describe(&shown, &catalogue))?;
    }
    Ok(Exit::Done)
}

fn describe(shown: &Shown<'_>, catalogue: &Catalogue) -> Text {
    let entry = shown.listed.entry;
    let mut text = Text::default();
    text.line(format!("{}: {}", entry.id, entry.title));
    let mut row = |name: &str, value: String| text.line(format!("  {name:<14} {value}"));
    if !entry.aliases.is_empty() {
        row("also called", entry.aliases.join(", "));
    }
    row("state", state(&shown.listed));
    let python = entry.os.python.as_deref().unwrap_or("no version known");
    let root = entry.os.root.as_deref().unwrap_or("unknown");
    row(
        "system",
        format!(
            "{} {}, {}, {}, {}, root on {root}, Python 3: {python}",
            entry.os.id, entry.os.release, entry.os.packages, entry.os.init, entry.os.mac
        ),
    );
    row("user", entry.user.clone());
    let arches: Vec<_> = entry.arch.keys().map(|arch| arch.name()).collect();
    row("architectures", arches.join(", "));
    for place in [&entry.newest, &entry.pinned].into_iter().flatten() {
        for directory in &place.directories {
            row("from", format!("{directory}{}", place.file));
        }
    }
    match (&entry.local, &entry.signature) {
        (Some(local), _) => row("to be had", format!("{}: {}", local.reason, local.url)),
        (None, None) => row("signed by", "nobody".to_owned()),
        (None, Some(_)) => {}
    }
    for key in catalogue.keys(entry) {
        row("signed by", format!("{} {}", key.fingerprint, key.name));
    }
    for pin in &entry.pin {
        row("known build", format!("{} for {}", pin.version, pin.arch));
    }
    for quirk in &entry.quirks {
        row("note", quirk.clone());
    }
    for unverified in &entry.unverified {
        row("not verified", unverified.clone());
    }
    row("entry", entry.origin.clone());
    for held in &shown.listed.in_cache {
        row("in the cache", line(held));
    }
    text
}
