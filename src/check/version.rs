//! Which versions of a package a check accepts.

use crate::shown::escape;

/// A wanted version, as a check writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionWanted {
    /// The beginning of it, without epoch: `10.11`.
    Beginning(String),
    /// Bounds that must all hold: `>=10.6, <11`.
    Bounds(Vec<Bound>),
}

/// One bound of a range of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// On which side of `version` it must be.
    pub relation: Relation,
    /// The version, by the rules of the image's package manager.
    pub version: String,
}

/// How a version must compare with a bound's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

/// Longer ones first.
const RELATIONS: [(&str, Relation); 6] = [
    (">=", Relation::GreaterOrEqual),
    ("<=", Relation::LessOrEqual),
    ("!=", Relation::NotEqual),
    (">", Relation::Greater),
    ("<", Relation::Less),
    ("=", Relation::Equal),
];

impl Relation {
    /// Whether it holds for a version that compares like this with the bound's.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Greater => ordering.is_gt(),
        }
    }
}

impl VersionWanted {
    /// Reads a check's `version`. The error is a fragment that says what is wrong with it.
    ///
    /// # Errors
    /// An empty text, a part without a sign among others with one, or what cannot be a version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let begins = |text: &str| text.trim_start().starts_with(['<', '>', '=', '!']);
        if text.trim().is_empty() {
            return Err("`version` is empty".to_owned());
        }
        if !begins(text) && !text.contains(',') {
            return is_version(text)
                .then(|| Self::Beginning(text.to_owned()))
                .ok_or_else(|| format!("`{}` is not a version", escape(text)));
        }
        text.split(',').map(Bound::parse).collect::<Result<_, _>>().map(Self::Bounds)
    }
}

impl Bound {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (relation, version) = RELATIONS
            .iter()
            .find_map(|(sign, relation)| Some((*relation, text.strip_prefix(sign)?.trim_start())))
            .ok_or_else(|| format!("version `{text}` has no sign such as `>=` before it"))?;
        if is_version(version) {
            Ok(Self { relation, version: version.to_owned() })
        } else {
            Err(format!("`{}` is not a version", escape(version)))
        }
    }
}

/// Whether a text has the form of a version, by the rules of any package manager.
fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~^_:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_or_bounds() {
        let bound = |relation, version: &str| Bound { relation, version: version.to_owned() };
        for (text, wanted) in [
            ("10.11", VersionWanted::Beginning("10.11".to_owned())),
            (
                ">=10.6, <11",
                VersionWanted::Bounds(vec![
                    bound(Relation::GreaterOrEqual, "10.6"),
                    bound(Relation::Less, "11"),
                ]),
            ),
            (" = 1:2~rc1-3", VersionWanted::Bounds(vec![bound(Relation::Equal, "1:2~rc1-3")])),
            ("!=2", VersionWanted::Bounds(vec![bound(Relation::NotEqual, "2")])),
        ] {
            assert_eq!(VersionWanted::parse(text), Ok(wanted), "{text}");
        }
        for (text, fault) in [
            ("", "`version` is empty"),
            (">=10.6, 11", "version `11` has no sign such as `>=` before it"),
            ("10, 11", "version `10` has no sign such as `>=` before it"),
            (">=", "`` is not a version"),
            (">= 10 || <9", "`10 || <9` is not a version"),
            ("~> 1", "`~> 1` is not a version"),
        ] {
            assert_eq!(VersionWanted::parse(text), Err(fault.to_owned()), "{text}");
        }
    }
}
