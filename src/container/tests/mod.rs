//! What the tests of container images share: images, and a place to have them in. skopeo judges.

mod local;
mod registry;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::fetch::testing::http::{Server, Site};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image as its parts.
#[derive(Debug, Clone)]
struct Made {
    blobs: BTreeMap<Digest, Vec<u8>>,
    manifest: Digest,
    config: Digest,
    diffs: Vec<Digest>,
}

fn blob(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{}", Digest::of(bytes)), "size": bytes.len()})
}

/// A tar with one file of noise, which does not pack well.
fn tree(name: &str, length: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(length as u64);
    header.set_mode(0o644);
    let mut content = vec![0; length];
    crate::fetch::testing::http::pattern(7, 0, &mut content);
    builder.append_data(&mut header, name, &content[..]).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image with a plain layer, one of gzip, the first one again, and one of zstd.
fn made(architecture: &str) -> Made {
    let plain = [tree("one", 5000), tree("two", 300_000), tree("one", 5000), tree(architecture, 70_000)];
    let packed =
        [plain[0].clone(), gzip(&plain[1]), plain[2].clone(), zstd::encode_all(&plain[3][..], 1).unwrap()];
    of_layers(architecture, &plain, &packed, &["", "+gzip", "", "+zstd"])
}

fn of_layers(architecture: &str, plain: &[Vec<u8>], packed: &[Vec<u8>], kinds: &[&str]) -> Made {
    let diffs: Vec<_> = plain.iter().map(|layer| Digest::of(layer)).collect();
    let named: Vec<_> = diffs.iter().map(|diff| format!("sha256:{diff}")).collect();
    let config = json!({
        "created": "2024-01-02T03:04:05Z", "architecture": architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": named},
    })
    .to_string();
    let layers: Vec<_> =
        packed.iter().zip(kinds).map(|(layer, kind)| blob(&format!("{LAYER}{kind}"), layer)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": blob(CONFIG, config.as_bytes()), "layers": layers,
    })
    .to_string();
    let all = packed.iter().cloned().chain([config.clone().into_bytes(), manifest.clone().into_bytes()]);
    Made {
        blobs: all.map(|bytes| (Digest::of(&bytes), bytes)).collect(),
        manifest: Digest::of(manifest.as_bytes()),
        config: Digest::of(config.as_bytes()),
        diffs,
    }
}

fn index(images: &[(&str, &Made)]) -> String {
    let entries = images.iter().map(|(architecture, made)| {
        let mut entry = blob(MANIFEST, &made.blobs[&made.manifest]);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    });
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries.collect::<Vec<_>>()}).to_string()
}

/// The files of a registry: image `own/db` in both architectures as tag `1`, that for this one as `plain`.
fn site(amd64: &Made, arm64: &Made) -> Site {
    let site = Site::new();
    for (digest, bytes) in amd64.blobs.iter().chain(&arm64.blobs) {
        site.put(&format!("/v2/own/db/blobs/sha256:{digest}"), bytes.clone());
        site.put(&format!("/v2/own/db/manifests/sha256:{digest}"), bytes.clone());
    }
    site.put("/v2/own/db/manifests/1", index(&[("arm64", arm64), ("amd64", amd64)]).into_bytes());
    site.put("/v2/own/db/manifests/plain", amd64.blobs[&amd64.manifest].clone());
    site.put("/v2/own/db/manifests/arm", index(&[("arm64", arm64)]).into_bytes());
    site.put("/v2/own/db/manifests/old", json!({"schemaVersion": 1}).to_string().into_bytes());
    site
}

/// A cache and a home.
struct Place {
    directory: tempfile::TempDir,
    cache: Cache,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path().join("cache"))).unwrap();
        Self { directory, cache }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn with<T>(&self, offline: bool, work: impl FnOnce(&Access<'_>) -> T) -> T {
        let environment = |name: &str| (name == "REGISTRY_AUTH_FILE").then(|| self.path("auth.json").into());
        let mut access = Access::new(Arch::X86_64, &self.cache, offline, &environment);
        access.options = Options {
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(5),
            retries: 3,
            progress: 1,
            backoff: Duration::from_millis(1),
            longest_wait: Duration::from_millis(20),
            proxies: false,
            system_roots: false,
            ..Options::default()
        };
        work(&access)
    }

    fn find(&self, asked: &str, offline: bool) -> Result<FoundContainer, ContainerError> {
        self.with(offline, |access| find(&asked.parse().unwrap(), access, &Control::none()))
    }

    /// Finds and fetches an image, and writes its archive.
    fn archive(&self, asked: &str, offline: bool) -> Result<(FoundContainer, PathBuf), ContainerError> {
        let found = self.find(asked, offline)?;
        self.with(offline, |access| found.fetch(access, &Control::none()))?;
        let path = self.path("archive.tar");
        found.write_archive(&self.cache, &path, &Control::none())?;
        Ok((found, path))
    }

    fn fails(&self, asked: &str) -> ContainerError {
        match self.archive(asked, false) {
            Err(error) => error,
            Ok(_) => panic!("{asked} was had"),
        }
    }
}

/// What `--embed-container` says of an image of a server.
fn asked(server: &Server, tag: &str) -> String {
    let host = server.url("").replace("http://", "");
    format!("db:1=docker://{host}/own/db{tag}")
}

fn skopeo(place: &Place, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo")
        .args(arguments)
        .current_dir(place.directory.path())
        .env("HOME", place.directory.path())
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// skopeo takes the archive for the image that it was made of.
fn judge(place: &Place, name: &str, made: &Made) {
    let source = format!("docker-archive:archive.tar:{name}");
    let raw: Value = serde_json::from_slice(&skopeo(place, &["inspect", "--raw", &source])).unwrap();
    assert_eq!(raw["config"]["digest"], json!(format!("sha256:{}", made.config)));
    let config = skopeo(place, &["inspect", "--raw", "--config", &source]);
    assert_eq!(Digest::of(&config), made.config);
    // Copying reads and verifies every layer.
    skopeo(place, &["copy", "-q", &source, "dir:copied"]);
    let copied: Value =
        serde_json::from_slice(&fs::read(place.path("copied/manifest.json")).unwrap()).unwrap();
    let layers: Vec<_> =
        copied["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].clone()).collect();
    let diffs: Vec<_> = made.diffs.iter().map(|diff| json!(format!("sha256:{diff}"))).collect();
    assert_eq!(layers, diffs);
}

/// Writes an image as a layout.
fn layout(place: &Place, name: &str, made: &Made, tags: &[&str]) {
    let blobs = place.path(name).join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for (digest, bytes) in &made.blobs {
        fs::write(blobs.join(digest.to_string()), bytes).unwrap();
    }
    let entry = |tag: &&str| {
        let mut entry = blob(MANIFEST, &made.blobs[&made.manifest]);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        entry
    };
    let index = json!({"schemaVersion": 2, "manifests": tags.iter().map(entry).collect::<Vec<_>>()});
    fs::write(place.path(name).join("index.json"), index.to_string()).unwrap();
    fs::write(place.path(name).join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
