//! Layouts and archives of container images on this host.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::ContainerError;
use super::manifest::{self, Blob, Document, Entry, Layer, MANIFEST_LIMIT, Packed};
use super::unpack::{self, packed_of};
use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::distro::Arch;
use crate::recipe::ImageReference;

/// The most entries of an archive, and the most links that lead from one name to another.
const MOST_ENTRIES: usize = 100_000;
const MOST_LINKS: usize = 8;

/// A directory, or a tar, with files.
#[derive(Debug)]
pub(crate) struct Local {
    path: PathBuf,
    /// Where the files of a tar are in it; a directory has none.
    tar: Option<Tar>,
}

#[derive(Debug, Default)]
struct Tar {
    /// First byte, and length.
    files: BTreeMap<String, (u64, u64)>,
    links: BTreeMap<String, String>,
}

/// An image in a layout or an archive.
#[derive(Debug)]
pub(crate) struct LocalImage {
    /// Digest of what its name stands for; `None` in archives of docker.
    pub(crate) digest: Option<Digest>,
    pub(crate) manifests: Vec<Vec<u8>>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Layer>,
    /// The files with the layers.
    pub(crate) files: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// A path, and the name behind it that says which image of it is meant: as much as there is counts as the path.
pub(crate) fn split(text: &str) -> (PathBuf, Option<String>) {
    let mut end = text.len();
    loop {
        if Path::new(&text[..end]).exists() {
            let name = text.get(end + 1..).filter(|name| !name.is_empty());
            return (text[..end].into(), name.map(str::to_owned));
        }
        match text[..end].rfind(':') {
            Some(colon) if colon > 0 => end = colon,
            _ => return (text.into(), None),
        }
    }
}

impl Local {
    pub(crate) fn open(path: &Path) -> Result<Self, ContainerError> {
        let status = fs::metadata(path).map_err(ContainerError::io("read", path))?;
        let tar = if status.is_dir() { None } else { Some(Tar::read(path)?) };
        Ok(Self { path: path.to_owned(), tar })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn wrong(&self, reason: impl Into<String>) -> ContainerError {
        ContainerError::Source { path: self.path.clone(), reason: reason.into() }
    }

    /// A file to read from, and its length.
    pub(crate) fn file(&self, name: &str) -> Result<(impl Read + use<>, u64), ContainerError> {
        let failed = ContainerError::io;
        let Some(tar) = &self.tar else {
            let path = self.path.join(name);
            let file = fs::File::open(&path).map_err(failed("read", &path))?;
            let length = file.metadata().map_err(failed("read", &path))?.len();
            return Ok((file.take(length), length));
        };
        let (at, length) = tar.find(name).ok_or_else(|| self.wrong(format!("there is no `{name}` in it")))?;
        let mut file = fs::File::open(&self.path).map_err(failed("read", &self.path))?;
        file.seek(SeekFrom::Start(at)).map_err(failed("read", &self.path))?;
        Ok((file.take(length), length))
    }

    fn small(&self, name: &str, limit: u64) -> Result<Vec<u8>, ContainerError> {
        let (mut file, length) = self.file(name)?;
        if length > limit {
            return Err(self.wrong(format!("`{name}` has {length} bytes")));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(ContainerError::io("read", &self.path))?;
        Ok(bytes)
    }

    fn blob(&self, blob: &Blob, image: &str, what: &str, limit: u64) -> Result<Vec<u8>, ContainerError> {
        let bytes = self.small(&blob_name(blob.digest), limit)?;
        let found = Digest::of(&bytes);
        if found == blob.digest {
            return Ok(bytes);
        }
        let (image, what) = (image.to_owned(), what.to_owned());
        Err(ContainerError::WrongDigest { image, what, expected: blob.digest, found })
    }

    /// The image of a layout: that of the name, or the only one.
    pub(crate) fn of_layout(&self, name: Option<&str>, arch: Arch) -> Result<LocalImage, ContainerError> {
        let image = self.called(name);
        let index = match self.small("index.json", MANIFEST_LIMIT) {
            Err(ContainerError::Io { .. } | ContainerError::Source { .. }) => {
                return Err(self.wrong("it is no OCI layout: there is no index.json in it"));
            }
            index => index?,
        };
        let Document::Index(entries) = manifest::parse(&index, &image)? else {
            return Err(self.wrong("its index.json is no list"));
        };
        let names = |entries: &[&Entry]| {
            let mut names: Vec<_> = entries.iter().filter_map(|entry| entry.name.clone()).collect();
            names.dedup();
            names
        };
        let all: Vec<_> = entries.iter().collect();
        let fits = |entry: &&Entry| match (name, entry.name.as_deref()) {
            (None, _) => true,
            (Some(wanted), Some(known)) => {
                known == wanted
                    || known.parse::<ImageReference>().is_ok_and(|known| known.tag.as_deref() == Some(wanted))
            }
            (Some(_), None) => false,
        };
        let chosen: Vec<_> = all.iter().copied().filter(fits).collect();
        if chosen.is_empty() {
            return Err(ContainerError::Missing { image, known: names(&all) });
        }
        if names(&chosen).len() > 1 {
            return Err(ContainerError::Several {
                place: self.path.display().to_string(),
                known: names(&chosen),
            });
        }
        let chosen: Vec<_> = chosen.into_iter().cloned().collect();
        let first = manifest::choose(&chosen, arch, &image)?.blob.clone();
        let (mut next, mut manifests) = (first.clone(), Vec::new());
        let (config, layers) = loop {
            let bytes = self.blob(&next, &image, "the manifest", MANIFEST_LIMIT)?;
            let document = manifest::parse(&bytes, &image)?;
            manifests.push(bytes);
            match document {
                Document::Manifest { config, layers } => break (config, layers),
                Document::Index(entries) if manifests.len() == 1 => {
                    next = manifest::choose(&entries, arch, &image)?.blob.clone();
                }
                Document::Index(_) => return Err(self.wrong("lists of manifests lead to each other")),
            }
        };
        let config = self.blob(&config, &image, "the configuration", manifest::CONFIG_LIMIT)?;
        let files = layers.iter().map(|layer| blob_name(layer.blob.digest)).collect();
        Ok(LocalImage { digest: Some(first.digest), manifests, config, layers, files })
    }

    /// The image of an archive of docker: that of the name, or the only one. Layers that are packed have to be read for
    /// their digests.
    pub(crate) fn of_archive(
        &self,
        name: Option<&str>,
        arch: Arch,
        cancel: &Cancel,
    ) -> Result<LocalImage, ContainerError> {
        let image = self.called(name);
        let text = match self.small("manifest.json", MANIFEST_LIMIT) {
            Err(ContainerError::Source { .. }) => {
                return Err(self.wrong("it is no archive of docker: there is no manifest.json in it"));
            }
            text => text?,
        };
        let saved: Vec<Saved> =
            serde_json::from_slice(&text).map_err(|error| self.wrong(format!("manifest.json: {error}")))?;
        let tags = |saved: &Saved| saved.repo_tags.clone().unwrap_or_default();
        let known = || saved.iter().flat_map(tags).collect::<Vec<_>>();
        let fits = |saved: &&Saved| {
            let Some(wanted) = name else { return true };
            let whole = wanted.parse::<ImageReference>().ok();
            tags(saved).iter().filter_map(|tag| tag.parse::<ImageReference>().ok()).any(|tag| {
                whole.as_ref() == Some(&tag) || (!wanted.contains(':') && tag.tag.as_deref() == Some(wanted))
            })
        };
        let mut chosen = saved.iter().filter(fits);
        let Some(one) = chosen.next() else { return Err(ContainerError::Missing { image, known: known() }) };
        if chosen.next().is_some() {
            return Err(ContainerError::Several { place: self.path.display().to_string(), known: known() });
        }
        let config = self.small(&one.config, manifest::CONFIG_LIMIT)?;
        let diffs = manifest::unpacked(&config, one.layers.len(), arch, &image)?;
        let mut layers = Vec::new();
        for (file, diff) in one.layers.iter().zip(diffs) {
            let (mut reader, size) = self.file(file)?;
            let failed = || ContainerError::io("read", &self.path);
            let mut start = Vec::new();
            reader.by_ref().take(unpack::MAGIC).read_to_end(&mut start).map_err(failed())?;
            let packed = packed_of(&start);
            let digest = match packed {
                Packed::Plain => diff,
                _ => unpack::digest(start.as_slice().chain(reader), cancel, failed)?,
            };
            layers.push(Layer { blob: Blob { digest, size }, packed });
        }
        Ok(LocalImage { digest: None, manifests: Vec::new(), config, layers, files: one.layers.clone() })
    }

    fn called(&self, name: Option<&str>) -> String {
        let path = self.path.display();
        name.map_or_else(|| path.to_string(), |name| format!("{path}:{name}"))
    }
}

fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{digest}")
}

impl Tar {
    fn read(path: &Path) -> Result<Self, ContainerError> {
        let wrong = |reason: String| ContainerError::Source { path: path.to_owned(), reason };
        let mut file = fs::File::open(path).map_err(ContainerError::io("read", path))?;
        let mut start = Vec::new();
        Read::by_ref(&mut file)
            .take(unpack::MAGIC)
            .read_to_end(&mut start)
            .map_err(ContainerError::io("read", path))?;
        if packed_of(&start) != Packed::Plain {
            return Err(wrong(
                "the archive as a whole is compressed: unpack it first (`gunzip`, `zstd -d`)".to_owned(),
            ));
        }
        file.rewind().map_err(ContainerError::io("read", path))?;
        let mut tar = Self::default();
        let mut archive = tar::Archive::new(file);
        let mut read = || -> std::io::Result<()> {
            for entry in archive.entries_with_seek()? {
                let entry = entry?;
                let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
                let kind = entry.header().entry_type();
                if tar.files.len() + tar.links.len() >= MOST_ENTRIES {
                    return Err(std::io::Error::other("it has too many entries"));
                }
                if kind.is_file() {
                    tar.files.insert(name, (entry.raw_file_position(), entry.size()));
                } else if (kind.is_symlink() || kind.is_hard_link())
                    && let Some(target) = entry.link_name_bytes()
                {
                    let target = String::from_utf8_lossy(&target).into_owned();
                    let target = if kind.is_symlink() { beside(&name, &target) } else { target };
                    tar.links.insert(name, target);
                }
            }
            Ok(())
        };
        read().map_err(|error| wrong(format!("it is no tar: {error}")))?;
        Ok(tar)
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = name.trim_start_matches("./");
        for _ in 0..MOST_LINKS {
            if let Some(place) = self.files.get(name) {
                return Some(*place);
            }
            name = self.links.get(name)?;
        }
        None
    }
}

/// What a link called `name` leads to: docker writes a layer that two images share once.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<_> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}
