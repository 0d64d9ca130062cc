//! `tib verify`

use crate::build::with_tree;
use crate::disk::Policy;
use crate::error::{Diagnose, Exit, Result, io_exit};
use crate::recipe::{Library, Request};
use crate::source::Cache;
use crate::verify;

use super::args::VerifyArgs;
use super::{Context, put, put_json};

#[derive(Debug, thiserror::Error)]
#[error("cannot write the JUnit report `{path}`")]
struct JunitError {
    path: String,
    source: std::io::Error,
}

impl Diagnose for JunitError {
    fn exit(&self) -> Exit {
        io_exit(&self.source, Exit::Usage)
    }
}

pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<Exit> {
    let recipe = match &args.recipe {
        Some(name) => Some(Library::new(context.settings.recipe_dirs.clone()).load(name)?),
        None => None,
    };
    let cache = Cache::open(context.settings.cache_dir.clone())?;
    let policy = Policy::within(cache.root());
    let report = with_tree(&args.image, &policy, &context.events, &context.cancel, |tree| {
        let checks = match &recipe {
            Some(recipe) => {
                let os = verify::detect_os(tree)?;
                let request = Request {
                    os: &os,
                    settings: args.set.iter().cloned().collect(),
                    agent: args.agent.clone(),
                    constraints: None,
                    ssh_keys: Vec::new(),
                    ssh_user: None,
                };
                recipe.plan(&request)?.checks
            }
            None => Vec::new(),
        };
        Ok(verify::report(tree, &args.image, &checks, &[]))
    })?;
    context.printer.finish();
    if let Some(path) = &args.junit {
        std::fs::write(path, report.to_junit()?)
            .map_err(|source| JunitError { path: path.display().to_string(), source })?;
    }
    if args.json {
        put_json(&report.to_json())?;
    } else {
        put(report.to_text(context.settings.color).as_bytes())?;
    }
    Ok(if report.passed() { Exit::Done } else { Exit::Checks })
}
