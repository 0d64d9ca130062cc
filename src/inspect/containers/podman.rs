//! The storage of podman, buildah and CRI-O: `DRIVER-images/images.json` and `DRIVER-layers/layers.json`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Config, ContainerImage, ContainerStore, hex, read_json};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{escape, glob, join, show};

/// The system's storage, and those of people.
const PATTERNS: [&str; 3] = [
    "/var/lib/containers/storage/*-images",
    "/root/.local/share/containers/storage/*-images",
    "/home/*/.local/share/containers/storage/*-images",
];

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Image {
    id: String,
    digest: Option<String>,
    names: Vec<String>,
    layer: String,
    created: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Layer {
    id: String,
    parent: Option<String>,
    diff_size: Option<u64>,
}

pub(crate) fn images(tree: &mut dyn Tree) -> Result<Vec<ContainerImage>, ReadError> {
    let mut found = Vec::new();
    for pattern in PATTERNS {
        for directory in glob(tree, pattern.as_bytes())? {
            let images: Vec<Image> = read_json(tree, &join(&directory, b"images.json"))?.unwrap_or_default();
            let stem = directory.strip_suffix(b"-images").unwrap_or(&directory);
            let layers = [stem, b"-layers/layers.json"].concat();
            let layers: Vec<Layer> = read_json(tree, &layers)?.unwrap_or_default();
            let layers: BTreeMap<_, _> = layers.iter().map(|layer| (layer.id.as_str(), layer)).collect();
            for image in &images {
                found.push(one(tree, &directory, image, &layers)?);
            }
        }
    }
    Ok(found)
}

fn one(
    tree: &mut dyn Tree,
    directory: &[u8],
    image: &Image,
    layers: &BTreeMap<&str, &Layer>,
) -> Result<ContainerImage, ReadError> {
    let id = format!("sha256:{}", image.id);
    // Files whose names hold a colon are named by its base64.
    let config = match hex(&id) {
        Some(hex) => {
            let path = join(directory, format!("{hex}/={}", STANDARD.encode(&id)).as_bytes());
            read_json::<Config>(tree, &path)?.unwrap_or_default()
        }
        None => Config::default(),
    };
    Ok(ContainerImage {
        store: ContainerStore::Podman,
        location: show(directory),
        references: image.names.iter().map(|name| escape(name)).collect(),
        id: Some(escape(&id)),
        digest: image.digest.as_deref().map(escape),
        size: size(&image.layer, layers),
        created: config.created.as_deref().or(image.created.as_deref()).map(escape),
        platform: config.platform(),
    })
}

/// The sizes of a layer and all below it; `None` when one is not known, or they go in a circle.
fn size(top: &str, layers: &BTreeMap<&str, &Layer>) -> Option<u64> {
    let (mut sum, mut seen, mut at) = (0_u64, 0, Some(top).filter(|layer| !layer.is_empty()));
    while let Some(id) = at {
        let layer = layers.get(id)?;
        sum = sum.saturating_add(layer.diff_size?);
        seen += 1;
        if seen > layers.len() {
            return None;
        }
        at = layer.parent.as_deref().filter(|parent| !parent.is_empty());
    }
    Some(sum)
}

#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    let _ = super::parse_json::<Vec<Image>>(text, b"");
    if let Ok(layers) = super::parse_json::<Vec<Layer>>(text, b"") {
        let layers: BTreeMap<_, _> = layers.iter().map(|layer| (layer.id.as_str(), layer)).collect();
        for id in layers.keys() {
            let _ = size(id, &layers);
        }
    }
}
