//! Container images of databases that are put into an image, and the names that they go by.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Content, Contract, FileStep, RecipeError, ServiceStep, Step};
use crate::check::ServiceState;
use crate::digest::Digest;

/// Where archives wait in the image for its first boot.
pub const CONTAINERS: &str = "/var/lib/tib/containers";
/// The unit that loads them.
pub const CONTAINERS_UNIT: &str = "tib-containers.service";
const UNIT: &str = include_str!("containers.service");
const PROGRAM: &str = "/usr/local/sbin/tib-load-containers";
const LOAD: &str = include_str!("containers.sh");

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

/// Refuses what cannot be embedded: containers in an image whose agent runs none, or one name twice.
pub(super) fn check(
    names: impl Iterator<Item = String>,
    contract: Option<Contract>,
    recipe: &str,
) -> Result<(), RecipeError> {
    let mut known = Vec::new();
    for name in names {
        if contract != Some(Contract::Container) {
            return Err(RecipeError::NoContainers(recipe.to_owned()));
        }
        if known.contains(&name) {
            return Err(RecipeError::EmbedContainer { text: name, reason: "it is given twice".to_owned() });
        }
        known.push(name);
    }
    Ok(())
}

/// Everything that puts containers into a guest: the unit, its program, and the archives.
pub(super) fn steps(containers: &[Container]) -> Vec<Step> {
    if containers.is_empty() {
        return Vec::new();
    }
    let file = |path: &str, text: &str, mode| {
        let root = || "root".to_owned();
        let content = Content::Text(text.to_owned());
        Step::File(FileStep { path: path.to_owned(), content, mode, owner: root(), group: root() })
    };
    vec![
        file(PROGRAM, LOAD, 0o755),
        file(&format!("/etc/systemd/system/{CONTAINERS_UNIT}"), UNIT, 0o644),
        Step::Service(ServiceStep { unit: CONTAINERS_UNIT.to_owned(), state: ServiceState::Enabled }),
        Step::Containers { containers: containers.to_vec() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// What the guest's program makes of the name of a file.
    #[test]
    fn the_guest_finds_the_name_in_the_name_of_the_file() {
        let line = LOAD.lines().find(|line| line.trim().starts_with("name=")).unwrap();
        for name in ["mariadb:11.4", "h.example:5000/a/b_c:V-1", "[::1]:5/a:1"] {
            let container = Container {
                name: name.to_owned(),
                source: ContainerSource::OciLayout(String::new()),
                digest: None,
                id: Digest::of(b"id"),
                size: 0,
                unpacked: 0,
            };
            let script = format!("archive='{}'\n{line}\nprintf %s \"$name\"", container.path());
            let output = std::process::Command::new("sh").args(["-euc", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), name);
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_the_parser_panic(text: String, tag in "[a-z0-9:/@._-]{0,40}") {
            for text in [text, tag] {
                if let Ok(name) = text.parse::<ImageReference>() {
                    prop_assert_eq!(name.familiar().parse(), Ok(name.clone()));
                    prop_assert_eq!(name.to_string().parse(), Ok(name));
                }
                let _ = text.parse::<EmbedContainer>();
            }
        }
    }
}
