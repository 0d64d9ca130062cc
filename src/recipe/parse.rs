//! From a recipe's text to its model, with errors that name the line.

use std::ops::Range;
use std::path::PathBuf;

use super::error::RecipeError;
use super::model::RecipeFile;
use crate::check::located;
use crate::toml_text::Place;
use crate::toml_text::line_of;

/// A recipe file that has been read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// What messages call it.
    pub(super) origin: String,
    /// Where files it names are; `None` for an embedded recipe, which cannot name any.
    pub(super) dir: Option<PathBuf>,
    pub(super) text: String,
    pub(super) file: RecipeFile,
}

impl Source {
    /// Reads `text`. How a checkout ends its lines does not matter: what goes into a guest has its own ends.
    pub(super) fn parse(origin: String, dir: Option<PathBuf>, text: String) -> Result<Self, RecipeError> {
        let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text };
        match toml::from_str(&text) {
            Ok(file) => Ok(Self { origin, dir, text, file }),
            Err(error) => {
                let (at, message) = located(&text, &error);
                Err(RecipeError::Invalid { place: Place { file: origin, line: line_of(&text, at) }, message })
            }
        }
    }

    /// The place of something that was read from this file.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        Place { file: self.origin.clone(), line: line_of(&self.text, span.start) }
    }

    /// The name the recipe gives itself.
    pub(super) fn name(&self) -> &str {
        self.file.name.get_ref()
    }
}
