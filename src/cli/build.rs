//! `tib build`

use std::path::Path;

use crate::assembly;
use crate::assembly::{BuildError, BuildRequest, Built};
use crate::disk::Compression;
use crate::error::{Diagnose, Exit, Result, without_path};
use crate::given;
use crate::recipe;
use crate::shell::quote;
use crate::shown::Text;
use crate::size::Size;

use super::args::BuildArgs;
use super::{Context, put, put_json, subscription};

pub(super) fn run(args: BuildArgs, context: &Context) -> Result<Exit> {
    let BuildArgs {
        recipe,
        base,
        checksum,
        insecure_skip_verify,
        agent,
        constraints,
        requirements,
        target_release,
        embed_container,
        artifact,
        strict,
        output,
        size,
        ssh_key,
        set,
        compat,
        force,
        offline,
        no_cache,
        dry_run,
        json,
        subscription,
    } = args;
    let asked = subscription::asked(subscription, |name| std::env::var_os(name))?;
    for note in asked.notes {
        context.control.events.note(note);
    }
    let ssh_keys = ssh_key.iter().map(|path| read_keys(path)).collect::<Result<Vec<_>, _>>()?.concat();
    let request = BuildRequest {
        recipe,
        recipe_dirs: context.settings.recipe_dirs.clone(),
        base,
        checksum,
        skip_verify: insecure_skip_verify,
        catalogue_dirs: context.settings.catalogue_dirs.clone(),
        agent,
        constraints,
        requirements,
        target_release,
        containers: embed_container,
        artifacts: Some(artifact),
        strict,
        output,
        size,
        ssh_keys,
        settings: set.into_iter().collect(),
        compression: if compat { Compression::Zlib } else { Compression::Zstd },
        force,
        offline,
        no_cache,
        cache_dir: context.settings.cache_dir.clone(),
        subscription: asked.subscription,
    };
    if dry_run {
        let plan = assembly::plan(&request, &context.control)?;
        context.printer.finish();
        if json {
            put_json(&plan)?;
        } else {
            put(&recipe::render(&plan))?;
        }
        if request.strict && !plan.warnings.is_empty() {
            return Err(BuildError::Strict(plan.warnings).into());
        }
        return Ok(Exit::Done);
    }
    if json {
        tellable(request.output.as_deref())?;
    }
    let built = assembly::build(&request, &context.control)?;
    context.printer.finish();
    let told = if json { put_json(&built) } else { put(&summary(&built)) };
    // The image is there, and that is what the exit code says.
    if let Err(failure) = told {
        context
            .control
            .events
            .warning(format!("{failure}; `{}` is complete all the same", built.image.display()));
    }
    Ok(Exit::Done)
}

/// Refuses an output whose path JSON could not tell, before it is built.
fn tellable(output: Option<&Path>) -> Result<(), BuildError> {
    match std::path::absolute(output.unwrap_or(Path::new("."))) {
        Ok(path) if path.to_str().is_none() => Err(BuildError::NotUtf8(path)),
        _ => Ok(()),
    }
}

/// What a person wants to know of a new image, and what to type next.
fn summary(built: &Built) -> Text {
    let image = built.image.display();
    let agent = built.agent.as_deref().map_or(String::new(), |agent| format!(", agent {agent}"));
    // As a shell takes them, whatever the file is called.
    let file = quote(&built.image.to_string_lossy());
    let name = quote(&built.image.file_stem().unwrap_or_default().to_string_lossy());
    let tag = built.datastore.as_deref().unwrap_or("mysql");
    let mut text = Text::from_iter([
        format!("{image}"),
        format!("  size      {} file, {} disk", Size(built.file_size), Size(built.virtual_size)),
        format!("  holds     {}, {} packages{agent}", built.os, built.packages),
        format!("  sha256    {}", built.sha256),
        format!("  manifest  {}", built.manifest.display()),
        format!("  checks    {} passed", built.checks),
    ]);
    if !built.redistributable {
        text.line("  licence   not to be passed on: what it holds does not allow that");
    }
    let upload = Text::from_iter([
        String::new(),
        "Upload it as the user Trove's service project belongs to:".to_owned(),
        format!("  openstack image create {name} --private --disk-format qcow2 --container-format bare \\"),
        format!(
            "    --min-disk {} --min-ram {} --property hw_rng_model=virtio --tag trove --tag {tag} --file {file}",
            built.min_disk, built.min_ram
        ),
    ]);
    text.append(&upload);
    text
}

#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("cannot read the SSH key `{path}`")]
    Read { path: String, source: std::io::Error },
    #[error("`{0}` holds no SSH public key")]
    Empty(String),
}

impl Diagnose for KeyError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("give the public half, such as `~/.ssh/id_ed25519.pub`".to_owned())
    }
}

/// The keys in a file in OpenSSH's one-line format. Whether they are public is the recipe's to check.
fn read_keys(path: &Path) -> Result<Vec<String>, KeyError> {
    let shown = path.display().to_string();
    let text = given::read_to_string(path)
        .map_err(|error| KeyError::Read { path: shown.clone(), source: without_path(error) })?;
    let keys: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    if keys.is_empty() { Err(KeyError::Empty(shown)) } else { Ok(keys) }
}
