//! Container images of databases, brought into the cache and made into archives that the guest loads at its first boot.
//!
//! | module | what it does |
//! |---|---|
//! | `manifest` | what describes an image |
//! | `registry` | asking a registry; `challenge` and `logins`: how it is told who asks |
//! | `local` | layouts and archives on this host |
//! | `store` | what the cache keeps |
//! | `unpack`, `archive` | layers, verified on their way into an archive of docker |
//!
//! Nothing here runs a program, and nothing needs docker. The protocol is four kinds of requests, so it goes through
//! [`fetch`](crate::fetch) with all that this does for bases: an interrupted layer is resumed, proxies and redirects are as they
//! are there, and nobody who is redirected to is told who asks.

mod archive;
mod challenge;
mod error;
mod local;
mod logins;
mod manifest;
mod registry;
mod store;
mod unpack;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::Path;

use fs_err as fs;

use crate::cache::files::remove_tree;
use crate::cache::{Bucket, Cache, CacheError, FileLock, LockName};
use crate::control::Control;
use crate::digest::Digest;
use crate::distro::Arch;
use crate::fetch::Options;
use crate::recipe::{Container, ContainerSource, EmbedContainer, ImageReference};

pub use error::ContainerError;
use local::{Local, LocalImage};
use manifest::{Blob, CONFIG_LIMIT, Document, Layer, MANIFEST_LIMIT, Packed};
use registry::Registry;
use store::{Note, Store};

/// What layers unpack to, as a multiple of what they are packed.
const UNPACKED: u64 = 3;

/// How images may be had.
pub struct Access<'a> {
    arch: Arch,
    cache: &'a Cache,
    offline: bool,
    options: Options,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
}

impl<'a> Access<'a> {
    /// Images for `arch`, with `cache` for what they are made of. `offline` opens no connection. `environment` has the variables
    /// that lead to logins of registries.
    pub fn new(
        arch: Arch,
        cache: &'a Cache,
        offline: bool,
        environment: &'a dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        Self { arch, cache, offline, options: Options::default(), environment }
    }

    fn registry(&self, image: &ImageReference, control: &Control) -> Result<Registry, ContainerError> {
        let found = |image: &ImageReference| {
            Registry::new(image, self.options.clone(), logins::find(image, self.environment)?, control)
        };
        let Some(mirror) = control.mirrors.fetched(&format!("https://{}", image.full_name())) else {
            return found(image);
        };
        let copy = image.at(&mirror).ok_or_else(|| ContainerError::Unsupported {
            image: image.to_string(),
            reason: format!("its mirror `{mirror}` names no repository of a registry"),
        })?;
        control.events.output("mirror", format!("container image {image}: `{copy}`"));
        let registry = found(&copy)?;
        Ok(if mirror.starts_with("http://") { registry.without_tls() } else { registry })
    }
}

impl std::fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("arch", &self.arch)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// An image that was found: what it is made of is known, and not necessarily here.
#[derive(Debug)]
pub struct FoundContainer {
    /// What the plan says of it.
    pub container: Container,
    layers: Vec<Layer>,
    /// Of what the layers unpack to.
    unpacked: Vec<Digest>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Registry(ImageReference),
    /// With the file of each layer.
    Local(Local, Vec<String>),
}

/// Finds an image, with its manifest and configuration.
///
/// # Errors
/// [`ContainerError`].
pub fn find(
    asked: &EmbedContainer,
    access: &Access<'_>,
    control: &Control,
) -> Result<FoundContainer, ContainerError> {
    let store = Store::open(access.cache)?;
    match &asked.source {
        ContainerSource::Registry(image) => in_registry(asked, image, &store, access, control),
        ContainerSource::OciLayout(text) => {
            let (path, name) = local::split(text);
            let local = Local::open(&path)?;
            let image = local.of_layout(name.as_deref(), access.arch)?;
            on_this_host(asked, local, image, &store, access)
        }
        ContainerSource::DockerArchive(text) => {
            let (path, name) = local::split(text);
            let local = Local::open(&path)?;
            let image = local.of_archive(name.as_deref(), access.arch, &control.cancel)?;
            on_this_host(asked, local, image, &store, access)
        }
    }
}

