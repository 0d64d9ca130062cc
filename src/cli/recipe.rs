//! `tib recipe list|show|check|schema`

use crate::build::{self, BuildRequest};
use crate::error::{Diagnose, Exit, Failure, Result};
use crate::os::{self, OsRelease};
use crate::recipe::{self, Library, Request};
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
                        recipe_dirs: settings_of.recipe_dirs.clone(),
                        catalogue_dirs: settings_of.catalogue_dirs.clone(),
                        cache_dir: settings_of.cache_dir.clone(),
                        ..BuildRequest::new(recipe, base)
                    };
                    let plan = build::plan(&request, &context.events, &context.cancel)?;
                    context.printer.finish();
                    plan
                }
                None => {
                    let facts = os::well_known(&os).ok_or(UnknownOs(os))?;
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
            put_json(&if checks { recipe::checks_schema() } else { recipe::schema() })?;
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
        text.line(format!("  {}  {}{default}", option.name, option.description));
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
    let lines = recipes.iter().map(|recipe| format!("{:width$}  {}", recipe.name, recipe.summary));
    put(&lines.collect())?;
    Ok(Exit::Done)
}

#[derive(serde::Serialize)]
struct Checked {
    recipe: String,
    ok: bool,
    problem: Option<String>,
    hint: Option<String>,
}

/// Loads and plans each recipe for every operating system tib knows facts of; tells all mistakes, not just the
/// first.
fn check(library: &Library, recipes: Vec<String>, json: bool) -> Result<Exit> {
    let names = if recipes.is_empty() {
        library.list()?.into_iter().map(|recipe| recipe.name).collect()
    } else {
        recipes
    };
    let results: Vec<Checked> = names
        .into_iter()
        .map(|name| {
            match library.load(&name).map_err(Failure::from).and_then(|recipe| plan_everywhere(&recipe)) {
                Ok(()) => Checked { recipe: name, ok: true, problem: None, hint: None },
                Err(failure) => Checked {
                    recipe: name,
                    ok: false,
                    hint: failure.hint(),
                    problem: Some(failure.to_string()),
                },
            }
        })
        .collect();
    if json {
        put_json(&results)?;
    } else {
        for result in &results {
            let mut text = Text::default();
            text.line(match &result.problem {
                None => format!("{}: good", result.recipe),
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

fn plan_everywhere(recipe: &recipe::Recipe) -> Result<()> {
    for label in ["debian-12", "ubuntu-24.04", "rocky-9", "fedora-43"] {
        if let Some(os) = os::well_known(label) {
            recipe.plan(&Request {
                os: &os,
                settings: std::collections::BTreeMap::new(),
                agent: None,
                constraints: None,
                ssh_keys: Vec::new(),
                ssh_user: None,
            })?;
        }
    }
    Ok(())
}
