//! The lines of configuration files: `key value`, `key = value`, with or without `[sections]`.

/// One assignment of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify::checks) struct Assignment {
    /// The section it stands in; `None` before the first one.
    pub(super) section: Option<String>,
    /// The key, as it stands.
    pub(super) key: String,
    /// The value, without quotes and comment; empty where there is none.
    pub(super) value: String,
    /// What stands behind the key, as it stands.
    pub(super) rest: String,
}

/// The assignments of a configuration file, in order.
pub(in crate::verify::checks) fn assignments(text: &[u8]) -> Vec<Assignment> {
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
        let (section, key, rest) = (section.clone(), key.to_owned(), rest.to_owned());
        found.push(Assignment { section, key, value, rest });
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
pub(super) fn folded(name: &str) -> String {
    name.replace('-', "_").to_lowercase()
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