fn on_this_host(
    asked: &EmbedContainer,
    local: Local,
    image: LocalImage,
    store: &Store,
    access: &Access<'_>,
) -> Result<FoundContainer, ContainerError> {
    let LocalImage { digest, manifests, config, layers, files } = image;
    let called = asked.source.to_string();
    let unpacked = manifest::unpacked(&config, layers.len(), access.arch, &called)?;
    for manifest in manifests {
        store.put(&manifest)?;
    }
    let id = store.put(&config)?;
    Ok(FoundContainer::new(asked, digest, id, layers, unpacked, Origin::Local(local, files)))
}

fn in_registry(
    asked: &EmbedContainer,
    image: &ImageReference,
    store: &Store,
    access: &Access<'_>,
    control: &Control,
) -> Result<FoundContainer, ContainerError> {
    let called = image.to_string();
    let offline = || ContainerError::Offline { image: called.clone() };
    let mut registry = match access.offline {
        true => None,
        false => Some(access.registry(image, control)?),
    };
    let (digest, top) = match (image.digest, &mut registry) {
        (Some(digest), _) => (digest, None),
        (None, Some(registry)) => {
            let bytes = registry.manifest(None)?;
            (Digest::of(&bytes), Some(bytes))
        }
        (None, None) => (store.note(image).ok_or_else(offline)?.digest, None),
    };
    let mut manifest = |digest: Digest, known: Option<Vec<u8>>| -> Result<Document, ContainerError> {
        let bytes = match (known.or_else(|| store.read(digest, MANIFEST_LIMIT)), &mut registry) {
            (Some(bytes), _) => bytes,
            (None, Some(registry)) => registry.manifest(Some(digest))?,
            (None, None) => return Err(offline()),
        };
        let document = manifest::parse(&bytes, &called)?;
        store.put(&bytes)?;
        Ok(document)
    };
    let mut document = manifest(digest, top)?;
    if let Document::Index(entries) = &document {
        document = manifest(manifest::choose(entries, access.arch, &called)?.blob.digest, None)?;
    }
    let Document::Manifest { config, layers } = document else {
        let (image, what) = (called, "the list of manifests".to_owned());
        return Err(ContainerError::Malformed { image, what, reason: "it leads to another list".to_owned() });
    };
    let text = match (store.read(config.digest, CONFIG_LIMIT), &mut registry) {
        (Some(text), _) => text,
        (None, Some(registry)) => registry.small(&config, "the configuration", CONFIG_LIMIT)?,
        (None, None) => return Err(offline()),
    };
    let unpacked = manifest::unpacked(&text, layers.len(), access.arch, &called)?;
    store.put(&text)?;
    if image.digest.is_none() && !access.offline {
        store.remember(image, &Note { digest })?;
    }
    let origin = Origin::Registry(image.clone());
    Ok(FoundContainer::new(asked, Some(digest), config.digest, layers, unpacked, origin))
}

impl FoundContainer {
    fn new(
        asked: &EmbedContainer,
        digest: Option<Digest>,
        id: Digest,
        layers: Vec<Layer>,
        unpacked: Vec<Digest>,
        origin: Origin,
    ) -> Self {
        let sum = |bytes: fn(&Layer) -> u64| layers.iter().map(bytes).fold(0, u64::saturating_add);
        let plain = |layer: &Layer| match layer.packed {
            Packed::Plain => layer.blob.size,
            Packed::Gzip | Packed::Zstd => layer.blob.size.saturating_mul(UNPACKED),
        };
        let archived = |layer: &Layer| match layer.packed {
            Packed::Plain | Packed::Gzip => layer.blob.size,
            Packed::Zstd => layer.blob.size.saturating_mul(UNPACKED),
        };
        let container = Container {
            name: asked.name.familiar(),
            source: asked.source.clone(),
            digest,
            id,
            size: sum(archived),
            unpacked: sum(plain),
        };
        Self { container, layers, unpacked, origin }
    }

