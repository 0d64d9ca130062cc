//! `tib recipe list|show|check|schema`

use crate::assembly;
use crate::assembly::BuildRequest;
use crate::check;
use crate::distro::{self, Arch, OsRelease};
use crate::error::{Diagnose, Exit, Failure, Result};
use crate::recipe::{self, Library, RecipeError, Request, Summary};
use crate::shown::Text;

use super::args::{RecipeArgs, RecipeCommand};
use super::{Context, put, put_json};

/// An operating system label that `recipe show --os` does not know.
#[derive(Debug, thiserror::Error)]
#[error("no facts about the operating system `{0}`")]
struct UnknownOs(String);

impl Diagnose for UnknownOs {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("write it like `debian-12`, `ubuntu-24.04`, `rocky-9` or `fedora-43`".to_owned())
    }
}

/// A recipe that none of the operating systems is right for.
#[derive(Debug, thiserror::Error)]
#[error("recipe `{0}` supports none of {list}", list = distro::WELL_KNOWN.join(", "))]
struct ForNone(String);

impl Diagnose for ForNone {
    fn exit(&self) -> Exit {
        Exit::Recipe
    }

    fn hint(&self) -> Option<String> {
        Some("`tib recipe show RECIPE --base BASE` plans it for the base that it is made for".to_owned())
    }
}

pub(super) fn run(args: RecipeArgs, context: &Context) -> Result<Exit> {
    let library = Library::new(context.settings.recipe_dirs.clone());
    match args.command {
        RecipeCommand::List { json } => list(&library, json),
        RecipeCommand::Show { recipe, text: true, .. } => {
            put(&Text::of_file(&library.text(&recipe)?))?;
            Ok(Exit::Done)
        }
        RecipeCommand::Show { recipe, os, base, set, agent, json, text: false } => {
            let loaded = library.load(&recipe)?;
            let settings = set.into_iter().collect();
            let plan = match base {
                Some(base) => {
                    let settings_of = &context.settings;
                    let request = BuildRequest {
                        agent,
                        settings,
                        artifacts: None,
                        recipe_dirs: settings_of.recipe_dirs.clone(),
                        catalogue_dirs: settings_of.catalogue_dirs.clone(),
                        cache_dir: settings_of.cache_dir.clone(),
                        ..BuildRequest::new(recipe, base)
                    };
                    let plan = assembly::plan(&request, &context.control)?;
                    context.printer.finish();
                    plan
                }
                None => {
                    let facts = distro::well_known(&os).ok_or(UnknownOs(os))?;
                    loaded.plan(&Request { agent, settings, ..Request::new(&facts) })?
                }
            };
            if json {
                put_json(&plan)?;
            } else {
                let mut text = describe(&loaded, &plan.os);
                text.append(&recipe::render(&plan));
                put(&text)?;
            }
            Ok(Exit::Done)
        }
        RecipeCommand::Check { recipes, json } => check(&library, recipes, json),
        RecipeCommand::Schema { checks } => {
            put_json(&if checks { check::schema() } else { recipe::schema() })?;
            Ok(Exit::Done)
        }
    }
}

/// What a recipe is for, and what can be set.
fn describe(recipe: &recipe::Recipe, os: &OsRelease) -> Text {
    let mut text = Text::default();
    text.line(recipe.summary());
    if let Some(description) = recipe.description() {
        text.blank();
        // Marked as its author's words: a line of it could look like one of tib's own.
        description.trim().lines().for_each(|line| text.line(format!("| {line}")));
        text.blank();
    }
    if let Some(base) = recipe.base() {
        text.line(format!("Made from the catalogue's {base}, unless `--base` names another."));
    }
    let options = recipe.options(os);
    if !options.is_empty() {
        text.blank();
        text.line("Options (--set KEY=VALUE):");
    }
    for option in options {
        let default = option.default.map(|value| format!(" [default: {value}]")).unwrap_or_default();
        let values = match option.values.as_slice() {
            [] => String::new(),
            values => format!(" [one of: {}]", values.join(", ")),
        };
        text.line(format!("  {}  {}{values}{default}", option.name, option.description));
    }
    let artifacts: Vec<_> = recipe.artifacts().collect();
    if !artifacts.is_empty() {
        text.blank();
        text.line("Artifacts (--artifact NAME=FILE|URL[@sha256:DIGEST]):");
    }
    for (name, description, license) in artifacts {
        let license = license.map(|license| format!(" (licence: {license})")).unwrap_or_default();
        text.line(format!("  {name}  {description}{license}"));
    }
    text.blank();
    text
}

