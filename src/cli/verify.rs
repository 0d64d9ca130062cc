//! `tib verify`

use std::path::{Path, PathBuf};

use crate::check::CheckFile;
use crate::error::{Exit, Result};
use crate::os;
use crate::oslo::{Config, ConfigError, DEFAULT};
use crate::recipe::{Library, Request};
use crate::verify::{self, Configuration, Goss};

use super::args::VerifyArgs;
use super::reports::Reports;
use super::{Context, put, put_json};

pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<Exit> {
    let reports = Reports { junit: args.junit.as_deref(), html: args.html.as_deref() };
    let recipe_file = args.recipe.as_deref().map(Path::new);
    let configuration_files = [&args.conf, &args.trove_conf].into_iter().flatten().map(AsRef::as_ref);
    let read = args.checks.iter().chain(&args.goss).map(AsRef::as_ref);
    let read = read.chain(recipe_file).chain(configuration_files);
    let read = read.chain([args.image.as_path()]);
    reports.check(&read)?;
    // Mistakes in what is asked are told before an image is opened.
    let mut further = Vec::new();
    for file in &args.checks {
        further.extend(CheckFile::load(file)?);
    }
    let goss = args.goss.iter().map(|file| Goss::load(file)).collect::<Result<Vec<_>, _>>()?;
    further.extend(goss.iter().flat_map(|goss| goss.checks.clone()));
    let recipe = match &args.recipe {
        Some(name) => Some(Library::new(context.settings.recipe_dirs.clone()).load(name)?),
        None => None,
    };
    let configuration = configuration(args)?;
    let configuration = Some(&configuration).filter(|configuration| !configuration.is_empty());
    let mut image = context.open(&args.image)?;
    let layout = image.layout()?.clone();
    let mut planned = Vec::new();
    let mut report = context.read(image, |tree| {
        let plan = match &recipe {
            Some(recipe) => {
                let os = os::detect_os(tree)?;
                let request = Request {
                    settings: args.set.iter().cloned().collect(),
                    agent: args.agent.clone(),
                    ..Request::new(&os)
                };
                Some(recipe.plan(&request)?)
            }
            None => None,
        };
        planned = plan.as_ref().map_or_else(Vec::new, |plan| plan.checks.clone());
        Ok(verify::examine(tree, &args.image, &layout, plan.as_ref(), &further, configuration))
    })?;
    context.printer.finish();
    let at_boot = planned.iter().chain(&further).filter(|check| !check.is_at_rest());
    report.warnings.extend(at_boot.map(|check| running(&check.title(), "")));
    report.facts.extend(args.recipe.iter().map(|name| ("Recipe", name.clone())));
    report.facts.extend(args.checks.iter().map(|file| ("Checks", file.display().to_string())));
    report.facts.extend(args.goss.iter().map(|file| ("Tests of goss", file.display().to_string())));
    for goss in &goss {
        report.results.extend(goss.not_judged());
        let tests = goss.running.iter().filter(|test| !test.at_rest);
        report.warnings.extend(tests.map(|test| running(&test.title, " --goss")));
    }
    report.facts.extend(args.conf.iter().map(|file| ("Agent's file", file.display().to_string())));
    report.facts.extend(args.trove_conf.iter().map(|file| ("Controller's file", file.display().to_string())));
    reports.write(&report)?;
    if args.json {
        put_json(&report.to_json())?;
    } else {
        put(&report.to_text(context.settings.colors.stdout))?;
    }
    Ok(if report.passed() { Exit::Done } else { Exit::Checks })
}

/// That something was not judged.
fn running(what: &str, option: &str) -> String {
    format!("not judged, because it needs a running system (`tib boot{option}`): {what}")
}

/// Trove's configuration files, as far as they are given.
fn configuration(args: &VerifyArgs) -> Result<Configuration> {
    let load = |path: &Option<PathBuf>| path.as_deref().map(Config::load).transpose();
    let (guest, controller) = (load(&args.conf)?, load(&args.trove_conf)?);
    let cloudinit = controller.as_ref().map(cloudinit).transpose()?.unwrap_or_default();
    Ok(Configuration { guest, controller, cloudinit, agent: args.agent_commit.clone() })
}

/// Files that the controller merges into user data, where this is the controller.
fn cloudinit(controller: &Config) -> Result<Vec<(String, Vec<u8>)>> {
    const SUFFIX: &str = ".cloudinit";
    let Some(directory) = controller.get(DEFAULT, "cloudinit_location") else { return Ok(Vec::new()) };
    let Ok(entries) = std::fs::read_dir(&directory) else { return Ok(Vec::new()) };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths.iter().filter(|path| path.to_string_lossy().ends_with(SUFFIX) && path.is_file()) {
        let shown = path.display().to_string();
        let text = std::fs::read(path).map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
        files.push((shown, text));
    }
    Ok(files)
}
