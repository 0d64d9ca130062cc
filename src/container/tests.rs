//! Images from registries that misbehave, and from files of this host, against what skopeo makes of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::error::{Diagnose, Exit};
use crate::fetch::testing::http::{Body, Reply, Request, Server, Site};

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

#[test]
fn an_image_of_a_registry_becomes_an_archive_and_comes_from_the_cache_then() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let server = Server::http(site(&amd64, &arm64).handler());
    let place = Place::new();
    let (found, path) = place.archive(&asked(&server, ":1"), false).unwrap();
    let container = &found.container;
    assert_eq!((container.name.as_str(), container.id), ("db:1", amd64.config));
    let of_tag = Digest::of(index(&[("arm64", &arm64), ("amd64", &amd64)]).as_bytes());
    assert_eq!(container.digest, Some(of_tag));
    let archive = fs::read(&path).unwrap();
    assert!(container.size.abs_diff(archive.len() as u64) < 200_000, "{} {}", container.size, archive.len());
    judge(&place, "db:1", &amd64);
    let mut entries = tar::Archive::new(&archive[..]);
    let names = entries.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let layers = [0, 1, 3].map(|index| format!("{}.tar", amd64.diffs[index]));
    let first = ["manifest.json".to_owned(), format!("{}.json", amd64.config)];
    assert_eq!(names.collect::<Vec<_>>(), [&first[..], &layers].concat());

    let requests = server.requests();
    let again = place.find(&asked(&server, ":1"), false).unwrap();
    place.with(false, |access| again.fetch(access, &Control::none())).unwrap();
    assert_eq!(server.requests(), requests + 1, "only the tag is asked for again");
    let source = asked(&server, ":1");
    let pinned = asked(&server, &format!("@sha256:{of_tag}"));
    drop(server);
    for asked in [source, pinned] {
        let (found, path) = place.archive(&asked, true).unwrap();
        assert_eq!(found.container.digest, Some(of_tag));
        assert!(fs::read(path).unwrap() == archive, "the same image gives the same bytes");
    }
}

#[test]
fn what_is_not_there_is_told() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let server = Server::http(site(&amd64, &arm64).handler());
    let place = Place::new();
    let pinned = |digest: Digest| asked(&server, &format!("@sha256:{digest}"));
    for (asked, message, exit) in [
        (asked(&server, ":2"), "there is no container image", Exit::Usage),
        (asked(&server, ":arm"), "is not for linux/amd64, but for linux/arm64", Exit::Usage),
        (pinned(arm64.manifest), "is not for linux/amd64, but for linux/arm64", Exit::Usage),
        (pinned(Digest::of(b"none")), "there is no container image", Exit::Usage),
        (asked(&server, ":old"), "schema 1", Exit::Usage),
        ("db:1=docker://127.0.0.1:1/own/db:1".to_owned(), "cannot get container image", Exit::Network),
        (format!("db:1=oci:{}", place.path("none").display()), "cannot read `", Exit::Host),
    ] {
        let error = place.fails(&asked);
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.exit(), exit, "{error}");
        assert!(exit == Exit::Host || error.hint().is_some(), "{error}");
    }
    let error = place.find(&asked(&server, ":plain"), true).unwrap_err();
    assert!(matches!(error, ContainerError::Offline { .. }), "{error}");
}

#[test]
fn other_bytes_than_the_digests_say_are_refused_wherever_they_are() {
    let amd64 = made("amd64");
    let arm64 = made("arm64");
    let layer = |made: &Made, at: usize| {
        let manifest: Value = serde_json::from_slice(&made.blobs[&made.manifest]).unwrap();
        manifest["layers"][at]["digest"].as_str().unwrap().to_owned()
    };
    for (path, message) in [
        (format!("manifests/sha256:{}", amd64.manifest), "the manifest of container image"),
        (format!("blobs/sha256:{}", amd64.config), "the configuration of container image"),
        (format!("blobs/{}", layer(&amd64, 1)), "is not what it should be"),
    ] {
        let site = site(&amd64, &arm64);
        let path = format!("/v2/own/db/{path}");
        let mut bytes = amd64.blobs[&Digest::parse(&path[path.len() - 64..]).unwrap()].clone();
        *bytes.last_mut().unwrap() ^= 1;
        site.put(&path, bytes);
        let server = Server::http(site.handler());
        let error = Place::new().fails(&asked(&server, ":1"));
        let text = crate::error::Failure::from(error).to_string();
        assert!(text.contains(message), "{text}");
    }
    // A layer that is right by its own digest, and unpacks to something else than the configuration says.
    let other = of_layers("amd64", &[tree("x", 9)], &[gzip(&tree("y", 9))], &["+gzip"]);
    let server = Server::http(self::site(&other, &arm64).handler());
    let error = Place::new().fails(&asked(&server, ":1"));
    assert!(error.to_string().contains("unpacked, of container image"), "{error}");
    assert_eq!(error.exit(), Exit::Integrity);
    let torn = of_layers("amd64", &[tree("x", 9)], &[gzip(&tree("x", 9))[..40].to_vec()], &["+gzip"]);
    let server = Server::http(self::site(&torn, &arm64).handler());
    let error = Place::new().fails(&asked(&server, ":1"));
    assert!(error.to_string().contains("it cannot be unpacked"), "{error}");
}

