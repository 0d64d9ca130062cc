//! Keys of repositories that a recipe names by where they are published.

use crate::cache::Cache;
use crate::control::Control;
use crate::error::Result;
use crate::packages;
use crate::recipe::{Content, Plan, Step};
use crate::trust::RepositoryKey;

/// Puts the keys themselves in the place of their URLs, after a look at their fingerprints. From then on the plan says what
/// goes into the image, and the digests of its stages depend on it.
pub(crate) fn fetch(plan: &mut Plan, cache: &Cache, offline: bool, control: &Control) -> Result<()> {
    for step in plan.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
        let Step::Repository(repository) = step else { continue };
        let Content::Url(url) = &repository.key else { continue };
        let armoured = packages::published_key(&repository.name, url, cache, offline, control)?;
        repository.key = Content::Text(armoured);
        RepositoryKey::of(repository)?;
    }
    Ok(())
}
