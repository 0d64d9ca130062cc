//! pip's constraints for the agent, as `--constraints` and recipes name them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

use super::RecipeError;
use crate::digest::Digest;

/// Where constraints come from. As text: `auto`, `none`, a URL with or without `@sha256:…`, a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstraintsSource {
    /// Those that belong to the agent's release.
    Auto,
    /// None.
    None,
    /// From a server.
    Url(ConstraintsUrl),
    /// A file of the host.
    File(PathBuf),
}

/// A file of constraints on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstraintsUrl {
    /// Where.
    pub url: String,
    /// The digest it must have.
    pub sha256: Option<Digest>,
}

/// Constraints that are found when a build begins, and not when its plan is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstraintsFrom {
    /// Those of the agent's release.
    Auto {
        /// The URL they have, up to the release's name.
        base: String,
        /// Somebody asked for them, and it is not only the recipe's way: without them there is no build.
        asked: bool,
    },
    /// These.
    Url(ConstraintsUrl),
}

impl FromStr for ConstraintsSource {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        match text {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::None),
            _ if !text.contains("://") => return Ok(Self::File(text.into())),
            _ => {}
        }
        let wrong = |problem: &str| RecipeError::ConstraintsUrl { problem: problem.to_owned() };
        let (url, sha256) = match text.rsplit_once("@sha256:") {
            Some((url, digest)) => (
                url,
                Some(Digest::parse(digest).ok_or_else(|| wrong("`@sha256:` wants 64 hexadecimal digits"))?),
            ),
            None => (text, None),
        };
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            return Err(wrong("they come from an http or https URL, a file, or `auto`"));
        }
        let authority = url.split('/').nth(2).unwrap_or_default();
        if authority.is_empty()
            || authority.contains('@')
            || url.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(wrong("the URL needs a host, and has no user, password or space"));
        }
        Ok(Self::Url(ConstraintsUrl { url: url.to_owned(), sha256 }))
    }
}

impl fmt::Display for ConstraintsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        self.sha256.map_or(Ok(()), |digest| write!(f, "@sha256:{digest}"))
    }
}

impl fmt::Display for ConstraintsFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto { .. } => f.write_str("auto"),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl Serialize for ConstraintsFrom {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_a_word_a_url_or_a_file() {
        let digest = "a".repeat(64);
        let url = |url: &str, sha256| ConstraintsSource::Url(ConstraintsUrl { url: url.to_owned(), sha256 });
        for (text, wanted) in [
            ("auto", ConstraintsSource::Auto),
            ("none", ConstraintsSource::None),
            ("./auto", ConstraintsSource::File("./auto".into())),
            ("c@sha256:1", ConstraintsSource::File("c@sha256:1".into())),
            ("https://h.example/c", url("https://h.example/c", None)),
            (
                &format!("http://h.example/c@sha256:{digest}"),
                url("http://h.example/c", Digest::parse(&digest)),
            ),
        ] {
            assert_eq!(text.parse::<ConstraintsSource>().unwrap(), wanted, "{text}");
        }
        for bad in [
            "ftp://h.example/c",
            "https://h.example/c@sha256:1",
            "https://me:secret@h.example/c",
            "https:///c",
        ] {
            let error = bad.parse::<ConstraintsSource>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
