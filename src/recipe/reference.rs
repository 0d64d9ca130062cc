//! Names of container images, as docker reads them.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// Docker's own registry, which short names mean.
const HUB: &str = "docker.io";
/// The longest tag.
const TAG: usize = 128;
/// The longest name.
const NAME: usize = 255;

/// A container image's name: `mariadb:11.4`, `quay.io/openstack.trove/mysql:8.4`, `localhost:5000/db@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageReference {
    /// The registry, with its port if it has one of its own.
    pub registry: String,
    /// What the registry knows it as: `library/mariadb`.
    pub repository: String,
    /// Its tag.
    pub tag: Option<String>,
    /// The digest of the manifest that it must be.
    pub digest: Option<Digest>,
}

impl ImageReference {
    /// The whole name without tag and digest, with what docker adds to short ones.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same image in another place: `http://HOST:PORT/REPOSITORY`. `None` if that is none.
    pub fn at(&self, place: &str) -> Option<Self> {
        let (registry, repository) = place.split_once("://")?.1.split_once('/')?;
        let at = format!("{registry}/{repository}:latest").parse::<Self>().ok()?;
        Some(Self { tag: self.tag.clone(), digest: self.digest, ..at })
    }

    /// The name as docker shows it: what it adds to short names is left out again.
    pub fn familiar(&self) -> String {
        let name = match self.registry.as_str() {
            HUB => self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned(),
            _ => self.full_name(),
        };
        self.with_version(name)
    }

    fn with_version(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push_str(&format!(":{tag}"));
        }
        if let Some(digest) = &self.digest {
            text.push_str(&format!("@sha256:{digest}"));
        }
        text
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_version(self.full_name()))
    }
}

impl FromStr for ImageReference {
    type Err = &'static str;

    /// Reads a name as docker does.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.strip_prefix("sha256:").and_then(Digest::parse);
                (name, Some(digest.ok_or("its digest is not `sha256:` and 64 hexadecimal digits")?))
            }
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err("its tag is none");
        }
        let (registry, repository) = match name.split_once('/') {
            Some((registry, rest)) if registry.contains(['.', ':']) || registry == "localhost" => {
                (registry, rest)
            }
            _ => (HUB, name),
        };
        let registry = if registry == "index.docker.io" { HUB } else { registry };
        if !is_registry(registry) {
            return Err("its registry is no host");
        }
        if repository.len() > NAME || !repository.split('/').all(is_component) {
            return Err("a name has lower-case letters, digits, and `.`, `_`, `-` or `/` between them");
        }
        let short = registry == HUB && !repository.contains('/');
        let repository = if short { format!("library/{repository}") } else { repository.to_owned() };
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || b".-".contains(&byte))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let named = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
    };
    let numbered = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    (named(host) || numbered(host)) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Words of lower-case letters and digits, with one dot, one or two underscores or any number of hyphens between.
fn is_component(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let between = bytes.split(|byte| word(byte)).filter(|between| !between.is_empty());
    bytes.first().is_some_and(word)
        && bytes.last().is_some_and(word)
        && between
            .into_iter()
            .all(|between| matches!(between, b"." | b"_" | b"__") || between.iter().all(|b| *b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_image_in_another_place() {
        let image: ImageReference = "mariadb:11.4".parse().unwrap();
        let copy = image.at("http://m.example:5000/hub/library/mariadb").unwrap();
        assert_eq!(copy.to_string(), "m.example:5000/hub/library/mariadb:11.4");
        for bad in ["http://m.example", "http://m.example/", "http://m.example/UPPER"] {
            assert_eq!(image.at(bad), None, "{bad}");
        }
    }
    use proptest::prelude::*;

    #[test]
    fn names_mean_what_they_mean_to_docker() {
        let digest = Digest::of(b"x");
        for (text, full, familiar) in [
            ("mariadb:11.4", "docker.io/library/mariadb:11.4", "mariadb:11.4"),
            ("docker.io/mariadb:11.4", "docker.io/library/mariadb:11.4", "mariadb:11.4"),
            ("index.docker.io/library/mariadb", "docker.io/library/mariadb", "mariadb"),
            ("openstack/mysql:8", "docker.io/openstack/mysql:8", "openstack/mysql:8"),
            (
                "quay.io/openstack.trove/mysql:8.4",
                "quay.io/openstack.trove/mysql:8.4",
                "quay.io/openstack.trove/mysql:8.4",
            ),
            ("localhost/a:1", "localhost/a:1", "localhost/a:1"),
            ("registry:5000/db/mysql:8.0", "registry:5000/db/mysql:8.0", "registry:5000/db/mysql:8.0"),
            ("[::1]:5000/a__b-c.d:V_1.x", "[::1]:5000/a__b-c.d:V_1.x", "[::1]:5000/a__b-c.d:V_1.x"),
        ] {
            let name: ImageReference = text.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.familiar().as_str()), (full, familiar));
        }
        let pinned: ImageReference = format!("h.example:1/a:b@sha256:{digest}").parse().unwrap();
        assert_eq!((pinned.digest, pinned.tag.as_deref()), (Some(digest), Some("b")));
        for bad in [
            "",
            ":1",
            "a:",
            "A:1",
            "a/:1",
            "/a:1",
            "a//b:1",
            "-a:1",
            "a-:1",
            "a..b:1",
            "a___b:1",
            "a:1:2",
            "a:-1",
            "a b:1",
            "h.example:x/a:1",
            "h.example:99999/a:1",
            "h_h.example/a:1",
            "a@sha256:00",
            "a@sha512:00",
            "https://quay.io/a:1",
            "user:secret@quay.io/a:1",
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad}");
        }
        assert!(format!("a:{}", "x".repeat(129)).parse::<ImageReference>().is_err());
    }

    proptest! {
        #[test]
        fn no_name_makes_the_parser_panic(text: String, tag in "[a-z0-9:/@._-]{0,40}") {
            for text in [text, tag] {
                if let Ok(name) = text.parse::<ImageReference>() {
                    prop_assert_eq!(name.familiar().parse(), Ok(name.clone()));
                    prop_assert_eq!(name.to_string().parse(), Ok(name));
                }
            }
        }
    }
}