    /// What it is called in messages.
    fn image(&self) -> String {
        match &self.origin {
            Origin::Registry(image) => image.to_string(),
            Origin::Local(..) => self.container.source.to_string(),
        }
    }

    /// Brings the layers into the cache that are not there.
    ///
    /// # Errors
    /// [`ContainerError`]. What has arrived stays, and an interrupted layer is resumed.
    pub fn fetch(&self, access: &Access<'_>, control: &Control) -> Result<(), ContainerError> {
        let store = Store::open(access.cache)?;
        let mut registry = None;
        for (index, layer) in self.layers.iter().enumerate() {
            if store.has(&layer.blob) {
                continue;
            }
            let what = format!("layer {} of {} of {}", index + 1, self.layers.len(), self.container.name);
            match &self.origin {
                Origin::Local(local, files) => self.copy(local, &files[index], layer, &store, control)?,
                Origin::Registry(_) if access.offline => {
                    return Err(ContainerError::Offline { image: self.image() });
                }
                Origin::Registry(image) => {
                    let registry = match &mut registry {
                        Some(registry) => registry,
                        None => registry.insert(access.registry(image, control)?),
                    };
                    download(registry, &layer.blob, &what, &store, control)?;
                }
            }
        }
        Ok(())
    }

    fn copy(
        &self,
        local: &Local,
        file: &str,
        layer: &Layer,
        store: &Store,
        control: &Control,
    ) -> Result<(), ContainerError> {
        let work = store.cache().work()?;
        let staged = work.path().join("layer");
        let (mut reader, length) = local.file(file)?;
        let mut to = fs::File::create(&staged).map_err(ContainerError::io("create", &staged))?;
        // As it is: how it is packed does not matter here.
        let copied = unpack::copy(&mut reader, &mut to, Packed::Plain, length, &control.cancel);
        control.cancel.check()?;
        let found = copied.map_err(ContainerError::io("copy", local.path()))?.served;
        if found != layer.blob.digest {
            let what = format!("layer {}", layer.blob.digest.short());
            let (image, expected) = (self.image(), layer.blob.digest);
            return Err(ContainerError::WrongDigest { image, what, expected, found });
        }
        to.sync_all().map_err(ContainerError::io("write", &staged))?;
        store.take(&staged, found)
    }

    /// Writes its archive to `to`, a new file in a directory of the caller's own. The layers must have been fetched.
    ///
    /// # Errors
    /// [`ContainerError`]; what turns out to be damaged is removed from the cache.
    pub fn write_archive(&self, cache: &Cache, to: &Path, control: &Control) -> Result<(), ContainerError> {
        archive::write(self, &Store::open(cache)?, to, &control.cancel)
    }
}

/// Downloads a blob, unless another process has done so meanwhile.
fn download(
    registry: &mut Registry,
    blob: &Blob,
    what: &str,
    store: &Store,
    control: &Control,
) -> Result<(), ContainerError> {
    let cache = store.cache();
    let key = format!("sha256-{}", blob.digest);
    let lock = cache.lock_path(&LockName::Download(key.clone()));
    let _lock = FileLock::exclusive(&lock, &format!("downloading {what}"), control)?;
    if store.has(blob) {
        return Ok(());
    }
    let place = cache.directory(Bucket::Downloads).join(&key);
    let downloaded = registry.download(blob, what, &place)?;
    store.take(&downloaded.path, blob.digest)?;
    remove_tree(&place).map_err(CacheError::io("remove", &place))?;
    Ok(())
}
