//! From the tables of `[artifact.NAME]` to steps, and what must be given for them.

use std::collections::{BTreeMap, BTreeSet};

use super::artifact::{ACCEPT_LICENSE, Artifact, ArtifactPlace, ArtifactSource};
use super::error::RecipeError;
use super::lowering::{At, Lowering};
use super::parse::Source;
use super::{ArtifactStep, GivenArtifact, Step};
use crate::toml_text::nearest;
use crate::valid;

/// Refuses what is given for no artifact of the recipe, or twice. No operating system need be known for that.
fn check_names(sources: &[Source], recipe: &str, given: &[GivenArtifact]) -> Result<(), RecipeError> {
    let known: BTreeSet<&str> =
        sources.iter().flat_map(|source| source.file.artifact.keys()).map(String::as_str).collect();
    let mut seen = BTreeSet::new();
    for GivenArtifact { name, .. } in given {
        if !known.contains(name.as_str()) {
            return Err(RecipeError::UnknownArtifact {
                recipe: recipe.to_owned(),
                name: name.clone(),
                near: nearest(name, known.iter().copied()),
                known: known.into_iter().map(str::to_owned).collect(),
            });
        }
        if !seen.insert(name) {
            return Err(RecipeError::ArtifactText { reason: format!("`{name}` is given twice") });
        }
    }
    Ok(())
}

/// Refuses what is known to be missing, or not accepted, whatever the operating system.
pub(super) fn check_given(
    sources: &[Source],
    recipe: &str,
    given: &[GivenArtifact],
    settings: &BTreeMap<String, String>,
) -> Result<(), RecipeError> {
    check_names(sources, recipe, given)?;
    let mut artifacts = BTreeMap::new();
    let mut accepted = settings.get(ACCEPT_LICENSE);
    for source in sources {
        artifacts.extend(&source.file.artifact);
        let setting = source.file.options.get(ACCEPT_LICENSE);
        if !settings.contains_key(ACCEPT_LICENSE) {
            accepted = setting.and_then(|setting| setting.default.as_ref()).or(accepted);
        }
    }
    // Others may not count on the system that the base turns out to have.
    for (name, item) in artifacts.into_iter().map(|(name, item)| (name, item.get_ref())) {
        if item.when.is_some() {
            continue;
        }
        if item.default.is_none() && !given.iter().any(|given| given.name == *name) {
            return Err(missing(recipe, name, &item.description));
        }
        if let Some(license) = item.license.as_ref().filter(|_| accepted.is_none_or(|text| text != "true")) {
            return Err(RecipeError::License { name: name.clone(), license: license.clone() });
        }
    }
    Ok(())
}

fn missing(recipe: &str, name: &str, description: &str) -> RecipeError {
    let (recipe, name, description) = (recipe.to_owned(), name.to_owned(), description.to_owned());
    RecipeError::MissingArtifact { recipe, name, description }
}

/// Refuses a step of a plan that is to be built while nothing was given for it, or its licence is not accepted.
pub(super) fn demand(step: &ArtifactStep, recipe: &str, is_given: bool) -> Result<(), RecipeError> {
    if !is_given && step.default.is_none() {
        return Err(missing(recipe, &step.name, &step.description));
    }
    match &step.license {
        Some(license) if !step.accepted => {
            Err(RecipeError::License { name: step.name.clone(), license: license.clone() })
        }
        _ => Ok(()),
    }
}

/// Lowers the tables; one of a later recipe takes the place of an earlier one's.
pub(super) fn lower(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    let sources = plan.sources;
    for (index, source) in sources.iter().enumerate() {
        for (name, item) in &source.file.artifact {
            let at = At { source, index, span: item.span() };
            if plan.counts(&at, item.get_ref().when.as_ref())? {
                let step = lowered(plan, &at, name, item.get_ref())?;
                plan.put(&at, format!("artifact {name}"), Step::Artifact(Box::new(step)))?;
            }
        }
    }
    Ok(())
}

fn lowered(
    plan: &Lowering<'_>,
    at: &At<'_>,
    name: &str,
    item: &Artifact,
) -> Result<ArtifactStep, RecipeError> {
    let fault = |message: String| at.error(format!("artifact {name}: {message}"));
    let line = |key: &str, text: &str| {
        plan.text(at, key, text).and_then(|text| valid::line(text, key).map_err(fault))
    };
    valid::word(name.to_owned(), "artifact name").map_err(fault)?;
    let path = item.path.as_deref().map(|path| plan.text(at, "artifact.path", path)).transpose()?;
    let path = path.map(|path| valid::path(path).map_err(fault)).transpose()?;
    match (&path, item.unpack, item.install) {
        (None, _, false) => return Err(fault("it has no `path` and no `install`".to_owned())),
        (None, true, true) | (Some(_), true, true) => {
            return Err(fault("a package is not unpacked: `unpack` or `install`".to_owned()));
        }
        _ => {}
    }
    if !item.environment.is_empty() && !item.install {
        return Err(fault("`environment` is for the scripts of a package: it needs `install`".to_owned()));
    }
    let license = item.license.as_deref().map(|text| line("artifact.license", text)).transpose()?;
    if license.is_some() && !plan.now.options.contains_key(ACCEPT_LICENSE) {
        return Err(fault(format!("it has a `license`, and the recipe has no option `{ACCEPT_LICENSE}`")));
    }
    let mut environment = BTreeMap::new();
    for (key, value) in &item.environment {
        let key = valid::variable(key.clone()).map_err(fault)?;
        environment.insert(key, line("artifact.environment", value)?);
    }
    let default = item.default.as_deref().map(|text| plan.text(at, "artifact.default", text)).transpose()?;
    // A template may have a place for some systems only.
    let place = match default.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let place: ArtifactPlace =
                text.parse().map_err(|reason: &str| fault(format!("`default`: {reason}")))?;
            if !matches!(place.source, ArtifactSource::Url(_)) || place.sha256.is_none() {
                return Err(fault("`default` is a URL with `@sha256:` and its digest".to_owned()));
            }
            Some(place)
        }
    };
    Ok(ArtifactStep {
        name: name.to_owned(),
        description: line("artifact.description", &item.description)?,
        accepted: plan.now.options.get(ACCEPT_LICENSE).is_some_and(|value| value == "true"),
        license,
        path,
        unpack: item.unpack,
        install: item.install,
        environment,
        default: place,
        found: None,
    })
}
