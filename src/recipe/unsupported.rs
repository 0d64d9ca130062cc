//! What a recipe knows that cannot be had.

use super::error::RecipeError;
use super::lowering::Lowering;
use crate::valid;

/// Refuses the first thing that is asked for and cannot be had.
pub(super) fn refuse(plan: &Lowering<'_>) -> Result<(), RecipeError> {
    let items = plan.each(|file| &file.unsupported, |item| Some(&item.when))?;
    let Some((at, item)) = items.into_iter().next() else { return Ok(()) };
    let line = |key: &str, text: &str| {
        plan.text(&at, key, text).and_then(|text| valid::line(text, key).map_err(|fault| at.error(fault)))
    };
    Err(RecipeError::Refused {
        recipe: at.source.name().to_owned(),
        because: line("unsupported.because", &item.because)?,
        instead: line("unsupported.instead", &item.instead)?,
    })
}
