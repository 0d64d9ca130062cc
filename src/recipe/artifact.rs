//! Files that a person brings, because their vendor lets nobody fetch them without an account or a licence: what a recipe says of
//! one, what is given for it, and what was found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::when::When;
use crate::digest::Digest;

/// The option by which a person says that a licence is accepted.
pub(super) const ACCEPT_LICENSE: &str = "accept_license";

/// A file that a person brings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Artifact {
    pub(super) when: Option<When>,
    /// What it is, and where a person gets it.
    pub(super) description: String,
    /// The licence that it comes under. It is accepted with the option `accept_license`, and the image is not to be passed on.
    pub(super) license: Option<String>,
    /// Where it is to be had by everybody: `URL@sha256:DIGEST`. Taken unless another is given.
    pub(super) default: Option<String>,
    /// Where it gets in the guest: the path of the file, or with `unpack` the directory of what is in it.
    pub(super) path: Option<String>,
    /// It is a tar, packed or not, whose content is wanted.
    #[serde(default)]
    pub(super) unpack: bool,
    /// It is a package, to be installed after those that `[[packages]]` names, which must bring what it depends on.
    #[serde(default)]
    pub(super) install: bool,
    /// Variables for the package's scripts.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
}

/// Where an artifact is: `FILE` or `URL`, each perhaps with `@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactPlace {
    /// Where.
    pub source: ArtifactSource,
    /// The digest it must have.
    pub sha256: Option<Digest>,
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactSource {
    /// A file of this host.
    File(PathBuf),
    /// A server.
    Url(String),
}

/// What `--artifact` gives: `NAME=FILE|URL[@sha256:…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenArtifact {
    /// Which of the recipe's artifacts it is.
    pub name: String,
    /// Where it is.
    pub place: ArtifactPlace,
}

/// An artifact that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundArtifact {
    /// Where it comes from.
    pub source: ArtifactSource,
    /// Its digest.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// Where it lies on this host.
    #[serde(skip)]
    pub path: PathBuf,
}

/// Puts what a person brings into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactStep {
    /// Its name in the recipe.
    pub name: String,
    /// What it is, and where a person gets it.
    pub description: String,
    /// The licence it comes under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where it gets in the guest, if it stays there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its content gets there.
    pub unpack: bool,
    /// It is installed as a package.
    pub install: bool,
    /// Variables for the package's scripts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Where everybody has it, unless another is given.
    #[serde(skip)]
    pub default: Option<ArtifactPlace>,
    /// A person has accepted its licence, if it has one.
    #[serde(skip)]
    pub accepted: bool,
    /// The file; `None` in a plan that is only looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<FoundArtifact>,
}

impl FromStr for ArtifactPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, sha256) = match text.rsplit_once("@sha256:") {
            Some((place, digest)) => {
                (place, Some(Digest::parse(digest).ok_or("`@sha256:` wants 64 hexadecimal digits")?))
            }
            None => (text, None),
        };
        if place.is_empty() {
            return Err("no file and no URL is named");
        }
        if !place.contains("://") {
            return Ok(Self { source: ArtifactSource::File(place.into()), sha256 });
        }
        if !(place.starts_with("https://") || place.starts_with("http://")) {
            return Err("it comes from a file, or from an http or https URL");
        }
        let authority = place.split('/').nth(2).unwrap_or_default();
        if authority.is_empty()
            || authority.contains('@')
            || place.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err("the URL needs a host, and has no user, password or space");
        }
        Ok(Self { source: ArtifactSource::Url(place.to_owned()), sha256 })
    }
}

impl FromStr for GivenArtifact {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let wrong = |reason: &str| RecipeError::ArtifactText { reason: reason.to_owned() };
        let (name, place) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| wrong("it has no name"))?;
        Ok(Self { name: name.to_owned(), place: place.parse().map_err(wrong)? })
    }
}

impl ArtifactSource {
    /// For people: a URL without what may be secret in it.
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Url(url) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for ArtifactSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for ArtifactSource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ArtifactStep {
    /// Forgets where on this host the file is, and what is said for people alone.
    pub(super) fn forget_place(&mut self) {
        self.description.clear();
        if let Some(found) = &mut self.found {
            found.source = ArtifactSource::File(PathBuf::new());
            found.path.clear();
        }
    }

    /// One line for people.
    pub(super) fn summary(&self) -> String {
        let mut ways = Vec::new();
        if let Some(path) = &self.path {
            ways.push(if self.unpack { format!("unpacked in {path}") } else { format!("as {path}") });
        }
        if self.install {
            ways.push("installed".to_owned());
        }
        let from = match &self.found {
            Some(found) => {
                format!("{} ({}, {} MiB)", found.source, found.sha256.short(), found.size.div_ceil(1 << 20))
            }
            None => match &self.default {
                Some(place) => format!("from {} unless another is given", place.source),
                None => format!("to be given with `--artifact {}=FILE|URL`", self.name),
            },
        };
        format!("artifact {}, {}: {from}", self.name, ways.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_for_an_artifact() {
        let digest = "a".repeat(64);
        for (text, name, source, sha256) in [
            ("db2=./a=b.tar", "db2", ArtifactSource::File("./a=b.tar".into()), None),
            (
                &format!("db2=/x@sha256:{digest}"),
                "db2",
                ArtifactSource::File("/x".into()),
                Digest::parse(&digest),
            ),
            (
                &format!("v=https://h.example/a?k=1@sha256:{digest}"),
                "v",
                ArtifactSource::Url("https://h.example/a?k=1".to_owned()),
                Digest::parse(&digest),
            ),
        ] {
            let given: GivenArtifact = text.parse().unwrap();
            assert_eq!(
                (given.name.as_str(), given.place),
                (name, ArtifactPlace { source, sha256 }),
                "{text}"
            );
        }
        for (text, reason) in [
            ("db2", "it has no name"),
            ("=x", "it has no name"),
            ("db2=", "no file and no URL is named"),
            ("db2=x@sha256:1", "wants 64 hexadecimal digits"),
            ("db2=ftp://h.example/x", "from an http or https URL"),
            ("db2=https://me:secret@h.example/x", "has no user, password or space"),
        ] {
            let error = text.parse::<GivenArtifact>().unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_secret_of_a_url_is_not_shown() {
        let source = ArtifactSource::Url("https://h.example/a?token=secret".to_owned());
        assert_eq!(serde_json::to_string(&source).unwrap(), "\"https://h.example/a\"");
    }
}
