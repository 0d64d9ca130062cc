//! The catalogue: which images their makers publish, where, and how to tell that they are genuine.
//!
//! Entries are data, `base-images/*.toml`; a user's directories come before them. `docs/base-images.md` says what is
//! in an entry and how to write one.

mod check;
mod embedded;
mod error;
mod image;
mod model;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::toml_text;

pub use check::CatalogueProblem;
pub use error::CatalogueError;
pub use image::{ImageSource, beside};
pub use model::{CatalogueEntry, Checksums, Key, LocalOnly, Os, Pin, Place, Signature, SignatureKind};

use model::CatalogueFile;

/// Which build of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// What the name alone stands for: the newest where the maker signs, else the newest whose digest is known.
    Default,
    /// The newest there is.
    Newest,
    /// The one with this version.
    Pinned(String),
}

/// All entries there are.
#[derive(Debug, Clone)]
pub struct Catalogue {
    entries: Vec<CatalogueEntry>,
    keys: Vec<Key>,
}

impl Catalogue {
    /// Reads the entries in `dirs` and the embedded ones. Of two with the same id the first counts.
    ///
    /// # Errors
    /// [`CatalogueError`], with file and line.
    pub fn load(dirs: &[PathBuf]) -> Result<Self, CatalogueError> {
        let mut catalogue = Self { entries: Vec::new(), keys: Vec::new() };
        for dir in dirs {
            let failed = |source| CatalogueError::Read { source };
            let mut paths = fs_err::read_dir(dir)
                .and_then(|entries| {
                    entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
                })
                .map_err(failed)?;
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
            paths.sort();
            for path in paths {
                let text = fs_err::read_to_string(&path).map_err(failed)?;
                catalogue.add(&path.display().to_string(), &text)?;
            }
        }
        for (name, text) in embedded::EMBEDDED {
            catalogue.add(&format!("base-images/{name}.toml"), text)?;
        }
        catalogue.entries.sort_by_cached_key(|entry| sort_key(&entry.id));
        Ok(catalogue)
    }

    /// The entries of one text alone, as [`load`](Self::load) reads a file.
    ///
    /// # Errors
    /// [`CatalogueError`], with the line.
    pub fn from_text(origin: &str, text: &str) -> Result<Self, CatalogueError> {
        let mut catalogue = Self { entries: Vec::new(), keys: Vec::new() };
        catalogue.add(origin, text)?;
        Ok(catalogue)
    }

    fn add(&mut self, origin: &str, text: &str) -> Result<(), CatalogueError> {
        let file: CatalogueFile = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| toml_text::line_of(text, span.start));
            CatalogueError::Invalid {
                file: origin.to_owned(),
                line,
                message: toml_text::reword(error.message()),
            }
        })?;
        for mut entry in file.image {
            if !self.entries.iter().any(|known| known.id == entry.id) {
                entry.origin = origin.to_owned();
                self.entries.push(entry);
            }
        }
        for key in file.key {
            if !self.keys.iter().any(|known| known.fingerprint == key.fingerprint) {
                self.keys.push(key);
            }
        }
        Ok(())
    }

    /// All of them, by distribution and release.
    pub fn entries(&self) -> &[CatalogueEntry] {
        &self.entries
    }

    /// The entry with this id, or with this other name.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`].
    pub fn find(&self, name: &str) -> Result<&CatalogueEntry, CatalogueError> {
        let by_id = self.entries.iter().find(|entry| entry.id == name);
        let found = by_id
            .or_else(|| self.entries.iter().find(|entry| entry.aliases.iter().any(|alias| alias == name)));
        found.ok_or_else(|| {
            let names =
                self.entries.iter().flat_map(|entry| std::iter::once(&entry.id).chain(&entry.aliases));
            CatalogueError::NotFound {
                name: name.to_owned(),
                near: toml_text::nearest(name, names.map(String::as_str)),
            }
        })
    }

    /// The keys whose signatures count for an entry.
    pub fn keys(&self, entry: &CatalogueEntry) -> Vec<&Key> {
        let pins = entry.signature.as_ref().map_or(&[][..], |signature| &signature.keys);
        self.keys.iter().filter(|key| pins.contains(&key.fingerprint)).collect()
    }

    /// Looks for mistakes in the form of all entries.
    pub fn check(&self) -> Vec<CatalogueProblem> {
        check::check(self)
    }
}

/// Distribution first, then its releases as numbers.
fn sort_key(id: &str) -> (String, Vec<u32>) {
    let (name, release) = id.rsplit_once('-').unwrap_or((id, ""));
    (name.to_owned(), release.split('.').filter_map(|number| number.parse().ok()).collect())
}

/// The JSON Schema of a file of the catalogue.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(CatalogueFile).to_value()
}
