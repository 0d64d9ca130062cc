//! containerd's storage of content. Names are in a database beside it, which is not read: they are known only
//! where an index has them as annotations.

use std::collections::BTreeMap;

use super::oci::{Manifest, blob};
use super::{ContainerImage, ContainerStore, JSON_LIMIT, hex};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{join, names, read_start};

/// containerd's own place, the one of Docker's, and the one of k3s.
const PLACES: [&str; 3] =
    ["/var/lib/containerd", "/var/lib/docker/containerd/daemon", "/var/lib/rancher/k3s/agent/containerd"];

/// The most JSON of one storage that is read.
const TOTAL_LIMIT: u64 = 1 << 30;

pub(crate) fn images(tree: &mut dyn Tree) -> Result<Vec<ContainerImage>, ReadError> {
    let mut found = Vec::new();
    for place in PLACES {
        let directory = join(place.as_bytes(), b"io.containerd.content.v1.content/blobs/sha256");
        let (mut manifests, mut references) = (Vec::new(), BTreeMap::new());
        let mut total = 0;
        for name in names(tree, &directory)? {
            let digest = format!("sha256:{}", String::from_utf8_lossy(&name));
            let path = join(&directory, &name);
            let size = tree.lstat(&path)?.size;
            // Layers are there too; most are large, and none is JSON.
            if hex(&digest).is_none() || size > JSON_LIMIT || read_start(tree, &path, 1)? != b"{" {
                continue;
            }
            total += size;
            if total > TOTAL_LIMIT {
                return Err(ReadError::malformed(&directory, "it holds too much"));
            }
            let text = tree.read(&path, JSON_LIMIT)?;
            let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else { continue };
            for entry in manifest.manifests.iter().filter(|entry| !entry.references().is_empty()) {
                references.insert(entry.digest.clone(), entry.references());
            }
            if manifest.is_image() {
                manifests.push((digest, manifest));
            }
        }
        for (digest, manifest) in manifests {
            let references = references.remove(&digest).unwrap_or_default();
            let store = ContainerStore::Containerd;
            let mut blobs = |digest: &str| blob(tree, &directory, digest);
            found.push(manifest.image(&digest, references, store, place.as_bytes(), &mut blobs)?);
        }
    }
    Ok(found)
}
