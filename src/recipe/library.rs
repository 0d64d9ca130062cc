//! Where recipes are found, and how they extend each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::artifact_items;
use super::container_steps;
use super::embedded::EMBEDDED;
use super::error::RecipeError;
use super::parse::Source;
use super::{ArtifactStep, Contract, EmbedContainer, GivenArtifact, Plan, Request, lower, values};
use crate::distro::OsRelease;
use crate::given;
use crate::shown::escape;
use crate::toml_text::Place;
use crate::toml_text::nearest;

/// All recipes there are: those in the user's directories, and the embedded ones.
#[derive(Debug, Clone, Default)]
pub struct Library {
    dirs: Vec<PathBuf>,
}

/// A recipe in a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// What it makes, in one line.
    pub summary: String,
    /// The file it comes from; embedded ones are in `recipes/`.
    pub origin: String,
    /// Whether it is only there for others to extend: a part of them, and no image that anybody would want by itself.
    pub part: bool,
}

/// A recipe with all it extends.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What it extends first, itself last; each once.
    sources: Vec<Source>,
}

/// An option of a recipe, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OptionInfo {
    /// Its name, as `--set` takes it.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The only values it can have; any, if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Its value on an operating system when nobody sets one.
    pub default: Option<String>,
}

/// What makes a recipe the same one: its directory, if it is not embedded, and its name.
type Identity = (Option<PathBuf>, String);

struct Found {
    origin: String,
    dir: Option<PathBuf>,
    text: String,
}

