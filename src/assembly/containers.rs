//! Container images that are asked for, found before the plan is made: it tells what they are.

use super::BuildRequest;
use crate::cache::Cache;
use crate::container;
use crate::container::FoundContainer;
use crate::control::Control;
use crate::distro::OsRelease;
use crate::error::Result;
use crate::recipe::Recipe;

/// The container images that are asked for, as far as they must be known for a plan.
pub(crate) fn find(
    request: &BuildRequest,
    recipe: &Recipe,
    os: &OsRelease,
    cache: &Cache,
    control: &Control,
) -> Result<Vec<FoundContainer>> {
    if request.containers.is_empty() {
        return Ok(Vec::new());
    }
    // A recipe that has no use for them says so before anybody is asked.
    recipe.check_containers(&request.containers)?;
    let access = access(request, os, cache);
    let names: Vec<_> = request.containers.iter().map(|asked| asked.name.familiar()).collect();
    control.events.stage("containers", names.join(", "), || {
        let found = request.containers.iter().map(|asked| container::find(asked, &access, control));
        Ok(found.collect::<std::result::Result<Vec<_>, _>>()?)
    })
}

/// How they may be had.
pub(crate) fn access<'a>(request: &BuildRequest, os: &OsRelease, cache: &'a Cache) -> container::Access<'a> {
    container::Access::new(os.arch, cache, request.offline, &|name| std::env::var_os(name))
}
