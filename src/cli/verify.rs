//! `tib verify`

use std::path::Path;

use crate::check::CheckFile;
use crate::error::{Exit, Result};
use crate::os;
use crate::recipe::{Library, Request};
use crate::verify;

use super::args::VerifyArgs;
use super::reports::Reports;
use super::{Context, put, put_json};

pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<Exit> {
    let reports = Reports { junit: args.junit.as_deref(), html: args.html.as_deref() };
    let recipe_file = args.recipe.as_deref().map(Path::new);
    let read = args.checks.iter().map(AsRef::as_ref).chain(recipe_file).chain([args.image.as_path()]);
    reports.check(&read)?;
    // Mistakes in what is asked are told before an image is opened.
    let mut further = Vec::new();
    for file in &args.checks {
        further.extend(CheckFile::load(file)?);
    }
    let recipe = match &args.recipe {
        Some(name) => Some(Library::new(context.settings.recipe_dirs.clone()).load(name)?),
        None => None,
    };
    let mut image = context.open(&args.image)?;
    let layout = image.layout()?.clone();
    let mut report = context.read(image, |tree| {
        let plan = match &recipe {
            Some(recipe) => {
                let os = os::detect_os(tree)?;
                let request = Request {
                    os: &os,
                    settings: args.set.iter().cloned().collect(),
                    agent: args.agent.clone(),
                    constraints: None,
                    ssh_keys: Vec::new(),
                    ssh_user: None,
                };
                Some(recipe.plan(&request)?)
            }
            None => None,
        };
        Ok(verify::examine(tree, &args.image, &layout, plan.as_ref(), &further))
    })?;
    context.printer.finish();
    report.facts.extend(args.recipe.iter().map(|name| ("Recipe", name.clone())));
    report.facts.extend(args.checks.iter().map(|file| ("Checks", file.display().to_string())));
    reports.write(&report)?;
    if args.json {
        put_json(&report.to_json())?;
    } else {
        put(&report.to_text(context.settings.colors.stdout))?;
    }
    Ok(if report.passed() { Exit::Done } else { Exit::Checks })
}
