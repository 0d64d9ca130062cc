//! Keys of configuration files: `key value`, `key = value`, with or without `[sections]`.

use std::collections::BTreeSet;

use super::{Found, show};
use crate::check::{ConfigCheck, Wins};
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{glob, is_masked};

/// The longest configuration file that is read.
const FILE_LIMIT: u64 = 4 << 20;

/// One assignment of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The section it stands in; `None` before the first one.
    section: Option<String>,
    /// The key, as it stands.
    key: String,
    /// The value, without quotes and comment; empty where there is none.
    value: String,
}

/// The assignments of a configuration file, in order.
pub(super) fn assignments(text: &[u8]) -> Vec<Assignment> {
    let mut section = None;
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[')
            && let Some((name, _)) = rest.split_once(']')
        {
            section = Some(name.trim().to_owned());
            continue;
        }
        let end = line.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(line.len());
        let (key, rest) = line.split_at(end);
        let rest = rest.trim_start();
        let value = unquoted(rest.strip_prefix('=').unwrap_or(rest).trim_start());
        found.push(Assignment { section: section.clone(), key: key.to_owned(), value });
    }
    found
}

/// A value without the quotes around it, or else without the comment after it.
fn unquoted(text: &str) -> String {
    for quote in ['"', '\''] {
        if let Some((value, _)) = text.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return value.to_owned();
        }
    }
    let comment =
        text.char_indices().find(|&(at, c)| c == '#' && (at == 0 || text[..at].ends_with([' ', '\t'])));
    text[..comment.map_or(text.len(), |(at, _)| at)].trim_end().to_owned()
}

/// A key or section as it is compared.
fn folded(name: &str) -> String {
    name.replace('-', "_").to_lowercase()
}

pub(super) fn check(tree: &mut dyn Tree, check: &ConfigCheck) -> Found {
    let files = files(tree, &check.path)?;
    if files.is_empty() {
        return Ok(Some("there is no such file".to_owned()));
    }
    let sections: BTreeSet<_> = check.section.iter().map(|name| folded(name)).collect();
    let key = folded(&check.key);
    let mut counts = None;
    for file in files {
        if is_masked(tree, &file)? {
            continue;
        }
        let text = tree.read(&file, FILE_LIMIT)?;
        let mut values = assignments(&text).into_iter().filter(|found| {
            folded(&found.key) == key
                && match &found.section {
                    Some(section) => sections.contains(&folded(section)),
                    None => sections.is_empty(),
                }
        });
        let value = match check.wins {
            Wins::First => values.next(),
            Wins::Last => values.next_back(),
        };
        if let Some(found) = value {
            counts = Some((file, found.value));
            if check.wins == Wins::First {
                break;
            }
        }
    }
    Ok(match (counts, check.set, &check.value) {
        (None, true, _) => Some("nothing sets it".to_owned()),
        (None, false, _) | (Some(_), true, None) => None,
        (Some((_, value)), true, Some(wanted)) if value == *wanted => None,
        (Some((file, value)), ..) => Some(format!("{} sets it to `{value}`", show(&file))),
    })
}

/// The files, in the order of the patterns; of one pattern, by name.
fn files(tree: &mut dyn Tree, patterns: &[String]) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut files = Vec::new();
    for pattern in patterns {
        for path in glob(tree, pattern.as_bytes())? {
            // A link that leads nowhere is an error, not a file without settings.
            if is_masked(tree, &path)? || tree.stat(&path)?.kind == FileKind::File {
                files.push(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_of_assignments() {
        for (line, expected) in [
            ("port 6379", Some(("port", "6379"))),
            ("port = 5432\t\t# (change requires restart)", Some(("port", "5432"))),
            ("port=3306", Some(("port", "3306"))),
            ("  Port   22  ", Some(("Port", "22"))),
            (
                "listen_addresses = 'localhost, 10.0.0.1' # all",
                Some(("listen_addresses", "localhost, 10.0.0.1")),
            ),
            ("requirepass \"a # b\"", Some(("requirepass", "a # b"))),
            ("save \"\"", Some(("save", ""))),
            ("color #ff0000", Some(("color", ""))),
            ("url http://a/#b", Some(("url", "http://a/#b"))),
            ("skip-networking", Some(("skip-networking", ""))),
            ("key = it's", Some(("key", "it's"))),
            ("# port 1", None),
            ("; port 1", None),
            ("   ", None),
            ("[mysqld]", None),
        ] {
            let found = assignments(line.as_bytes());
            let found = found.first().map(|found| (found.key.as_str(), found.value.as_str()));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn sections() {
        let found = assignments(b"a 1\n[ x ] # y\nb 2\n[mysqld]\nc=3\n");
        let found: Vec<_> = found.iter().map(|a| (a.section.as_deref(), a.key.as_str())).collect();
        assert_eq!(found, [(None, "a"), (Some("x"), "b"), (Some("mysqld"), "c")]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            assignments(&bytes);
        }

        #[test]
        fn any_lines_are_survived(text in "([a-zé]{0,3}[ =#\"'\\[\\]]{0,3}){0,12}") {
            for found in assignments(text.as_bytes()) {
                prop_assert!(text.contains(&found.value));
            }
        }
    }
}
