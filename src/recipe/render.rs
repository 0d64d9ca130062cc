//! The plan for people.

use std::fmt::Write as _;

use super::{Plan, Step};

/// The plan as text: stages with their steps, one line each, then what is checked and what to know.
pub fn render(plan: &Plan) -> String {
    let mut text = format!("{} on {} ({})\n", plan.recipe, plan.os.label(), plan.os.arch);
    for stage in &plan.stages {
        text.push_str(&format!("\n{}\n", stage.name.name()));
        for step in &stage.steps {
            lines(&mut text, step);
        }
    }
    text.push_str("\nseal\n  identities, caches and logs removed; the image is opened again and checked\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\nchecks: {}", plan.checks.len());
    let _ = writeln!(text, "space: {} MiB beyond the base", plan.needs >> 20);
    for note in &plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn lines(text: &mut String, step: &Step) {
    let _ = writeln!(text, "  {}", step.summary());
}
