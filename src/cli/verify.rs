//! `tib verify`

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::check::CheckFile;
use crate::error::{Diagnose, Exit, Result, io_exit, without_path};
use crate::os;
use crate::oslo::{Config, ConfigError, DEFAULT};
use crate::recipe::{Library, Request};
use crate::rename::same_file;
use crate::verify::{self, Configuration};

use super::args::VerifyArgs;
use super::{Context, is_stream, put, put_json};

#[derive(Debug, thiserror::Error)]
#[error("cannot write the {what} report `{path}`")]
struct ReportError {
    what: &'static str,
    path: String,
    source: std::io::Error,
}

impl Diagnose for ReportError {
    fn exit(&self) -> Exit {
        io_exit(&self.source, Exit::Usage)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a report would replace `{0}`, which this command reads or writes itself")]
struct TakenError(String);

impl Diagnose for TakenError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("give each report a file of its own".to_owned())
    }
}

/// Reports replace what has their name, but never what they are about.
fn check_places(args: &VerifyArgs) -> Result<(), TakenError> {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    let recipe = args.recipe.as_deref().map(Path::new);
    let configuration = [&args.conf, &args.trove_conf].into_iter().flatten().map(AsRef::as_ref);
    let read = args.checks.iter().map(AsRef::as_ref).chain(recipe).chain(configuration);
    let read = read.chain([args.image.as_path()]);
    let reports: Vec<&Path> = [&args.junit, &args.html].into_iter().flatten().map(AsRef::as_ref).collect();
    for report in reports.iter().filter(|path| !is_stream(path)) {
        let is_read = read.clone().any(|path| same_file(path, report));
        let twice = reports.iter().filter(|other| absolute(other) == absolute(report)).count() > 1;
        if is_read || twice {
            return Err(TakenError(report.display().to_string()));
        }
    }
    Ok(())
}

pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<Exit> {
    check_places(args)?;
    // Mistakes in what is asked are told before an image is opened.
    let mut further = Vec::new();
    for file in &args.checks {
        further.extend(CheckFile::load(file)?);
    }
    let recipe = match &args.recipe {
        Some(name) => Some(Library::new(context.settings.recipe_dirs.clone()).load(name)?),
        None => None,
    };
    let configuration = configuration(args)?;
    let configuration = Some(&configuration).filter(|configuration| !configuration.is_empty());
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
        Ok(verify::examine(tree, &args.image, &layout, plan.as_ref(), &further, configuration))
    })?;
    context.printer.finish();
    report.facts.extend(args.recipe.iter().map(|name| ("Recipe", name.clone())));
    report.facts.extend(args.checks.iter().map(|file| ("Checks", file.display().to_string())));
    report.facts.extend(args.conf.iter().map(|file| ("Agent's file", file.display().to_string())));
    report.facts.extend(args.trove_conf.iter().map(|file| ("Controller's file", file.display().to_string())));
    if let Some(path) = &args.junit {
        write("JUnit", path, &report.to_junit()?)?;
    }
    if let Some(path) = &args.html {
        write("HTML", path, &report.to_html()?)?;
    }
    if args.json {
        put_json(&report.to_json())?;
    } else {
        put(&report.to_text(context.settings.colors.stdout))?;
    }
    Ok(if report.passed() { Exit::Done } else { Exit::Checks })
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

/// Writes a report under a temporary name beside `path`, so that nobody ever sees half of one. A pipe or a device is
/// written to as it is.
fn write(what: &'static str, path: &Path, text: &str) -> Result<(), ReportError> {
    let failed = |source| ReportError { what, path: path.display().to_string(), source };
    if is_stream(path) {
        let mut stream = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        return stream.write_all(text.as_bytes()).map_err(failed);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".tib-report-")
        .permissions(PermissionsExt::from_mode(0o644))
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .map_err(|error| failed(without_path(error)))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
