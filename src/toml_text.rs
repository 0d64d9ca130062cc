//! Words for what is wrong with a file that a person wrote.

use std::fmt;

/// A line of a recipe file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as a person knows it: `recipes/common.toml` for an embedded one, else its path.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The line, from 1, that a byte of a text is in.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// serde's messages in the words of a person who writes TOML, with a suggestion in the place of a long list.
pub(crate) fn reword(message: &str) -> String {
    let unknown = message.strip_prefix("unknown field ");
    if let Some(name) = unknown.and_then(|rest| rest.strip_suffix(", there are no fields")) {
        return format!("unknown key {name}; there are none here");
    }
    for (start, what) in [("unknown field ", "key"), ("unknown variant ", "value")] {
        let Some((name, expected)) =
            message.strip_prefix(start).and_then(|rest| rest.split_once(", expected "))
        else {
            continue;
        };
        let name = name.trim_matches('`');
        let known: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
        return match nearest(name, known.iter().copied()) {
            Some(near) => format!("unknown {what} `{name}`{}", did_you_mean(Some(&near))),
            None => format!("unknown {what} `{name}`; it can be {}", known.join(", ")),
        };
    }
    message.replace("missing field", "missing key").lines().collect::<Vec<_>>().join(", ")
}

/// Says which name was probably meant; empty if none comes near.
pub(crate) fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The candidate that comes nearest to `name`, if it comes near at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
