//! Everything tib looks at in one image, in one report.

use std::path::Path;

use crate::check::Check;
use crate::disk::{Layout, Tree};
use crate::recipe::Plan;

use super::bootable::bootable;
use super::labels::labels;
use super::leftovers::leftovers;
use super::{Configuration, Known, agent, configuration, fstab, run_checks, sealing};
use crate::os::{ReadError, detect_os};
use crate::report::{CheckGroup, CheckResult, Report};

/// Checks an image: that it holds an operating system and can start, what its recipe's plan asks, what `further` checks
/// ask, that Trove's configuration files fit it, and that it is sealed.
pub fn examine(
    tree: &mut dyn Tree,
    image: &Path,
    layout: &Layout,
    plan: Option<&Plan>,
    further: &[Check],
    configuration: Option<&Configuration>,
) -> Report {
    let mut report = Report::new(image);
    let os = detect_os(tree);
    if let Ok(os) = &os {
        report.facts = vec![("Operating system", os.pretty.clone()), ("Processor", os.arch.to_string())];
    }
    let title = "it holds an operating system that tib knows";
    let recipe = plan.map_or(&[][..], |plan| &plan.checks);
    match os {
        Ok(os) => {
            report.results.push(CheckResult::new(CheckGroup::Image, title, Ok::<_, ReadError>(None)));
            let bootable = bootable(tree, layout, plan.is_none_or(|plan| plan.boots));
            report.facts.extend(bootable.facts);
            report.results.extend(bootable.results);
            report.results.extend(fstab::check(tree, layout, bootable.command_line.as_deref()));
            let found = agent(tree, &Known::of(plan, bootable.command_line.as_deref(), os.family));
            report.facts.push(("Guest agent", found.agent.unwrap_or_else(|| "none found".to_owned())));
            report.facts.extend(found.facts);
            report.warnings.extend(found.warnings);
            report.results.extend(found.results);
            if let Some(given) = configuration {
                let command_line = bootable.command_line.as_deref();
                let found = configuration::check(tree, found.subject.as_ref(), command_line, given);
                report.warnings.extend(found.warnings);
                report.results.extend(found.results);
            }
            let labelled = labels(tree);
            report.facts.extend(labelled.facts);
            report.results.extend(labelled.results);
            report.warnings.extend(labelled.warnings);
            let left = leftovers(tree);
            report.results.extend(left.results);
            report.warnings.extend(left.warnings);
            report.results.extend(run_checks(tree, Some(os.family), recipe, further));
            let rules = plan.map_or(&[][..], |plan| &plan.identities);
            report.results.extend(sealing(tree, os.family, rules));
            report.warnings.extend(relabels(tree));
        }
        Err(error) => {
            let error = ReadError::Unsupported { what: "the operating system", reason: error.to_string() };
            report.results.push(CheckResult::new(CheckGroup::Image, title, Err(error)));
            // Much can be asked of a system that tib does not know.
            report.results.extend(run_checks(tree, None, recipe, further));
        }
    }
    report
}

/// Everything is right afterwards, but every instance pays for it. Sealing takes it out where it sets the labels itself.
fn relabels(tree: &mut dyn Tree) -> Option<String> {
    let asked = tree.exists(b"/.autorelabel").is_ok_and(|there| there);
    asked.then(|| {
        "SELinux labels all files at the first boot, which then ends in a reboot (/.autorelabel): every instance takes \
         minutes longer to start"
            .to_owned()
    })
}

#[cfg(test)]
#[path = "examine_tests.rs"]
mod tests;
