//! Docker's own storage: `image/DRIVER/` below its directory.

use std::collections::BTreeMap;

use super::{Config, ContainerImage, ContainerStore, digest_of, hex, read_json};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{escape, glob, join, names, read_optional, show};

/// Names of images by repository: `NAME:TAG` and `NAME@DIGEST`, each with the image's id.
#[derive(Debug, Default, serde::Deserialize)]
struct Repositories {
    #[serde(default, rename = "Repositories")]
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

pub(crate) fn images(tree: &mut dyn Tree) -> Result<Vec<ContainerImage>, ReadError> {
    let mut found = Vec::new();
    for store in glob(tree, b"/var/lib/docker/image/*")? {
        let repositories: Option<Repositories> = read_json(tree, &join(&store, b"repositories.json"))?;
        let repositories = repositories.unwrap_or_default();
        let contents = join(&store, b"imagedb/content/sha256");
        for name in names(tree, &contents)? {
            let id = format!("sha256:{}", String::from_utf8_lossy(&name));
            if hex(&id).is_none() {
                continue;
            }
            let path = join(&contents, &name);
            let Some(config) = read_json::<Config>(tree, &path)? else { continue };
            let (references, digest) = repositories.names_of(&id);
            found.push(ContainerImage {
                store: ContainerStore::Docker,
                location: show(&store),
                references,
                id: Some(id),
                digest,
                size: size(tree, &store, &config)?,
                created: config.created.as_deref().map(escape),
                platform: config.platform(),
            });
        }
    }
    Ok(found)
}

impl Repositories {
    /// The names of an image, and the digest of its manifest if one of them tells.
    fn names_of(&self, id: &str) -> (Vec<String>, Option<String>) {
        let all = self.repositories.values().flatten().filter(|(_, image)| *image == id);
        let (by_digest, by_tag): (Vec<_>, Vec<_>) =
            all.map(|(name, _)| name).partition(|name| name.contains('@'));
        let digest =
            by_digest.first().and_then(|name| name.split_once('@')).map(|(_, digest)| escape(digest));
        (by_tag.into_iter().map(|name| escape(name)).collect(), digest)
    }
}

/// The sum of the sizes Docker notes for each layer; `None` when it has not noted one.
fn size(tree: &mut dyn Tree, store: &[u8], config: &Config) -> Result<Option<u64>, ReadError> {
    let mut sum = 0_u64;
    for chain in chain_ids(&config.rootfs.diff_ids) {
        let Some(hex) = hex(&chain) else { return Ok(None) };
        let path = join(store, format!("layerdb/sha256/{hex}/size").as_bytes());
        let Some(text) = read_optional(tree, &path)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        let size: u64 =
            text.trim().parse().map_err(|_| ReadError::malformed(&path, "it is no number of bytes"))?;
        sum = sum.saturating_add(size);
    }
    Ok(Some(sum))
}

/// A layer is known by all below it too: the first by its own digest, each other by the digest of the name of
/// the one below and its own.
fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    for diff in diff_ids {
        let next = match chain.last() {
            None => diff.clone(),
            Some(below) => digest_of(format!("{below} {diff}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    if let Ok(repositories) = super::parse_json::<Repositories>(text, b"") {
        let _ = repositories.names_of("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_those_of_the_specification() {
        // By `printf '%s %s' BELOW OWN | sha256sum`.
        let diffs = ["sha256:a", "sha256:b", "sha256:c"].map(str::to_owned);
        let chain = chain_ids(&diffs);
        assert_eq!(chain[0], "sha256:a");
        assert_eq!(chain[1], "sha256:970a948bffa8de94d6e22d747ba8c95030e6e546909f98f54e99a13005e173a8");
        assert_eq!(chain[2], "sha256:dee159b33409cefa3f6eda71539f006014283e9d9130c18a1dea7bd8a33c9b1b");
    }
}
