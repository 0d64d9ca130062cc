//! Manifests and indexes after the OCI's and Docker's specifications, and directories laid out by them.

use std::collections::BTreeMap;

use super::{Config, ContainerImage, ContainerStore, JSON_LIMIT, hex, parse_json, read_json};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{escape, join, optional, show};

/// How deeply indexes may name one another.
const DEPTH_LIMIT: usize = 4;

/// The most images in one place.
const IMAGE_LIMIT: usize = 10_000;

/// An index, or the manifest of one image: what is missing is empty.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Manifest {
    schema_version: u32,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    pub(crate) manifests: Vec<Descriptor>,
}

/// Names something by its digest.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Descriptor {
    media_type: String,
    pub(crate) digest: String,
    size: u64,
    annotations: BTreeMap<String, String>,
}

/// Gives the content of a blob by its digest; `None` when it is not there.
pub(crate) type Blobs<'a> = dyn FnMut(&str) -> Result<Option<Vec<u8>>, ReadError> + 'a;

impl Manifest {
    /// Whether it describes an image that can run, and is no index, no signature and no attestation.
    pub(crate) fn is_image(&self) -> bool {
        const CONFIGS: [&str; 2] =
            ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
        let config = self.config.as_ref().is_some_and(|config| CONFIGS.contains(&config.media_type.as_str()));
        let attests = !self.layers.is_empty() && self.layers.iter().all(|l| l.media_type.contains("in-toto"));
        self.schema_version == 2 && config && !attests
    }

    /// The image it describes.
    pub(crate) fn image(
        &self,
        digest: &str,
        references: Vec<String>,
        store: ContainerStore,
        location: &[u8],
        blobs: &mut Blobs,
    ) -> Result<ContainerImage, ReadError> {
        let id = self.config.as_ref().map(|config| config.digest.as_str());
        let config = match id.map(&mut *blobs).transpose()?.flatten() {
            Some(text) => parse_json::<Config>(&text, location)?,
            None => Config::default(),
        };
        Ok(ContainerImage {
            store,
            location: show(location),
            references,
            id: id.map(escape),
            digest: Some(escape(digest)),
            size: Some(self.layers.iter().fold(0, |sum, layer| layer.size.saturating_add(sum))),
            created: config.created.as_deref().map(escape),
            platform: config.platform(),
        })
    }
}

impl Descriptor {
    /// The names tools write beside a digest: the full one if there is one.
    pub(crate) fn references(&self) -> Vec<String> {
        const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        NAMES
            .iter()
            .find_map(|name| self.annotations.get(*name))
            .map(|name| escape(name))
            .into_iter()
            .collect()
    }
}

/// The images of an index, those of indexes in it included. Blobs that are not there are left out: an index
/// often names more platforms than were fetched.
pub(crate) fn images(
    index: &Manifest,
    store: ContainerStore,
    location: &[u8],
    blobs: &mut Blobs,
) -> Result<Vec<ContainerImage>, ReadError> {
    let mut found = Vec::new();
    let mut pending: Vec<_> =
        index.manifests.iter().rev().map(|entry| (entry.clone(), entry.references(), 0)).collect();
    let mut seen = 0;
    while let Some((entry, references, depth)) = pending.pop() {
        seen += 1;
        if depth > DEPTH_LIMIT || seen > IMAGE_LIMIT {
            return Err(ReadError::malformed(location, "its indexes name too much"));
        }
        let Some(text) = blobs(&entry.digest)? else { continue };
        let manifest: Manifest = parse_json(&text, location)?;
        if manifest.is_image() {
            found.push(manifest.image(&entry.digest, references, store, location, blobs)?);
            continue;
        }
        for inner in manifest.manifests.iter().rev() {
            let own = inner.references();
            let references = if own.is_empty() { references.clone() } else { own };
            pending.push((inner.clone(), references, depth + 1));
        }
    }
    Ok(found)
}

/// The images in a directory that is an OCI image layout.
pub(crate) fn layout(tree: &mut dyn Tree, directory: &[u8]) -> Result<Vec<ContainerImage>, ReadError> {
    let Some(index) = read_json::<Manifest>(tree, &join(directory, b"index.json"))? else {
        return Err(ReadError::malformed(directory, "it is an OCI image layout without an index"));
    };
    let store = join(directory, b"blobs/sha256");
    images(&index, ContainerStore::OciLayout, directory, &mut |digest| blob(tree, &store, digest))
}

/// Reads a blob out of a directory of blobs.
pub(crate) fn blob(
    tree: &mut dyn Tree,
    directory: &[u8],
    digest: &str,
) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(hex) = hex(digest) else { return Ok(None) };
    Ok(optional(tree.read(&join(directory, hex.as_bytes()), JSON_LIMIT))?)
}

#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    if let Ok(manifest) = parse_json::<Manifest>(text, b"") {
        // Every blob is the text itself: an index that names itself.
        let _ = images(&manifest, ContainerStore::OciLayout, b"", &mut |_| Ok(Some(text.to_vec())));
    }
}
