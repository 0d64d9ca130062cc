//! Container images of databases that are put into an image: what is asked for, and what was found.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{ImageReference, RecipeError};
use crate::digest::Digest;

/// Where archives wait in the image for its first boot.
pub const CONTAINERS: &str = "/var/lib/embedded-containers";
/// The unit that loads them.
pub const CONTAINERS_UNIT: &str = "tib-containers.service";

/// Where a container image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerSource {
    /// A registry: `docker://NAME`.
    Registry(ImageReference),
    /// A directory or tar after the OCI's image layout, perhaps with `:TAG` behind it: `oci:…`.
    OciLayout(String),
    /// What `docker save` writes, perhaps with `:NAME:TAG` behind it: `docker-archive:…`.
    DockerArchive(String),
}

impl ContainerSource {
    /// Forgets where on this host it is.
    pub(super) fn forget_place(&mut self) {
        if let Self::OciLayout(path) | Self::DockerArchive(path) = self {
            path.clear();
        }
    }
}

impl fmt::Display for ContainerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::OciLayout(path) => write!(f, "oci:{path}"),
            Self::DockerArchive(path) => write!(f, "docker-archive:{path}"),
        }
    }
}

impl Serialize for ContainerSource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What `--embed-container` asks for: `NAME[=SOURCE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedContainer {
    /// What the guest's docker is to know it as. It has a tag and no digest.
    pub name: ImageReference,
    /// Where it comes from.
    pub source: ContainerSource,
}

impl FromStr for EmbedContainer {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let wrong =
            |reason: &str| RecipeError::EmbedContainer { text: text.to_owned(), reason: reason.to_owned() };
        let (name, source) = match text.split_once('=') {
            Some((name, source)) => (name, Some(source)),
            None => (text, None),
        };
        let parsed: ImageReference = name.parse().map_err(wrong)?;
        if parsed.digest.is_some() {
            return Err(wrong("the agent asks for a tag: a digest belongs behind `=docker://…`"));
        }
        if parsed.tag.is_none() {
            return Err(wrong(
                "it has no tag, and the agent asks for the one that its datastore version names",
            ));
        }
        let source = match source.map(|source| source.split_once(':').unwrap_or((source, ""))) {
            None => ContainerSource::Registry(parsed.clone()),
            Some(("docker", rest)) => {
                let reference =
                    rest.strip_prefix("//").ok_or_else(|| wrong("a registry's image is `docker://NAME`"))?;
                ContainerSource::Registry(reference.parse().map_err(wrong)?)
            }
            Some(("oci", path)) if !path.is_empty() => ContainerSource::OciLayout(path.to_owned()),
            Some(("docker-archive", path)) if !path.is_empty() => {
                ContainerSource::DockerArchive(path.to_owned())
            }
            Some(_) => {
                return Err(wrong(
                    "its source is none of `docker://NAME`, `oci:DIR` and `docker-archive:FILE`",
                ));
            }
        };
        Ok(Self { name: parsed, source })
    }
}

/// A container image to put into the guest, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Container {
    /// The name that docker gives it.
    pub name: String,
    /// Where it comes from.
    pub source: ContainerSource,
    /// Digest of the manifest, or list of manifests, that the name stands for there; archives of docker have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Digest of its configuration, which `docker images` shows as its id.
    pub id: Digest,
    /// Bytes of its archive, about.
    pub size: u64,
    /// Bytes that it takes when it is unpacked, about.
    pub unpacked: u64,
}

impl Container {
    /// The name of its archive. No name of a container has `+` or `=`, so it can be turned back.
    pub fn file(&self) -> String {
        format!("{}.tar", self.name.replace('/', "+").replace(':', "="))
    }

    /// Where its archive is in the guest.
    pub fn path(&self) -> String {
        format!("{CONTAINERS}/{}", self.file())
    }

    /// One line for people.
    pub(super) fn summary(&self) -> String {
        let digest = self.digest.unwrap_or(self.id);
        format!(
            "{} from {} ({}, {} MiB)",
            self.name,
            self.source,
            digest.short(),
            self.size.div_ceil(1 << 20)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_embed() {
        for (text, source) in [
            ("mariadb:11.4", "docker://docker.io/library/mariadb:11.4"),
            ("mariadb:11.4=docker://quay.io/m/mariadb:lts", "docker://quay.io/m/mariadb:lts"),
            ("mariadb:11.4=oci:./layout:lts", "oci:./layout:lts"),
            ("h.example:5000/a:1=docker-archive:/a=b.tar:a:1", "docker-archive:/a=b.tar:a:1"),
        ] {
            let embed: EmbedContainer = text.parse().unwrap();
            assert_eq!(embed.source.to_string(), source);
        }
        for (text, reason) in [
            ("mariadb", "it has no tag"),
            ("mariadb=oci:x", "it has no tag"),
            ("Maria:1", "a name has lower-case letters"),
            ("a:1=quay.io/a:1", "its source is none of"),
            ("a:1=docker:a:1", "a registry's image is"),
            ("a:1=docker://A", "a name has lower-case letters"),
            ("a:1=oci:", "its source is none of"),
            ("a:1=", "its source is none of"),
        ] {
            let error = text.parse::<EmbedContainer>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
