//! `tib base list|show|fetch|import|verify|remove|check-catalogue|schema`

mod catalogue;
mod fetch;
mod show;

use crate::base;
use crate::base::Held;
use crate::base::catalogue::Catalogue;
use crate::cache;
use crate::cache::Cache;
use crate::distro::Arch;
use crate::error::{Exit, Failure, Result};
use crate::shown::Text;

use super::args::{BaseArgs, BaseCommand};
use super::cache::damage_line;
use super::{Context, put, put_json};

pub(super) fn run(args: BaseArgs, context: &Context) -> Result<Exit> {
    match args.command {
        BaseCommand::List { all, json } => show::list(context, all, json),
        BaseCommand::Show { id, json } => show::show(context, &id, json),
        BaseCommand::Fetch(args) => fetch::run(args, context),
        BaseCommand::Import { file, id, checksum, arch, json } => {
            let arch = arch.or_else(Arch::host).unwrap_or(Arch::X86_64);
            let (cache, catalogue) = (open_cache(context)?, open_catalogue(context)?);
            let entry = catalogue.find(&id)?;
            let held = context.control.events.stage(
                "import",
                format!("{} as {}", file.display(), entry.id()),
                || base::import_as(&file, entry, arch, checksum.as_ref(), &cache, &context.control),
            )?;
            context.printer.finish();
            if json {
                put_json(&held)?;
            } else {
                put(&Text::from_iter([line(&held)]))?;
            }
            Ok(Exit::Done)
        }
        BaseCommand::Verify { ids, json } => verify(context, &ids, json),
        BaseCommand::Remove { ids, arch, json } => remove(context, &ids, arch, json),
        BaseCommand::CheckCatalogue { ids, online, json } => catalogue::check(context, &ids, online, json),
        BaseCommand::Schema => {
            put_json(&base::catalogue::schema())?;
            Ok(Exit::Done)
        }
    }
}

fn open_cache(context: &Context) -> Result<Cache> {
    Ok(Cache::open(context.settings.cache_dir.clone())?)
}

/// The cache for commands that change nothing in it.
fn look_into_cache(context: &Context) -> Result<Cache> {
    Ok(Cache::look(context.settings.cache_dir.clone())?)
}

fn open_catalogue(context: &Context) -> Result<Catalogue> {
    Ok(Catalogue::load(&context.settings.catalogue_dirs)?)
}

/// What the cache holds under a name, for people.
fn line(held: &Held) -> String {
    let build = held.build.as_ref().map_or_else(String::new, |build| format!("@{build}"));
    let trust = held.origin.trust().map_or_else(String::new, |trust| format!(", {trust}"));
    format!("{}{build} ({}): {}{trust}", held.id, held.arch, held.digest)
}

/// The catalogue's own names for what was asked for.
fn names(context: &Context, ids: &[String]) -> Result<Vec<String>> {
    let catalogue = open_catalogue(context)?;
    ids.iter().map(|id| Ok(catalogue.find(id)?.id().to_owned())).collect()
}

fn verify(context: &Context, ids: &[String], json: bool) -> Result<Exit> {
    let cache = open_cache(context)?;
    let held = base::held(&cache)?;
    let names = names(context, ids)?;
    for name in &names {
        if !held.iter().any(|held| held.id == *name) {
            return Err(base::BaseError::NotHeld(name.clone()).into());
        }
    }
    // Without names, bases that have none are looked at as well.
    let digests: Vec<_> =
        held.iter().filter(|held| names.contains(&held.id)).map(|held| held.digest).collect();
    let only = (!names.is_empty()).then_some(digests.as_slice());
    let mut found = context
        .control
        .events
        .stage("verify", "hashing", || cache::audit_bases(&cache, only, &context.control))?;
    context.printer.finish();
    found.sort_by(|a, b| a.about.cmp(&b.about));
    let damaged = found.iter().any(|found| found.damage.is_some());
    if json {
        put_json(&found)?;
    } else {
        let lines = found.iter().map(|found| {
            damage_line(found).unwrap_or_else(|| format!("good: {} {}", found.name, found.about))
        });
        put(&lines.collect())?;
    }
    Ok(if damaged { Exit::Integrity } else { Exit::Done })
}

fn remove(context: &Context, ids: &[String], arch: Option<Arch>, json: bool) -> Result<Exit> {
    let cache = open_cache(context)?;
    let mut removed = Vec::new();
    for name in names(context, ids)? {
        removed.extend(base::remove(&name, arch, &cache)?);
    }
    if json {
        put_json(&removed)?;
    } else {
        put(&removed.iter().map(|held| format!("removed {}", line(held))).collect())?;
    }
    Ok(Exit::Done)
}

/// A failure among several pieces of work: what went wrong, as JSON.
#[derive(Debug, serde::Serialize)]
struct Failed {
    what: String,
    message: String,
    hint: Option<String>,
    exit_code: u8,
}

impl Failed {
    fn new(what: String, failure: &Failure) -> Self {
        Self { what, message: failure.to_string(), hint: failure.hint(), exit_code: failure.exit() as u8 }
    }
}
