//! From the items of `[[identity]]` to what sealing takes out.

use super::Step;
use super::error::RecipeError;
use super::identity::IdentityRule;
use super::lowering::Lowering;
use crate::valid;

/// Lowers the items; a path that a later recipe speaks of again is that one's.
pub(super) fn lower(plan: &mut Lowering<'_>) -> Result<Vec<IdentityRule>, RecipeError> {
    let mut rules: Vec<(usize, IdentityRule)> = Vec::new();
    for (at, item) in plan.each(|file| &file.identity, |item| item.when.as_ref())? {
        let line = |key: &str, text: &str| {
            plan.text(&at, key, text).and_then(|text| valid::line(text, key).map_err(|fault| at.error(fault)))
        };
        let what = line("identity.what", &item.what)?;
        let renewed = line("identity.renewed", &item.renewed)?;
        for path in plan.texts(&at, "identity.path", item.path.as_slice())? {
            let path = valid::removable(path).map_err(|fault| at.error(fault))?;
            if rules.iter().any(|(index, rule)| *index == at.index && rule.path == path) {
                return Err(at.error(format!("identity {path} is in this recipe twice")));
            }
            if let Some(step) = plan.entries.iter().map(|entry| &entry.step).find(|step| makes(step, &path)) {
                let step = step.summary();
                return Err(
                    at.error(format!("identity {path} would be removed, and a step makes it: {step}"))
                );
            }
            rules.retain(|(_, rule)| rule.path != path);
            let rule = IdentityRule { path, what: what.clone(), renewed: renewed.clone() };
            rules.push((at.index, rule));
        }
    }
    Ok(rules.into_iter().map(|(_, rule)| rule).collect())
}

/// Whether a step makes what a pattern matches, or something below that.
fn makes(step: &Step, pattern: &str) -> bool {
    let path = match step {
        Step::File(file) => &file.path,
        Step::Directory { path, .. } | Step::Link { path, .. } => path,
        _ => return false,
    };
    let mut names = path.split('/');
    pattern
        .split('/')
        .all(|part| names.next().is_some_and(|name| valid::name_matches(part.as_bytes(), name.as_bytes())))
}