#[test]
fn a_layer_that_breaks_off_is_resumed_and_one_damaged_in_the_cache_is_fetched_again() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let files = site(&amd64, &arm64);
    let broken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&broken);
    let server = Server::http(move |request| {
        let reply = files.reply(request);
        let large = matches!(&reply.body, Body::Bytes(_, part) if part.end - part.start > 200_000);
        if large && count.fetch_add(1, Ordering::SeqCst) < 2 { reply.cut_after(100_000) } else { reply }
    });
    let place = Place::new();
    place.archive(&asked(&server, ":1"), false).unwrap();
    judge(&place, "db:1", &amd64);
    let parts: Vec<_> =
        server.log().iter().filter_map(|logged| logged.request.header("range").map(str::to_owned)).collect();
    assert!(!parts.is_empty(), "the rest alone is asked for");

    let store = Store::open(&place.cache).unwrap();
    let path = store.path(amd64.diffs[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[600] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = place.fails(&asked(&server, ":1"));
    assert!(matches!(error, ContainerError::Damaged { .. }), "{error}");
    place.archive(&asked(&server, ":1"), false).unwrap();
    judge(&place, "db:1", &amd64);
}

/// A server that wants a token, which another path gives for the right login, and sends layers from elsewhere.
fn guarded(files: Site, elsewhere: String, lifetime: usize) -> Server {
    let login = format!("Basic {}", STANDARD.encode("user:secret"));
    let (issued, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Server::http(move |request: &Request| {
        if let Some(query) = request.path.strip_prefix("/token?") {
            assert!(
                query.contains("service=own+registry")
                    && query.contains("scope=repository%3Aown%2Fdb%3Apull"),
                "{query}"
            );
            if request.header("authorization") != Some(&login) {
                return Reply::status(401);
            }
            used.store(0, Ordering::SeqCst);
            let token = format!("token-{}", issued.fetch_add(1, Ordering::SeqCst) + 1);
            return Reply::new(200, json!({ "token": token }).to_string().into_bytes());
        }
        let token = format!("Bearer token-{}", issued.load(Ordering::SeqCst));
        let valid =
            request.header("authorization") == Some(&token) && used.fetch_add(1, Ordering::SeqCst) < lifetime;
        if !valid {
            let host = request.header("host").unwrap();
            let challenge = format!(
                "Bearer realm=\"http://{host}/token\",service=\"own registry\",scope=\"repository:own/db:pull\""
            );
            return Reply::status(401).with("WWW-Authenticate", &challenge);
        }
        match request.path.contains("/blobs/") {
            true => Reply::redirect(307, &format!("{elsewhere}{}", request.path)),
            false => files.reply(request),
        }
    })
}

#[test]
fn a_token_is_got_with_the_login_and_told_to_nobody_else() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let files = site(&amd64, &arm64);
    let elsewhere = Server::http(files.handler());
    // Each token is good for three requests, so one expires on the way.
    let server = guarded(files, elsewhere.url(""), 3);
    let place = Place::new();
    let host = server.url("").replace("http://", "");
    let login = |password: &str| {
        let auth = STANDARD.encode(format!("user:{password}"));
        fs::write(place.path("auth.json"), json!({"auths": {&host: {"auth": auth}}}).to_string()).unwrap();
    };
    let refused = place.fails(&asked(&server, ":1"));
    assert!(refused.to_string().contains("there is no login for it"), "{refused}");
    login("wrong");
    let refused = place.fails(&asked(&server, ":1"));
    assert!(refused.to_string().contains("it gives no token: the answer is 401 to the login"), "{refused}");
    assert_eq!(refused.exit(), Exit::Network);
    login("secret");
    place.archive(&asked(&server, ":1"), false).unwrap();
    judge(&place, "db:1", &amd64);
    assert!(elsewhere.requests() > 2);
    for logged in elsewhere.log() {
        assert_eq!(logged.request.header("authorization"), None, "{}", logged.request.path);
    }
    for name in ["blobs", "names"] {
        for entry in fs::read_dir(place.cache.directory(Bucket::Containers).join(name)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("token-"));
        }
    }
}

