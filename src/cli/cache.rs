//! `tib cache status|gc|verify|path`

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cache;
use crate::cache::{Audited, Cache, CacheItem, Collected, Kind, Limits};
use crate::clock::DAY;
use crate::error::{Exit, Result};
use crate::host::space;
use crate::shown::Text;
use crate::size::Size;
use crate::subscription;

use super::Context;
use super::args::{CacheArgs, CacheCommand};
use super::stdout::{Stdout, content, put, put_json};

pub(super) fn run(args: &CacheArgs, context: &Context) -> Result<Exit> {
    let directory = context.settings.cache_dir.clone();
    match &args.command {
        CacheCommand::Path => {
            // A script may use it, whatever it is called.
            let cache = Cache::look(directory)?;
            let mut out = content(false);
            let line = [cache.root().as_os_str().as_bytes(), b"\n"].concat();
            out.write_all(&line).and_then(|()| out.flush()).map_err(Stdout)?;
            Ok(Exit::Done)
        }
        CacheCommand::Status { json } => status(&Cache::look(directory)?, context, *json),
        CacheCommand::Gc { keep_days, max_size, dry_run, json } => {
            let cache = Cache::open(directory)?;
            if !dry_run {
                subscription::clean_up(&cache, &context.control)?;
            }
            let limits = Limits {
                unused_for: Duration::from_secs(keep_days.saturating_mul(DAY)),
                max_size: max_size.map(|s| s.0),
            };
            let collected = cache::collect(&cache, &limits, *dry_run, &context.control)?;
            context.printer.finish();
            if *json {
                put_json(&collected)?;
            } else {
                put(&collection(&collected, *dry_run))?;
            }
            Ok(Exit::Done)
        }
        CacheCommand::Verify { json } => {
            let cache = Cache::open(directory)?;
            subscription::clean_up(&cache, &context.control)?;
            verify(&cache, context, *json)
        }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    path: &'a std::path::Path,
    bytes: u64,
    free: Option<u64>,
    items: &'a [CacheItem],
}

fn status(cache: &Cache, context: &Context, json: bool) -> Result<Exit> {
    let items = cache::inventory(cache)?;
    let bytes = items.iter().map(|item| item.bytes).sum();
    let free = space::free(cache.root()).ok();
    if json {
        put_json(&Status { path: cache.root(), bytes, free, items: &items })?;
        return Ok(Exit::Done);
    }
    let mut text = Text::default();
    text.line(cache.root().display().to_string());
    for (kind, (count, bytes)) in cache::totals(&items) {
        text.line(format!("  {:<18} {count:>5}  {:>10}", plural(kind), Size(bytes).to_string()));
    }
    let free = free.map_or(String::new(), |free| format!(", {} free on its file system", Size(free)));
    text.line(format!("  {:<18} {:>5}  {:>10}{free}", "together", "", Size(bytes).to_string()));
    if context.settings.verbose {
        let now = SystemTime::now();
        text.blank();
        for item in &items {
            text.line(line(item, now));
        }
    }
    put(&text)?;
    Ok(Exit::Done)
}

/// One thing, for people.
fn line(item: &CacheItem, now: SystemTime) -> String {
    let days = now.duration_since(item.used).map_or(0, |age| age.as_secs() / DAY);
    let short = item.name.get(..12).filter(|_| item.name.len() == 64).unwrap_or(&item.name);
    let state = if item.unusable { ", unusable" } else { "" };
    format!(
        "  {:<8} {short:<12} {:>10}  used {days} days ago  {}{state}",
        singular(item.kind),
        Size(item.bytes).to_string(),
        item.about,
    )
}

fn collection(collected: &Collected, rehearsal: bool) -> Text {
    let now = SystemTime::now();
    let mut text: Text = collected.removed.iter().map(|item| line(item, now)).collect();
    let count = collected.removed.len();
    let (would, left) = if rehearsal { ("would free", "would be left") } else { ("freed", "left") };
    text.line(format!(
        "{would} {} ({count} thing{}); {} {left}",
        Size(collected.freed),
        if count == 1 { "" } else { "s" },
        Size(collected.left),
    ));
    if !collected.in_use.is_empty() {
        text.line(format!(
            "kept, since somebody uses it or what is made upon it: {}",
            collected.in_use.len()
        ));
        text.append(&collected.in_use.iter().map(|item| line(item, now)).collect());
    }
    text
}

fn verify(cache: &Cache, context: &Context, json: bool) -> Result<Exit> {
    let found = context
        .control
        .events
        .stage("verify", "reading what is in the cache", || cache::audit(cache, &context.control))?;
    context.printer.finish();
    let damaged = found.iter().filter(|found| found.damage.is_some()).count();
    if json {
        put_json(&found)?;
    } else {
        let mut text: Text = found.iter().filter_map(damage_line).collect();
        text.line(format!("{} good, {damaged} damaged", found.len() - damaged));
        put(&text)?;
    }
    Ok(if damaged == 0 { Exit::Done } else { Exit::Integrity })
}

/// What is said of something damaged; nothing of something good.
pub(super) fn damage_line(found: &Audited) -> Option<String> {
    let damage = found.damage.as_ref()?;
    let then = match &found.set_aside {
        Some(path) => format!("set aside in {}; the next use makes or fetches it again", path.display()),
        None => "somebody uses it; look again when they are done".to_owned(),
    };
    Some(format!("damaged: {} {} ({}): {damage}; {then}", singular(found.kind), found.name, found.about))
}

fn singular(kind: Kind) -> &'static str {
    match kind {
        Kind::Base => "base",
        Kind::Layer => "layer",
        Kind::Download => "download",
        Kind::Packages => "packages",
        Kind::Agents => "agents",
        Kind::Artifacts => "artifacts",
        Kind::Containers => "containers",
        Kind::Mirror => "mirror",
        Kind::Pip => "pip",
        Kind::Logs => "logs",
        Kind::Damaged => "damaged",
    }
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Base => "bases",
        Kind::Layer => "layers",
        Kind::Mirror => "mirrors",
        Kind::Download => "broken downloads",
        other => singular(other),
    }
}
