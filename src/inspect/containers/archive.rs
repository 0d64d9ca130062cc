//! Archives of images: what `docker save`, `podman save` and `skopeo copy` write.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::oci::{self, Manifest};
use super::stream::with_reader;
use super::{Config, ContainerImage, ContainerStore, digest_of, hex, parse_json};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{escape, read_start, show};

/// The largest archive that is read: a file can only be read from its beginning, and what names the images is
/// often at its end.
const ARCHIVE_LIMIT: u64 = 8 << 30;

/// The most entries of an archive, the longest one that is kept, and the most that are kept together.
const ENTRY_LIMIT: usize = 100_000;
const TEXT_LIMIT: u64 = 1 << 20;
const TOTAL_LIMIT: u64 = 32 << 20;

/// An image in `manifest.json`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// What matters of an archive: the texts in it, and how long each entry is.
#[derive(Debug, Default)]
struct Contents {
    texts: BTreeMap<String, Vec<u8>>,
    sizes: BTreeMap<String, u64>,
}

/// The images in an archive; none when it is some other archive. The inner error is why it could not be read.
pub(crate) fn images(
    tree: &mut dyn Tree,
    path: &[u8],
    size: u64,
) -> Result<Result<Vec<ContainerImage>, String>, ReadError> {
    if !looks_like_images(&read_start(tree, path, 512)?) {
        return Ok(Ok(Vec::new()));
    }
    if size > ARCHIVE_LIMIT {
        return Ok(Err(format!("it is larger than {} GiB", ARCHIVE_LIMIT >> 30)));
    }
    let contents = with_reader(tree, path, |reader| contents(reader))?;
    Ok(contents.map_err(|error| error.to_string()).and_then(|contents| {
        described(&contents, path).map_err(|error| match error {
            ReadError::Malformed { reason, .. } => reason,
            other => other.to_string(),
        })
    }))
}

/// Whether the first entry has a name that archives of images begin with.
fn looks_like_images(header: &[u8]) -> bool {
    let Some(name) = header.get(..100).filter(|_| header.get(257..262) == Some(b"ustar")) else {
        return false;
    };
    let name = String::from_utf8_lossy(name.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned();
    let name = name.trim_start_matches("./");
    let first = name.split(['/', '.']).next().unwrap_or_default();
    name.is_empty()
        || ["blobs", "oci-layout", "index", "manifest", "repositories"].contains(&first)
        || hex(&format!("sha256:{first}")).is_some()
}

fn contents(reader: &mut dyn Read) -> io::Result<Contents> {
    let mut found = Contents::default();
    let mut total = 0;
    // Raw: names that need entries of their own would be read whole, and no archive of images has any.
    for entry in tar::Archive::new(reader).entries()?.raw(true) {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let size = entry.size();
        if found.sizes.len() >= ENTRY_LIMIT {
            return Err(io::Error::other("it has too many entries"));
        }
        found.sizes.insert(name.clone(), size);
        let text = name.ends_with(".json") || name.starts_with("blobs/");
        if !text || !entry.header().entry_type().is_file() || size > TEXT_LIMIT {
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if matches!(content.first(), Some(b'{' | b'[')) {
            total += size;
            if total > TOTAL_LIMIT {
                return Err(io::Error::other("it has too much text"));
            }
            found.texts.insert(name, content);
        }
    }
    Ok(found)
}

/// `docker save` of today writes both kinds of description: its own, which has the names, counts.
fn described(contents: &Contents, path: &[u8]) -> Result<Vec<ContainerImage>, ReadError> {
    if let Some(text) = contents.texts.get("manifest.json") {
        let saved: Vec<Saved> = parse_json(text, path)?;
        return saved.iter().map(|saved| contents.saved(saved, path)).collect();
    }
    let Some(text) = contents.texts.get("index.json") else { return Ok(Vec::new()) };
    let index: Manifest = parse_json(text, path)?;
    oci::images(&index, ContainerStore::OciArchive, path, &mut |digest| {
        Ok(hex(digest).and_then(|hex| contents.texts.get(&format!("blobs/sha256/{hex}")).cloned()))
    })
}

impl Contents {
    fn saved(&self, saved: &Saved, path: &[u8]) -> Result<ContainerImage, ReadError> {
        let text = self.texts.get(&saved.config);
        let text =
            text.ok_or_else(|| ReadError::malformed(path, "the configuration of an image is missing"))?;
        let config: Config = parse_json(text, path)?;
        let sizes: Option<Vec<u64>> =
            saved.layers.iter().map(|layer| self.sizes.get(layer).copied()).collect();
        Ok(ContainerImage {
            store: ContainerStore::DockerArchive,
            location: show(path),
            references: saved.repo_tags.iter().flatten().map(|name| escape(name)).collect(),
            id: Some(digest_of(text)),
            digest: None,
            size: sizes.map(|sizes| sizes.into_iter().fold(0, u64::saturating_add)),
            created: config.created.as_deref().map(escape),
            platform: config.platform(),
        })
    }
}

#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(bytes: &[u8]) {
    let _ = looks_like_images(bytes);
    if let Ok(contents) = contents(&mut &bytes[..]) {
        let _ = described(&contents, b"");
    }
    for name in ["manifest.json", "index.json"] {
        let texts = BTreeMap::from([(name.to_owned(), bytes.to_vec()), ("x".to_owned(), bytes.to_vec())]);
        let _ = described(&Contents { texts, sizes: BTreeMap::new() }, b"");
    }
}
