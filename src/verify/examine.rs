//! Everything tib looks at in one image, in one report.

use std::path::Path;

use crate::disk::Tree;
use crate::recipe::Check;

use super::{CheckGroup, CheckResult, Report, VerifyError, contract, detect_os, run_checks, sealing};

/// Checks an image: that it holds an operating system, what its recipe asks, what `further` checks ask, and that it
/// is sealed.
pub fn report(tree: &mut dyn Tree, image: &Path, recipe: &[Check], further: &[Check]) -> Report {
    let mut report = Report::new(image);
    let os = detect_os(tree);
    if let Ok(os) = &os {
        report.facts = vec![("Operating system", os.pretty.clone()), ("Processor", os.arch.to_string())];
    }
    let title = "it holds an operating system that tib knows";
    match os {
        Ok(os) => {
            report.results.push(CheckResult::new(CheckGroup::Image, title, Ok(None)));
            report.results.extend(contract(tree));
            report.results.extend(run_checks(tree, Some(os.family), recipe, further));
            report.results.extend(sealing(tree, os.family));
        }
        Err(error) => {
            let error = VerifyError::Unsupported { what: "the operating system", reason: error.to_string() };
            report.results.push(CheckResult::new(CheckGroup::Image, title, Err(error)));
            // Much can be asked of a system that tib does not know.
            report.results.extend(run_checks(tree, None, recipe, further));
        }
    }
    report
}
