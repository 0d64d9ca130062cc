//! Whether entries make sense, as far as that can be said without asking anybody.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Catalogue, CatalogueEntry, Selection, SignatureKind};

/// Something wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogueProblem {
    /// The entry.
    pub id: String,
    /// The file it is from.
    pub file: String,
    /// What is wrong.
    pub message: String,
}

/// Sites that have no HTTPS.
const PLAIN_HTTP: [&str; 1] = ["vault.centos.org"];

pub(crate) fn check(catalogue: &Catalogue) -> Vec<CatalogueProblem> {
    let mut problems = Vec::new();
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in catalogue.entries() {
        let mut messages = entry_problems(entry);
        for name in std::iter::once(&entry.id).chain(&entry.aliases) {
            if let Some(other) = names.insert(name, &entry.id) {
                messages.push(format!("`{name}` also stands for `{other}`"));
            }
        }
        let known = catalogue.keys(entry);
        for pin in entry.signature.iter().flat_map(|signature| &signature.keys) {
            match known.iter().find(|key| key.fingerprint == *pin) {
                None => messages.push(format!("there is no `[[key]]` with the fingerprint {pin}")),
                Some(key) if key.urls.is_empty() => messages.push(format!("key {pin} has no `urls`")),
                Some(key) => messages.extend(key.urls.iter().filter_map(|url| url_problem(url))),
            }
        }
        problems.extend(messages.into_iter().map(|message| CatalogueProblem {
            id: entry.id.clone(),
            file: entry.origin.clone(),
            message,
        }));
    }
    problems
}

fn entry_problems(entry: &CatalogueEntry) -> Vec<String> {
    let mut messages = Vec::new();
    for name in std::iter::once(&entry.id).chain(&entry.aliases) {
        let good = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte));
        if !good || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            messages.push(format!("`{name}` is no good name: lower-case letters, digits, `-`, `.` and `_`"));
        }
    }
    if entry.arch.is_empty() {
        messages.push("it has no `arch`".to_owned());
    }
    if entry.extended_end_of_life.is_some_and(|day| day < entry.end_of_life) {
        messages.push("`extended_end_of_life` comes before `end_of_life`".to_owned());
    }
    let places = [&entry.newest, &entry.pinned].into_iter().flatten();
    if entry.local.is_some() {
        if places.count() > 0 {
            messages.push("it is `local` and has places to fetch it from".to_owned());
        }
        return messages;
    }
    if places.count() == 0 {
        messages.push("it has neither `newest` nor `pinned`".to_owned());
    }
    if entry.checksums.is_none() {
        messages.push("it has no `checksums`".to_owned());
    }
    match &entry.signature {
        None if entry.pin.is_empty() && entry.no_pin.is_none() => {
            messages.push("it has neither `signature` nor `pin`, and `no_pin` does not say why".to_owned());
        }
        Some(signature) if signature.keys.is_empty() => {
            messages.push("its `signature` has no `keys`".to_owned());
        }
        Some(signature) if signature.kind == SignatureKind::Detached && signature.file.is_none() => {
            messages.push("its detached `signature` has no `file`".to_owned());
        }
        _ => {}
    }
    if !entry.pin.is_empty() && entry.pinned.is_none() {
        messages.push("it has `pin`s and no `pinned` place".to_owned());
    }
    for arch in entry.arch.keys() {
        let mut selections = vec![Selection::Default];
        selections.extend(entry.newest.as_ref().map(|_| Selection::Newest));
        selections.extend(entry.pins(*arch).into_iter().map(|pin| Selection::Pinned(pin.version.clone())));
        for selection in selections {
            match entry.image(*arch, &selection) {
                Err(error) => messages.push(error.to_string()),
                Ok(image) => {
                    messages.extend(image.directories.iter().filter_map(|url| url_problem(url.as_str())));
                }
            }
        }
    }
    for pin in entry.pin.iter().filter(|pin| !entry.arch.contains_key(&pin.arch)) {
        messages.push(format!("`pin` {} is for {}, which it has no word for", pin.version, pin.arch));
    }
    messages.sort();
    messages.dedup();
    messages
}

fn url_problem(text: &str) -> Option<String> {
    match reqwest::Url::parse(text) {
        Err(error) => Some(format!("`{text}` is no URL: {error}")),
        Ok(url) if url.scheme() == "https" => None,
        Ok(url) if url.host_str().is_some_and(|host| PLAIN_HTTP.contains(&host)) => None,
        Ok(_) => Some(format!("`{text}` is not https")),
    }
}
