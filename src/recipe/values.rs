//! The values of a recipe's options, and templates that use them.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use super::error::RecipeError;
use super::parse::Source;
use super::text::{did_you_mean, nearest};
use crate::os::OsRelease;

/// What a template can name: the recipe's options, and `os`.
#[derive(Debug)]
pub(super) struct Values {
    environment: Environment<'static>,
    names: BTreeMap<String, Value>,
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

impl Values {
    /// Decides the value of every option: what was set, else what the last recipe that speaks of it says.
    pub(super) fn new(
        sources: &[Source],
        recipe: &str,
        os: &OsRelease,
        settings: &BTreeMap<String, String>,
    ) -> Result<Self, RecipeError> {
        let mut options = BTreeMap::new();
        for source in sources {
            for (name, option) in &source.file.options {
                let default = option.default_on.get(&os.label()).or(option.default.as_ref());
                match default {
                    Some(value) => _ = options.insert(name.clone(), Some(value.clone())),
                    None => _ = options.entry(name.clone()).or_insert(None),
                }
            }
        }
        check_names(recipe, options.keys().map(String::as_str), settings)?;
        for (name, value) in settings {
            options.insert(name.clone(), Some(value.clone()));
        }
        let mut names = BTreeMap::new();
        for (name, value) in options {
            let Some(value) = value else {
                return Err(RecipeError::Unset { recipe: recipe.to_owned(), name, os: os.label() });
            };
            names.insert(name, Value::from(value));
        }
        names.insert("os".to_owned(), describe(os));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(syntax());
        // Jinja's values are Python's, and so are their methods.
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        Ok(Self { environment, names })
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
