//! The plan for people.

use super::Plan;
use crate::shown::Text;

/// The plan as text: stages with their steps, one line each, then what is checked and what to know.
pub fn render(plan: &Plan) -> Text {
    let mut text = Text::default();
    text.line(format!("{} on {} ({})", plan.recipe, plan.os.label(), plan.os.arch));
    for stage in &plan.stages {
        text.blank();
        text.line(stage.name.name());
        for step in &stage.steps {
            text.line(format!("  {}", step.summary()));
        }
    }
    text.blank();
    text.line("seal");
    text.line("  identities, caches and logs removed; the image is opened again and checked");
    for rule in &plan.identities {
        text.line(format!("  remove {} ({}): {}", rule.path, rule.what, rule.renewed));
    }
    text.blank();
    text.line(format!("checks: {}", plan.checks.len()));
    text.line(format!("space: {} MiB beyond the base", plan.needs >> 20));
    for artifact in plan.artifacts() {
        if let Some(license) = &artifact.license {
            text.line(format!("not to be passed on: {} is under {license}", artifact.name));
        }
    }
    for warning in &plan.warnings {
        text.line(format!("warning: {warning}"));
    }
    for note in &plan.notes {
        text.line(format!("note: {note}"));
    }
    text
}
