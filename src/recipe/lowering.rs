//! What is collected on the way from recipes to a plan.

use std::collections::BTreeMap;
use std::ops::Range;

use super::content::Content;
use super::error::RecipeError;
use super::model::RecipeFile;
use super::parse::Source;
use super::values::Values;
use super::when::{Situation, When};
use super::{StageName, Step};
use crate::check::Check;
use crate::digest::Digest;
use crate::toml_text::{Place, did_you_mean, nearest};

/// A file of the host, relative to the recipe that names it.
pub(super) fn beside(at: &At<'_>, file: &str) -> Result<Content, RecipeError> {
    match &at.source.dir {
        Some(dir) => Lowering::host_file(&dir.join(file))
            .map_err(|source| RecipeError::Read { recipe: at.source.name().to_owned(), source }),
        None => Err(at.error(format!("an embedded recipe cannot name a file of the host (`{file}`)"))),
    }
}

/// Where an item stands: which recipe, which line.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) source: &'a Source,
    /// Position of the recipe among those that count.
    pub(super) index: usize,
    pub(super) span: Range<usize>,
}

impl At<'_> {
    /// An error about the item.
    pub(super) fn error(&self, message: impl Into<String>) -> RecipeError {
        RecipeError::Invalid { place: self.source.place(&self.span), message: message.into() }
    }

    /// Where it stands, for messages.
    pub(super) fn place(&self) -> Place {
        self.source.place(&self.span)
    }

    /// The stage of the item's recipe.
    pub(super) fn stage(&self) -> StageName {
        self.source.file.stage
    }
}

/// A step and what it is about.
pub(super) struct Entry {
    key: String,
    index: usize,
    pub(super) stage: StageName,
    pub(super) step: Step,
}

/// A package that is to be installed or removed.
pub(super) struct Package {
    pub(super) stage: StageName,
    pub(super) text: String,
    pub(super) install: bool,
    /// What it recommends is wanted, too.
    pub(super) recommends: bool,
    pub(super) place: Place,
}

/// Everything collected on the way to a plan.
pub(super) struct Lowering<'a> {
    pub(super) sources: &'a [Source],
    pub(super) values: &'a Values,
    pub(super) now: Situation<'a>,
    pub(super) entries: Vec<Entry>,
    pub(super) packages: BTreeMap<String, Package>,
    pub(super) debconf: BTreeMap<StageName, Vec<(String, Place)>>,
    /// Variables for the scripts of packages.
    pub(super) environment: BTreeMap<StageName, BTreeMap<String, String>>,
    pub(super) checks: Vec<Check>,
    pub(super) notes: Vec<String>,
}

impl<'a> Lowering<'a> {
    /// All items of one kind that count, in order. A condition on an option that does not exist is an error, not one that
    /// never holds.
    pub(super) fn each<T>(
        &self,
        pick: impl Fn(&'a RecipeFile) -> &'a [toml::Spanned<T>],
        when: impl Fn(&'a T) -> Option<&'a When>,
    ) -> Result<Vec<(At<'a>, &'a T)>, RecipeError> {
        let sources: &'a [Source] = self.sources;
        let mut found = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            for item in pick(&source.file) {
                let at = At { source, index, span: item.span() };
                if self.counts(&at, when(item.get_ref()))? {
                    found.push((at, item.get_ref()));
                }
            }
        }
        Ok(found)
    }

    /// Whether an item counts.
    pub(super) fn counts(&self, at: &At<'_>, condition: Option<&When>) -> Result<bool, RecipeError> {
        if let Some(name) = condition.and_then(|when| when.unknown_option(self.now.options)) {
            let near = nearest(name, self.now.options.keys().map(String::as_str));
            return Err(at.error(format!("there is no option `{name}`{}", did_you_mean(near.as_deref()))));
        }
        Ok(condition.is_none_or(|when| when.holds(&self.now)))
    }

    /// A value with its templates filled in.
    pub(super) fn text(&self, at: &At<'_>, key: &str, text: &str) -> Result<String, RecipeError> {
        self.values.render(text).map_err(|fault| at.error(format!("`{key}`: {fault}")))
    }

    /// A list of values with their templates filled in.
    pub(super) fn texts(&self, at: &At<'_>, key: &str, texts: &[String]) -> Result<Vec<String>, RecipeError> {
        texts.iter().map(|text| self.text(at, key, text)).collect()
    }

    /// Adds a step about the thing that `key` names, in the place of one from an earlier recipe.
    pub(super) fn put(&mut self, at: &At<'_>, key: String, step: Step) -> Result<(), RecipeError> {
        if self.entries.iter().any(|entry| entry.key == key && entry.index == at.index) {
            return Err(at.error(format!("{key} is in this recipe twice")));
        }
        self.entries.retain(|entry| entry.key != key);
        self.entries.push(Entry { key, index: at.index, stage: at.stage(), step });
        Ok(())
    }

    /// Adds a step that tib adds by itself.
    pub(super) fn push(&mut self, stage: StageName, step: Step) {
        self.entries.push(Entry { key: String::new(), index: usize::MAX, stage, step });
    }

    /// A file of the host that the recipe or the request names.
    pub(super) fn host_file(path: &std::path::Path) -> std::io::Result<Content> {
        let bytes = fs_err::read(path)?;
        Ok(Content::Host {
            path: std::path::absolute(path)?,
            sha256: Digest::of(&bytes),
            size: bytes.len() as u64,
        })
    }
}
