//! A file of checks, for images that have no recipe or need more than theirs.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Check;
use crate::recipe::RecipeError;
use crate::recipe::error::Place;
use crate::recipe::text::{line_of, reword};

/// A file of checks, for `tib verify --checks`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tib checks")]
pub struct CheckFile {
    /// The checks, as in a recipe. `checks` is another name for it.
    #[serde(alias = "checks")]
    #[schemars(with = "Vec<Check>")]
    check: Vec<Spanned<Check>>,
}

impl CheckFile {
    /// Reads a file of checks.
    ///
    /// # Errors
    /// [`RecipeError::ReadChecks`], or [`RecipeError::Invalid`] with the line of the first mistake.
    pub fn load(path: &Path) -> Result<Vec<Check>, RecipeError> {
        let text = fs_err::read_to_string(path).map_err(RecipeError::ReadChecks)?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of a file of checks; `origin` is what messages call it.
    ///
    /// # Errors
    /// [`RecipeError::Invalid`] with the line of the first mistake.
    pub fn parse(origin: &str, text: &str) -> Result<Vec<Check>, RecipeError> {
        let invalid = |start: usize, message: String| RecipeError::Invalid {
            place: Place { file: origin.to_owned(), line: line_of(text, start) },
            message,
        };
        let file: Self = toml::from_str(text)
            .map_err(|error| invalid(error.span().map_or(0, |span| span.start), reword(error.message())))?;
        if file.check.is_empty() {
            return Err(invalid(0, "the file holds no checks".to_owned()));
        }
        for check in &file.check {
            check.get_ref().validate().map_err(|fault| invalid(check.span().start, fault))?;
        }
        Ok(file.check.into_iter().map(Spanned::into_inner).collect())
    }
}
