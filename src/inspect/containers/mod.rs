//! Container images that are inside of the image.

mod archive;
mod containerd;
mod docker;
mod oci;
mod podman;
mod stream;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::search::search;
use crate::digest::Digest;
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{base_name, escape, optional, show};

/// The longest JSON file that is read.
const JSON_LIMIT: u64 = 4 << 20;

/// Where people put archives and layouts.
const ROOTS: [&str; 6] = ["/opt", "/usr/local", "/home", "/root", "/srv", "/var/lib"];

/// The container images inside of an image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Containers {
    /// The images.
    pub images: Vec<ContainerImage>,
    /// Archives that look as if they held images, and why they could not be read.
    pub unreadable: Vec<String>,
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerImage {
    /// Whose storage it is in.
    pub store: ContainerStore,
    /// The directory of that storage, or the archive.
    pub location: String,
    /// Its names, such as `docker.io/library/mariadb:11`. containerd keeps them where tib does not look.
    pub references: Vec<String>,
    /// Digest of its configuration, which `docker images` shows as its id.
    pub id: Option<String>,
    /// Digest of its manifest, as registries know it, if it is known.
    pub digest: Option<String>,
    /// Bytes of its layers, as they are stored there: unpacked in Docker's and podman's storages, packed in
    /// containerd's and in archives. Layers it shares with other images count.
    pub size: Option<u64>,
    /// When it was made, as it says.
    pub created: Option<String>,
    /// What it runs on, such as `linux/amd64`.
    pub platform: Option<String>,
}

/// How container images are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerStore {
    /// Docker's own storage.
    Docker,
    /// containerd's, which newer versions of Docker and Kubernetes use.
    Containerd,
    /// podman's.
    Podman,
    /// A directory after the OCI's image layout.
    OciLayout,
    /// The same in an archive.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

/// Looks for container images: in the storages of Docker, containerd and podman at their usual places, and in
/// archives and layouts below `/opt`, `/usr/local`, `/home`, `/root`, `/srv` and `/var/lib`.
///
/// # Errors
/// [`ReadError::Malformed`] for a storage that contradicts its format, [`ReadError::Disk`].
pub(crate) fn containers(tree: &mut dyn Tree) -> Result<Containers, ReadError> {
    let mut found = Containers { images: docker::images(tree)?, unreadable: Vec::new() };
    found.images.extend(containerd::images(tree)?);
    found.images.extend(podman::images(tree)?);
    let (mut layouts, mut archives) = (Vec::new(), Vec::new());
    search(tree, &ROOTS, &mut |_, path, stat| {
        if stat.kind == FileKind::File && base_name(path) == b"oci-layout" {
            layouts.push(path[..path.len() - b"/oci-layout".len()].to_vec());
        } else if stat.kind == FileKind::File && path.ends_with(b".tar") {
            archives.push((path.to_vec(), stat.size));
        }
        Ok(true)
    })?;
    for layout in layouts {
        found.images.extend(oci::layout(tree, &layout)?);
    }
    for (path, size) in archives {
        match archive::images(tree, &path, size)? {
            Ok(images) => found.images.extend(images),
            Err(reason) => found.unreadable.push(format!("{}: {reason}", show(&path))),
        }
    }
    found.images.sort();
    Ok(found)
}

/// What an image says of itself: the part of its configuration that matters here.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Config {
    created: Option<String>,
    architecture: Option<String>,
    os: Option<String>,
    rootfs: RootFs,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Config {
    fn platform(&self) -> Option<String> {
        match (self.os.as_deref(), self.architecture.as_deref()) {
            (Some(os), Some(architecture)) if !os.is_empty() => Some(escape(&format!("{os}/{architecture}"))),
            _ => None,
        }
    }
}

/// Reads a JSON file; `None` when it is not there.
fn read_json<T: DeserializeOwned>(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<T>, ReadError> {
    let Some(text) = optional(tree.read(path, JSON_LIMIT))? else { return Ok(None) };
    parse_json(&text, path).map(Some)
}

fn parse_json<T: DeserializeOwned>(text: &[u8], path: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(text).map_err(|error| ReadError::malformed(path, error.to_string()))
}

/// The hexadecimal part of a `sha256:` digest; `None` for anything else, which must not become a path.
fn hex(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    let valid = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    valid.then_some(hex)
}

/// The digest of some bytes, `sha256:…`.
fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

/// For the fuzzer: reads any bytes as each of the files that are read here.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    let _ = parse_json::<Config>(text, b"");
    docker::any_text(text);
    podman::any_text(text);
    oci::any_text(text);
    archive::any_text(text);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