#[test]
fn a_registry_that_has_had_enough_is_named() {
    let server = Server::http(|_| Reply::status(429).with("Retry-After", "0"));
    let error = Place::new().fails(&asked(&server, ":1"));
    assert!(matches!(error, ContainerError::RateLimited { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Network);
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

#[test]
fn layouts_and_archives_of_skopeo_are_what_they_were_made_of() {
    let place = Place::new();
    // docker's own archives know nothing of zstd.
    let plain = [tree("one", 5000), tree("two", 300_000), tree("one", 5000)];
    let packed = [plain[0].clone(), gzip(&plain[1]), plain[2].clone()];
    let amd64 = of_layers("amd64", &plain, &packed, &["", "+gzip", ""]);
    layout(&place, "layout", &amd64, &["1", "2"]);
    skopeo(&place, &["copy", "-q", "oci:layout:1", "oci-archive:oci.tar:x"]);
    skopeo(&place, &["copy", "-q", "oci:layout:1", "docker-archive:docker.tar:own/db:3"]);
    let at =
        |source: &str, name: &str| format!("h.example:5000/db:1={source}:{}", place.path(name).display());
    let several = place.fails(&at("oci", "layout"));
    assert!(several.to_string().ends_with("holds several container images: 1, 2"), "{several}");
    let missing = place.fails(&at("oci", "layout:3"));
    assert!(missing.to_string().ends_with("layout:3; there are: 1, 2"), "{missing}");
    let missing = place.fails(&at("docker-archive", "docker.tar:own/db:4"));
    assert!(missing.to_string().ends_with("own/db:4; there are: docker.io/own/db:3"), "{missing}");
    // It packs what is plain, so the manifest is another one.
    let packed = skopeo(&place, &["inspect", "--format={{.Digest}}", "oci-archive:oci.tar:x"]);
    let packed = Digest::parse(String::from_utf8(packed).unwrap().trim().strip_prefix("sha256:").unwrap());
    let mut archives = Vec::new();
    for (source, name, digest) in [
        ("oci", "layout:1", Some(amd64.manifest)),
        ("oci", "oci.tar", packed),
        ("docker-archive", "docker.tar", None),
        ("docker-archive", "docker.tar:3", None),
        ("docker-archive", "docker.tar:own/db:3", None),
    ] {
        let (found, path) = place.archive(&at(source, name), true).unwrap();
        assert_eq!((found.container.id, found.container.digest), (amd64.config, digest), "{name}");
        judge(&place, "h.example:5000/db:1", &amd64);
        archives.push(fs::read(path).unwrap());
    }
    assert!(archives[2] == archives[3] && archives[3] == archives[4]);
    // Ours is one of docker's as well.
    fs::rename(place.path("archive.tar"), place.path("own.tar")).unwrap();
    let (found, _) = place.archive(&at("docker-archive", "own.tar"), true).unwrap();
    assert_eq!(found.container.id, amd64.config);
    judge(&place, "h.example:5000/db:1", &amd64);
}

#[test]
fn files_that_hold_no_images_are_told() {
    let place = Place::new();
    let amd64 = made("amd64");
    layout(&place, "torn", &amd64, &["1"]);
    let blobs = place.path("torn/blobs/sha256");
    fs::write(blobs.join(amd64.diffs[0].to_string()), vec![0; amd64.blobs[&amd64.diffs[0]].len()]).unwrap();
    fs::write(place.path("text"), "no archive at all").unwrap();
    fs::write(place.path("other.tar"), tree("one", 9)).unwrap();
    fs::write(place.path("packed.tar"), gzip(&tree("one", 9))).unwrap();
    fs::create_dir(place.path("empty")).unwrap();
    for (source, message) in [
        ("oci:torn", "is not what it should be"),
        ("oci:empty", "it is no OCI layout"),
        ("oci:other.tar", "it is no OCI layout"),
        ("oci:text", "it is no"),
        ("docker-archive:other.tar", "it is no archive of docker"),
        ("docker-archive:packed.tar", "unpack it first"),
        ("docker-archive:missing.tar", "cannot read"),
    ] {
        let (kind, name) = source.split_once(':').unwrap();
        let error = place.fails(&format!("db:1={kind}:{}", place.path(name).display()));
        assert!(error.to_string().contains(message), "{source}: {error}");
    }
}

/// A signed-in download that was interrupted leaves nothing that others could take for whole.
#[test]
fn an_interruption_ends_it() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let server = Server::http(site(&amd64, &arm64).handler());
    let place = Place::new();
    let found = place.find(&asked(&server, ":1"), false).unwrap();
    let control = Control::none();
    control.cancel.raise();
    let error = place.with(false, |access| found.fetch(access, &control)).unwrap_err();
    assert!(matches!(error, ContainerError::Cancelled(_)), "{error}");
    let layout_of = Place::new();
    layout(&layout_of, "layout", &amd64, &["1"]);
    let asked = format!("db:1=oci:{}", layout_of.path("layout").display());
    let found = layout_of.find(&asked, true).unwrap();
    let error = layout_of.with(true, |access| found.fetch(access, &control)).unwrap_err();
    assert!(
        matches!(error, ContainerError::Cancelled(_) | ContainerError::Cache(CacheError::Cancelled(_))),
        "{error}"
    );
}