impl Library {
    /// Recipes in `dirs`, the first of which comes first, and after them the embedded ones.
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs }
    }

    /// All recipes, by name.
    ///
    /// # Errors
    /// [`RecipeError`] if a directory or a recipe in it cannot be read.
    pub fn list(&self) -> Result<Vec<Summary>, RecipeError> {
        let names = self.names()?.into_iter().filter_map(|name| self.find(&name, None).transpose());
        let sources = names.map(|found| found?.parse()).collect::<Result<Vec<_>, _>>()?;
        let extended: BTreeSet<String> = sources
            .iter()
            .flat_map(|source| &source.file.extends)
            .map(|name| name.get_ref().clone())
            .collect();
        let summary = |source: &Source| Summary {
            name: source.name().to_owned(),
            summary: source.file.summary.clone(),
            // Whoever extends an image makes another one of it. An image is for a database, or for containers of them.
            part: extended.contains(source.name())
                && source.file.datastore.is_none()
                && source.file.contract != Some(Contract::Container),
            origin: source.origin.clone(),
        };
        Ok(sources.iter().map(summary).collect())
    }

    /// Reads a recipe and all it extends. What contains a `/` or ends in `.toml` is a file; beside it, the
    /// recipes it extends are looked for first.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn load(&self, name_or_path: &str) -> Result<Recipe, RecipeError> {
        let found = self.locate(name_or_path)?;
        let mut sources = Vec::new();
        self.gather(found.parse()?, &mut Vec::new(), &mut sources)?;
        Ok(Recipe { sources })
    }

    /// The text of a recipe, as it was written.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn text(&self, name_or_path: &str) -> Result<String, RecipeError> {
        Ok(self.locate(name_or_path)?.text)
    }

    fn locate(&self, name_or_path: &str) -> Result<Found, RecipeError> {
        if name_or_path.contains('/') || name_or_path.ends_with(".toml") {
            return read(Path::new(name_or_path), name_or_path);
        }
        match self.find(name_or_path, None)? {
            Some(found) => Ok(found),
            None => Err(self.not_found(name_or_path, None)),
        }
    }

    /// Adds `source` after all that it extends. `chain` is the way that led to it.
    fn gather(
        &self,
        source: Source,
        chain: &mut Vec<Identity>,
        done: &mut Vec<Source>,
    ) -> Result<(), RecipeError> {
        let identity = (source.dir.clone(), source.name().to_owned());
        if done.iter().any(|earlier| earlier.dir == identity.0 && earlier.name() == identity.1) {
            return Ok(());
        }
        let start = chain.iter().position(|earlier| *earlier == identity);
        chain.push(identity);
        if let Some(start) = start {
            return Err(RecipeError::Cycle(chain.drain(start..).map(|(_, name)| name).collect()));
        }
        for parent in &source.file.extends {
            let found = self.find(parent.get_ref(), source.dir.as_deref())?;
            let found =
                found.ok_or_else(|| self.not_found(parent.get_ref(), Some(source.place(&parent.span()))))?;
            self.gather(found.parse()?, chain, done)?;
        }
        chain.pop();
        done.push(source);
        Ok(())
    }

    /// Looks for a recipe beside the one that wants it, in the user's directories, among the embedded ones.
    fn find(&self, name: &str, beside: Option<&Path>) -> Result<Option<Found>, RecipeError> {
        if !is_name(name) {
            return Ok(None);
        }
        for dir in beside.into_iter().chain(self.dirs.iter().map(PathBuf::as_path)) {
            let path = dir.join(format!("{name}.toml"));
            if path.is_file() {
                return read(&path, name).map(Some);
            }
        }
        Ok(EMBEDDED.iter().find(|(known, _)| *known == name).map(|(name, text)| Found {
            origin: format!("recipes/{name}.toml"),
            dir: None,
            text: (*text).to_owned(),
        }))
    }

    fn names(&self) -> Result<Vec<String>, RecipeError> {
        let mut names: Vec<_> = EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
        for dir in &self.dirs {
            let read = |source| RecipeError::Read { recipe: "*".to_owned(), source };
            for entry in fs_err::read_dir(dir).map_err(read)? {
                let path = entry.map_err(read)?.path();
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                if path.extension().is_some_and(|extension| extension == "toml") {
                    names.extend(stem.filter(|stem| is_name(stem)).map(str::to_owned));
                }
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn not_found(&self, name: &str, from: Option<Place>) -> RecipeError {
        // A directory that cannot be read must not hide that the recipe is not there.
        let known = self.names().unwrap_or_default();
        let near = nearest(name, known.iter().map(String::as_str));
        RecipeError::NotFound { name: name.to_owned(), from, near, known }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn read(path: &Path, recipe: &str) -> Result<Found, RecipeError> {
    let failed = |source| RecipeError::Read { recipe: recipe.to_owned(), source };
    let text = given::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => RecipeError::NoFile(recipe.to_owned()),
        _ => failed(source),
    })?;
    let absolute = std::path::absolute(path).map_err(failed)?;
    let dir = absolute.parent().map(Path::to_owned);
    Ok(Found { origin: path.display().to_string(), dir, text })
}

impl Found {
    fn parse(self) -> Result<Source, RecipeError> {
        let source = Source::parse(self.origin, self.dir, self.text)?;
        let stem = Path::new(&source.origin).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if source.name() == stem {
            return Ok(source);
        }
        let message = format!("the recipe calls itself `{}`, its file `{stem}`", escape(source.name()));
        Err(RecipeError::Invalid { place: source.place(&source.file.name.span()), message })
    }
}

impl Recipe {
    /// A recipe that is only text, called `name`; what it extends is embedded.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn from_text(name: &str, text: &str) -> Result<Self, RecipeError> {
        let found = Found { origin: format!("{name}.toml"), dir: None, text: text.to_owned() };
        let mut sources = Vec::new();
        Library::default().gather(found.parse()?, &mut Vec::new(), &mut sources)?;
        Ok(Self { sources })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.last().name()
    }

    /// What it makes, in one line.
    pub fn summary(&self) -> &str {
        &self.last().file.summary
    }

    /// More about it, if its author wrote more.
    pub fn description(&self) -> Option<&str> {
        self.last().file.description.as_deref()
    }

    /// The catalogue's image it is best made from: its own word, or that of what it extends.
    pub fn base(&self) -> Option<&str> {
        self.sources.iter().rev().find_map(|source| source.file.base.as_deref())
    }

    /// Its options, by name, with the values that hold on `os`.
    pub fn options(&self, os: &OsRelease) -> Vec<OptionInfo> {
        let defaults = values::defaults(&self.sources, os);
        let mut options = BTreeMap::new();
        for (name, setting) in self.sources.iter().flat_map(|source| &source.file.options) {
            let default = defaults.get(name).cloned().flatten();
            let values = setting.values.clone();
            let info =
                OptionInfo { name: name.clone(), description: setting.description.clone(), values, default };
            options.insert(name, info);
        }
        options.into_values().collect()
    }

    /// Checks that all `settings` name options, which needs no operating system yet.
    ///
    /// # Errors
    /// [`RecipeError::UnknownOption`].
    pub fn check_settings(&self, settings: &BTreeMap<String, String>) -> Result<(), RecipeError> {
        let names = self.sources.iter().flat_map(|source| source.file.options.keys());
        let names: BTreeSet<&str> = names.map(String::as_str).collect();
        values::check_names(self.name(), names.iter().copied(), settings)
    }

    /// Checks that containers can be embedded, and each once, which needs no operating system yet.
    ///
    /// # Errors
    /// [`RecipeError::NoContainers`], [`RecipeError::EmbedContainer`].
    pub fn check_containers(&self, wanted: &[EmbedContainer]) -> Result<(), RecipeError> {
        let contract = self.sources.iter().rev().find_map(|source| source.file.contract);
        container_steps::check(wanted.iter().map(|asked| asked.name.familiar()), contract, self.name())
    }

    /// What it leaves to a person to bring, wherever it counts: name, description and licence, as they are written.
    pub fn artifacts(&self) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
        let all: BTreeMap<_, _> = self.sources.iter().flat_map(|source| &source.file.artifact).collect();
        all.into_iter().map(|(name, item)| {
            let item = item.get_ref();
            (name.as_str(), item.description.as_str(), item.license.as_deref())
        })
    }

    /// Checks what is given for artifacts as far as that needs no operating system: all names, and that what is certain to be
    /// needed is there and its licence accepted.
    ///
    /// # Errors
    /// [`RecipeError::UnknownArtifact`], [`RecipeError::ArtifactText`], [`RecipeError::MissingArtifact`],
    /// [`RecipeError::License`].
    pub fn check_artifacts(
        &self,
        given: &[GivenArtifact],
        settings: &BTreeMap<String, String>,
    ) -> Result<(), RecipeError> {
        artifact_items::check_given(&self.sources, self.name(), given, settings)
    }

    /// Checks that an artifact of a plan that is to be built can be had.
    ///
    /// # Errors
    /// [`RecipeError::MissingArtifact`], [`RecipeError::License`].
    pub fn demand(&self, step: &ArtifactStep, is_given: bool) -> Result<(), RecipeError> {
        artifact_items::demand(step, self.name(), is_given)
    }

    /// Resolves the recipe for one operating system.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn plan(&self, request: &Request<'_>) -> Result<Plan, RecipeError> {
        lower::plan(&self.sources, self.last(), request)
    }

    fn last(&self) -> &Source {
        self.sources.last().expect("a recipe is the last of its own sources")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, FileStep, Step};
    use super::*;
    use crate::distro::well_known;
    use crate::error::{Diagnose, Exit};

    fn write(dir: &Path, name: &str, text: &str) {
        fs_err::write(
            dir.join(format!("{name}.toml")),
            format!("name = \"{name}\"\nsummary = \"s\"\n{text}"),
        )
        .unwrap();
    }

    #[test]
    fn a_library_looks_in_its_directories_first() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "mine", "extends = ['redis']\n[[file]]\npath = '/a'\nsource = 'a.txt'");
        write(dir.path(), "redis", "");
        fs_err::write(dir.path().join("a.txt"), "hello").unwrap();
        let library = Library::new(vec![dir.path().to_owned()]);
        let names: Vec<_> = library.list().unwrap().into_iter().map(|recipe| recipe.name).collect();
        let mut known: Vec<_> = EMBEDDED.iter().map(|(name, _)| *name).chain(["mine"]).collect();
        known.sort_unstable();
        assert_eq!(names, known, "each once, also one that is there twice");
        let os = well_known("debian-12").unwrap();
        let plan = library.load("mine").unwrap().plan(&Request::new(&os)).unwrap();
        let [Step::File(FileStep { content: Content::Host { path, sha256, size }, .. })] =
            plan.stages[0].steps.as_slice()
        else {
            panic!("the embedded redis came first: {:?}", plan.stages);
        };
        assert_eq!((path, *size), (&dir.path().join("a.txt"), 5));
        assert_eq!(sha256.to_string(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        // By path, parents are looked for beside the file even when its directory is not in the library.
        let by_path = dir.path().join("mine.toml");
        let recipe = Library::default().load(by_path.to_str().unwrap()).unwrap();
        assert_eq!(recipe.plan(&Request::new(&os)).unwrap().stages, plan.stages);
        let error = library.load("mnie").unwrap_err();
        assert_eq!(error.to_string(), "there is no recipe `mnie`; did you mean `mine`?");
    }

    #[test]
    fn the_nearest_recommended_base_counts() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "silent", "extends = ['mine']");
        write(dir.path(), "mine", "extends = ['redis']\nbase = 'ubuntu-24.04'");
        write(dir.path(), "alone", "");
        let library = Library::new(vec![dir.path().to_owned()]);
        for (name, base) in [("silent", Some("ubuntu-24.04")), ("redis", Some("debian-12")), ("alone", None)]
        {
            assert_eq!(library.load(name).unwrap().base(), base, "{name}");
        }
    }

    #[test]
    fn circles_are_named_in_full() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "start", "extends = ['a']");
        write(dir.path(), "a", "extends = ['common', 'b']");
        write(dir.path(), "b", "extends = ['a']");
        write(dir.path(), "self", "extends = ['self']");
        let library = Library::new(vec![dir.path().to_owned()]);
        for (name, circle) in [("start", "a -> b -> a"), ("self", "self -> self")] {
            let error = library.load(name).unwrap_err();
            assert_eq!(error.to_string(), format!("recipes extend each other in a circle: {circle}"));
            assert_eq!(error.exit(), Exit::Recipe);
        }
    }

    #[test]
    fn a_recipe_counts_once_however_often_it_is_extended() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "top", "extends = ['left', 'right']");
        write(dir.path(), "left", "extends = ['base']");
        write(dir.path(), "right", "extends = ['base']\n[[file]]\npath = '/a'\ntext = 'right'");
        write(dir.path(), "base", "[[file]]\npath = '/a'\ntext = 'base'\n[[file]]\npath = '/b'\ntext = ''");
        let recipe = Library::new(vec![dir.path().to_owned()]).load("top").unwrap();
        let names: Vec<_> = recipe.sources.iter().map(Source::name).collect();
        assert_eq!(names, ["base", "left", "right", "top"]);
        let os = well_known("debian-12").unwrap();
        let plan = recipe.plan(&Request::new(&os)).unwrap();
        let files: Vec<_> = plan.stages[0].steps.iter().map(Step::summary).collect();
        assert_eq!(files, ["file /b (0644 root)", "file /a (0644 root)"]);
    }
}
