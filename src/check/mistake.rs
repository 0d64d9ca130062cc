//! Where in a file a check is wrong. serde reads all keys of a check before it knows which kind it is, and then has
//! forgotten where they stood.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Check;
use crate::toml_text::reword;

/// Names of the list of checks.
const LISTS: [&str; 2] = ["check", "checks"];

/// What is wrong with a check, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where the key begins, or the check when a key is missing.
    pub(crate) at: usize,
    /// serde's words.
    pub(crate) raw: String,
    /// Ours, with the key.
    pub(crate) message: String,
}

/// The first check in a file that cannot be read; `None` if all can, or if the file is no TOML.
pub(crate) fn first_mistake(text: &str) -> Option<Mistake> {
    let (spans, values) = (DeTable::parse(text).ok()?.into_inner(), text.parse::<toml::Table>().ok()?);
    let mut found = Vec::new();
    for (key, value) in in_order(&spans) {
        let name = key.get_ref().as_ref();
        if !LISTS.contains(&name) {
            continue;
        }
        let (DeValue::Array(spans), Some(toml::Value::Array(values))) = (value.get_ref(), values.get(name))
        else {
            let message = format!("`{name}` is not a list: write `[[{name}]]` above the keys of each check");
            return Some(Mistake { at: key.span().start, raw: String::new(), message });
        };
        found.extend(spans.iter().zip(values).find_map(|(spans, value)| of_check(spans, value)));
    }
    found.into_iter().min_by_key(|mistake| mistake.at)
}

fn of_check(spans: &Spanned<DeValue<'_>>, value: &toml::Value) -> Option<Mistake> {
    let (DeValue::Table(keys), toml::Value::Table(values)) = (spans.get_ref(), value) else { return None };
    // A recipe's condition is not the check's.
    let mut keys: Vec<_> = in_order(keys).into_iter().filter(|(key, _)| name(key) != "when").collect();
    // Nothing can be said of a key before the kind is known.
    keys.sort_by_key(|(key, _)| name(key) != "check");
    let mut so_far = toml::Table::new();
    let mut last = None;
    for (key, _) in keys {
        so_far.insert(name(key).to_owned(), values.get(name(key))?.clone());
        last = so_far.clone().try_into::<Check>().err().map(|error| error.message().to_owned());
        if let Some(raw) = last.take_if(|raw| !raw.starts_with("missing field")) {
            let words = reword(&raw);
            let message =
                if raw.starts_with("unknown field") { words } else { format!("`{}`: {words}", name(key)) };
            return Some(Mistake { at: key.span().start, raw, message });
        }
    }
    if so_far.is_empty() {
        last = Some("missing field `check`".to_owned());
    }
    last.map(|raw| Mistake { at: spans.span().start, message: reword(&raw), raw })
}

fn name<'a>(key: &'a Spanned<toml::de::DeString<'_>>) -> &'a str {
    key.get_ref().as_ref()
}

type Entry<'a, 'i> = (&'a Spanned<toml::de::DeString<'i>>, &'a Spanned<DeValue<'i>>);

/// The keys of a table as they stand in the file.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Where an error is and what it says, for a file that holds checks among other things.
pub(crate) fn located(text: &str, error: &toml::de::Error) -> (usize, String) {
    let span: Range<usize> = error.span().unwrap_or_default();
    match first_mistake(text) {
        // Only if the error is about that check, and not about something that stands before it.
        Some(mistake) if mistake.raw.is_empty() || mistake.raw == error.message() => {
            (mistake.at, mistake.message)
        }
        _ => (span.start, reword(error.message())),
    }
}
