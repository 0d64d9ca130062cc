//! The values of a recipe's options, and templates that use them.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use super::error::RecipeError;
use super::parse::Source;
use crate::distro::OsRelease;
use crate::toml_text::{did_you_mean, nearest};

/// What a template can name: the recipe's options, and `os`.
#[derive(Debug)]
pub(super) struct Values {
    environment: Environment<'static>,
    names: BTreeMap<String, Value>,
    options: BTreeMap<String, String>,
}

/// The value of every option when nobody sets one: what the last recipe that speaks of it says for this system. `None`
/// where none says anything.
pub(super) fn defaults(sources: &[Source], os: &OsRelease) -> BTreeMap<String, Option<String>> {
    let mut defaults = BTreeMap::new();
    for (name, option) in sources.iter().flat_map(|source| &source.file.options) {
        match option.default_on.get(&os.label()).or(option.default.as_ref()) {
            Some(value) => _ = defaults.insert(name.clone(), Some(value.clone())),
            None => _ = defaults.entry(name.clone()).or_insert(None),
        }
    }
    defaults
}

/// Refuses a setting that is none of the `known` options of `recipe`.
pub(super) fn check_names<'a>(
    recipe: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    settings: &BTreeMap<String, String>,
) -> Result<(), RecipeError> {
    match settings.keys().find(|name| known.clone().all(|option| option != name.as_str())) {
        None => Ok(()),
        Some(name) => Err(RecipeError::UnknownOption {
            recipe: recipe.to_owned(),
            name: name.clone(),
            near: nearest(name, known.clone()),
            known: known.map(str::to_owned).collect(),
        }),
    }
}

/// Refuses a value that is none of those that the last recipe which lists any allows.
fn check_value(sources: &[Source], recipe: &str, name: &str, value: &str) -> Result<(), RecipeError> {
    let settings = sources.iter().rev().filter_map(|source| source.file.options.get(name));
    match settings.map(|setting| &setting.values).find(|values| !values.is_empty()) {
        Some(values) if !values.iter().any(|known| known == value) => Err(RecipeError::UnknownValue {
            recipe: recipe.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            known: values.clone(),
        }),
        _ => Ok(()),
    }
}

impl Values {
    /// Decides the value of every option: what was set, else what the last recipe that speaks of it says.
    pub(super) fn new(
        sources: &[Source],
        recipe: &str,
        os: &OsRelease,
        settings: &BTreeMap<String, String>,
    ) -> Result<Self, RecipeError> {
        let defaults = defaults(sources, os);
        check_names(recipe, defaults.keys().map(String::as_str), settings)?;
        let mut options = BTreeMap::new();
        for (name, default) in defaults {
            let Some(value) = settings.get(&name).cloned().or(default) else {
                return Err(RecipeError::Unset { recipe: recipe.to_owned(), name, os: os.label() });
            };
            check_value(sources, recipe, &name, &value)?;
            options.insert(name, value);
        }
        let values = options.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let mut names: BTreeMap<String, Value> = values.collect();
        names.insert("os".to_owned(), describe(os));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(syntax());
        // Jinja's values are Python's, and so are their methods.
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        Ok(Self { environment, names, options })
    }

    /// The value of every option.
    pub(super) fn options(&self) -> &BTreeMap<String, String> {
        &self.options
    }

    /// Fills a template in. The error is a fragment that says what is wrong with it.
    pub(super) fn render(&self, text: &str) -> Result<String, String> {
        if !text.contains('{') {
            return Ok(text.to_owned());
        }
        let template = self.environment.template_from_str(text).map_err(|error| reason(&error))?;
        template.render(&self.names).map_err(|error| {
            if error.kind() != ErrorKind::UndefinedError {
                return reason(&error);
            }
            let undeclared = template.undeclared_variables(true);
            // Only a name that is missing as a whole can be named; `os.nothing` is one, `os` is not.
            let mut missing: Vec<_> = undeclared.into_iter().filter(|name| !self.has(name)).collect();
            missing.sort();
            match missing.first() {
                Some(name) => {
                    let near = nearest(name, self.names.keys().map(String::as_str));
                    format!("undefined variable `{name}`{}", did_you_mean(near.as_deref()))
                }
                None => reason(&error),
            }
        })
    }

    fn has(&self, dotted: &str) -> bool {
        let mut parts = dotted.split('.');
        let first = parts.next().and_then(|name| self.names.get(name)).cloned();
        parts
            .try_fold(first, |value, part| match value?.get_attr(part) {
                Ok(value) if !value.is_undefined() => Some(Some(value)),
                _ => None,
            })
            .flatten()
            .is_some()
    }
}

/// As Jinja has it, but the last newline of a file stays.
fn syntax() -> SyntaxConfig {
    // Only delimiters can be wrong, and these are the default ones.
    SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap_or_default()
}

fn describe(os: &OsRelease) -> Value {
    Value::from(BTreeMap::from([
        ("id", os.id.clone()),
        ("version", os.version.clone()),
        ("release", os.release().to_owned()),
        ("codename", os.codename.clone().unwrap_or_default()),
        ("family", os.family.name().to_owned()),
        ("arch", os.arch.name().to_owned()),
        ("debian_arch", os.arch.debian().to_owned()),
    ]))
}

fn reason(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