fn list(library: &Library, json: bool) -> Result<Exit> {
    let recipes = library.list()?;
    if json {
        put_json(&recipes)?;
        return Ok(Exit::Done);
    }
    let width = recipes.iter().map(|recipe| recipe.name.len()).max().unwrap_or(0);
    let (parts, images): (Vec<_>, Vec<_>) = recipes.iter().partition(|recipe| recipe.part);
    let line = |recipe: &Summary| format!("{:width$}  {}", recipe.name, recipe.summary);
    let mut text: Text = images.into_iter().map(line).collect();
    if !parts.is_empty() {
        text.blank();
        text.line("Parts of these, to be extended by recipes of your own:");
        parts.into_iter().for_each(|part| text.line(line(part)));
    }
    put(&text)?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize)]
struct Checked {
    recipe: String,
    ok: bool,
    /// Systems that a plan can be made for.
    planned: Vec<&'static str>,
    problem: Option<String>,
    hint: Option<String>,
}

/// Loads each recipe and plans it for every operating system tib knows facts of, as far as it is made for that.
/// Tells the mistakes of all recipes, not just of the first.
fn check(library: &Library, recipes: Vec<String>, json: bool) -> Result<Exit> {
    let names = if recipes.is_empty() {
        library.list()?.into_iter().map(|recipe| recipe.name).collect()
    } else {
        recipes
    };
    let results: Vec<Checked> = names
        .into_iter()
        .map(|name| match library.load(&name) {
            Ok(recipe) => plan_everywhere(name, &recipe),
            Err(error) => Checked::wrong(name, Vec::new(), &error.into(), ""),
        })
        .collect();
    if json {
        put_json(&results)?;
    } else {
        for result in &results {
            let mut text = Text::default();
            text.line(match &result.problem {
                None => format!("{}: good for {}", result.recipe, result.planned.join(", ")),
                Some(problem) => format!("{}: {problem}", result.recipe),
            });
            if let Some(hint) = &result.hint {
                text.line(format!("  hint: {hint}"));
            }
            put(&text)?;
        }
    }
    Ok(if results.iter().all(|result| result.ok) { Exit::Done } else { Exit::Recipe })
}

impl Checked {
    fn wrong(recipe: String, planned: Vec<&'static str>, failure: &Failure, place: &str) -> Self {
        let problem = Some(format!("{place}{failure}"));
        Self { recipe, ok: false, planned, problem, hint: failure.hint() }
    }
}

/// A system that the recipe says it is not for is no mistake, unless that leaves none.
fn plan_everywhere(name: String, recipe: &recipe::Recipe) -> Checked {
    let mut planned = Vec::new();
    let mut first = None;
    for (label, arch) in distro::WELL_KNOWN.into_iter().flat_map(|label| Arch::ALL.map(|arch| (label, arch)))
    {
        let Some(facts) = distro::well_known(label) else { continue };
        match recipe.plan(&Request::new(&OsRelease { arch, ..facts })) {
            Ok(_) if planned.last() == Some(&label) => {}
            Ok(_) => planned.push(label),
            Err(RecipeError::Unsupported { .. } | RecipeError::Refused { .. }) => {}
            Err(error) => _ = first.get_or_insert((format!("{label} ({arch})"), Failure::from(error))),
        }
    }
    match first {
        // Where nothing can be planned, the system is not to blame.
        Some((_, failure)) if planned.is_empty() => Checked::wrong(name, planned, &failure, ""),
        Some((label, failure)) => Checked::wrong(name, planned, &failure, &format!("on {label}: ")),
        None if planned.is_empty() => {
            Checked::wrong(name, planned, &ForNone(recipe.name().to_owned()).into(), "")
        }
        None => Checked { recipe: name, ok: true, planned, problem: None, hint: None },
    }
}
