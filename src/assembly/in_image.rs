//! Mirrors that instances are to use: what the image names in the place of sources.

use crate::mirror::Mirrors;
use crate::packages;
use crate::recipe::{Plan, ScriptStep, Step};

/// Puts them into a plan: into the repositories that it adds, and at its end into the sources that the base has.
pub(crate) fn name_mirrors(plan: &mut Plan, mirrors: &Mirrors) {
    for step in plan.stages.iter_mut().flat_map(|stage| &mut stage.steps) {
        if let Step::Repository(repository) = step {
            repository.in_image = mirrors.in_image(&repository.url);
        }
    }
    let script = packages::rename_sources(plan.os.family, &mirrors.all_in_image());
    if let (Some(script), Some(last)) = (script, plan.stages.last_mut()) {
        let purpose = script.purpose.to_owned();
        last.steps.push(Step::Script(ScriptStep { purpose, text: script.text, network: false }));
    }
}
