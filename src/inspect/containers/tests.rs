use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::with_host_files;
use super::*;
use crate::os::testing::MemTree;

/// Runs skopeo, the independent reader and writer of everything that is read here but Docker's own storage.
fn skopeo(home: &Path, arguments: &[&str]) -> Vec<u8> {
    // Its storage wants to be root, as in a user namespace everybody is.
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "skopeo"])
        .args(arguments)
        .current_dir(home)
        .env("HOME", home)
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// An image of two layers as an OCI layout, made by hand after the specification. Gives its id and the sizes of
/// its layers.
fn make_layout(directory: &Path) -> (String, u64) {
    let blobs = directory.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    let add = |content: &[u8]| {
        let digest = digest_of(content);
        fs_err::write(blobs.join(hex(&digest).unwrap()), content).unwrap();
        digest
    };
    let layers: Vec<Vec<u8>> = ["one", "two"]
        .iter()
        .map(|name| {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_ustar();
            header.set_size(5000);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &[b'x'; 5000][..]).unwrap();
            builder.into_inner().unwrap()
        })
        .collect();
    let diffs: Vec<_> = layers.iter().map(|layer| add(layer)).collect();
    let config = json!({
        "created": "2024-01-02T03:04:05Z", "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diffs},
    })
    .to_string();
    let id = add(config.as_bytes());
    let described: Vec<_> = layers
        .iter()
        .zip(&diffs)
        .map(|(layer, digest)| {
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len()})
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": id, "size": config.len()},
        "layers": described,
    })
    .to_string();
    let digest = add(manifest.as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": "v1"},
    }]});
    fs_err::write(directory.join("index.json"), index.to_string()).unwrap();
    fs_err::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    (id, layers.iter().map(|layer| layer.len() as u64).sum())
}

fn only(tree: &mut MemTree) -> ContainerImage {
    let found = containers(tree).unwrap();
    assert_eq!((found.images.len(), found.unreadable), (1, vec![]), "{:?}", found.images);
    found.images.into_iter().next().unwrap()
}

#[test]
fn skopeo_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let (id, size) = make_layout(&home.join("layout"));
    let inspected: Value = serde_json::from_slice(&skopeo(home, &["inspect", "oci:layout:v1"])).unwrap();
    let created = inspected["Created"].as_str();
    let platform =
        format!("{}/{}", inspected["Os"].as_str().unwrap(), inspected["Architecture"].as_str().unwrap());

    let layout = only(&mut with_host_files(MemTree::new(), &home.join("layout"), "/srv/own/layout"));
    assert_eq!((layout.store, layout.location.as_str()), (ContainerStore::OciLayout, "/srv/own/layout"));
    assert_eq!(
        (layout.references.as_slice(), layout.digest.as_deref()),
        (&["v1".to_owned()][..], inspected["Digest"].as_str())
    );
    assert_eq!((layout.id.as_ref(), layout.size), (Some(&id), Some(size)));
    assert_eq!((layout.created.as_deref(), layout.platform.as_deref()), (created, Some(platform.as_str())));

    skopeo(home, &["copy", "-q", "oci:layout:v1", "docker-archive:docker.tar:localhost/own:2"]);
    let saved =
        only(&mut MemTree::new().file("/opt/x/docker.tar", fs_err::read(home.join("docker.tar")).unwrap()));
    assert_eq!(
        (saved.store, saved.references.as_slice()),
        (ContainerStore::DockerArchive, &["localhost/own:2".to_owned()][..])
    );
    let again: Value = serde_json::from_slice(&skopeo(
        home,
        &["inspect", "--raw", "docker-archive:docker.tar:localhost/own:2"],
    ))
    .unwrap();
    assert_eq!((saved.id.as_deref(), saved.size), (again["config"]["digest"].as_str(), Some(size)));
    assert_eq!((saved.created.as_deref(), saved.platform), (created, layout.platform.clone()));

    skopeo(home, &["copy", "-q", "oci:layout:v1", "oci-archive:oci.tar:v3"]);
    let packed = only(&mut MemTree::new().file("/root/oci.tar", fs_err::read(home.join("oci.tar")).unwrap()));
    assert_eq!(
        (packed.store, packed.references.as_slice()),
        (ContainerStore::OciArchive, &["v3".to_owned()][..])
    );
    let again: Value = serde_json::from_slice(&skopeo(home, &["inspect", "oci-archive:oci.tar:v3"])).unwrap();
    assert_eq!(packed.digest.as_deref(), again["Digest"].as_str());
    assert_eq!(packed.id, Some(id.clone()));

    let storage = format!("containers-storage:[vfs@{0}/storage+{0}/run]localhost/own:4", home.display());
    skopeo(home, &["copy", "-q", "oci:layout:v1", &storage]);
    let mut tree = MemTree::new();
    for part in ["vfs-images", "vfs-layers"] {
        tree = with_host_files(
            tree,
            &home.join("storage").join(part),
            &format!("/var/lib/containers/storage/{part}"),
        );
    }
    let stored = only(&mut tree);
    assert_eq!(
        (stored.store, stored.references.as_slice()),
        (ContainerStore::Podman, &["localhost/own:4".to_owned()][..])
    );
    assert_eq!((stored.id, stored.digest, stored.size), (Some(id), layout.digest, Some(size)));
    assert_eq!((stored.created.as_deref(), stored.platform), (created, layout.platform));
}

/// Docker's storage needs its daemon to be made: these files are written after the ones of a Docker 20.10.
#[test]
fn the_storage_of_docker() {
    let store = "/var/lib/docker/image/overlay2";
    let (id, other) = ("a".repeat(64), "b".repeat(64));
    let (first, second) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
    let chain = digest_of(format!("{first} {second}").as_bytes());
    let config = json!({
        "created": "2024-05-06T07:08:09.1Z", "architecture": "arm64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [first, second]},
    });
    let names = json!({"Repositories": {"own": {
        "own:1": format!("sha256:{id}"), "own:latest": format!("sha256:{id}"),
        format!("own@sha256:{}", "d".repeat(64)): format!("sha256:{id}"),
    }}});
    let mut tree = MemTree::new()
        .file(&format!("{store}/repositories.json"), names.to_string())
        .file(&format!("{store}/imagedb/content/sha256/{id}"), config.to_string())
        .file(&format!("{store}/imagedb/content/sha256/{other}"), "{}")
        .file(&format!("{store}/layerdb/sha256/{}/size", "1".repeat(64)), "1000")
        .file(&format!("{store}/layerdb/sha256/{}/size", hex(&chain).unwrap()), "234\n");
    let found = containers(&mut tree).unwrap().images;
    assert_eq!(found.len(), 2);
    let image = found.iter().find(|image| !image.references.is_empty()).unwrap();
    assert_eq!(image.references, ["own:1", "own:latest"]);
    assert_eq!(image.digest.as_deref(), Some(format!("sha256:{}", "d".repeat(64)).as_str()));
    assert_eq!((image.size, image.platform.as_deref()), (Some(1234), Some("linux/arm64")));
    for bad in [
        tree.clone().file(&format!("{store}/repositories.json"), "{\"Repositories\": 1}"),
        tree.clone().file(&format!("{store}/imagedb/content/sha256/{other}"), "{"),
        tree.clone().file(&format!("{store}/layerdb/sha256/{}/size", "1".repeat(64)), "many"),
        tree.clone().broken("/var/lib/docker/image"),
    ] {
        assert!(containers(&mut bad.clone()).is_err());
    }
}

#[test]
fn the_storage_of_containerd() {
    let directory = tempfile::tempdir().unwrap();
    let (id, size) = make_layout(directory.path());
    let blobs = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256";
    let mut tree = with_host_files(MemTree::new(), &directory.path().join("blobs/sha256"), blobs);
    let image = only(&mut tree);
    assert_eq!(
        (image.store, image.id.as_ref(), image.size),
        (ContainerStore::Containerd, Some(&id), Some(size))
    );
    assert_eq!(image.references, Vec::<String>::new());
    let index = json!({"schemaVersion": 2, "manifests": [
        {"digest": image.digest, "annotations": {"io.containerd.image.name": "docker.io/library/own:1"}},
        {"digest": format!("sha256:{}", "0".repeat(64))},
    ]})
    .to_string();
    let mut tree = tree.file(&format!("{blobs}/{}", hex(&digest_of(index.as_bytes())).unwrap()), index);
    assert_eq!(only(&mut tree).references, ["docker.io/library/own:1"]);
    assert!(containers(&mut tree.broken(blobs)).is_err());
}

#[test]
fn archives_that_cannot_be_read_are_named() {
    let archive = |entries: &[(&str, &str)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let whole = archive(&[("manifest.json", "[]"), ("oci-layout", "{}")]);
    let mut tree = MemTree::new()
        .file("/srv/backup.tar", archive(&[("etc/passwd", "root")]))
        .file("/srv/text.tar", "no archive at all")
        .file("/srv/empty.tar", "")
        .file("/srv/fine.tar", &whole)
        .file("/srv/large.tar", &whole)
        .sized("/srv/large.tar", 9 << 30)
        .file("/srv/lost.tar", archive(&[("manifest.json", r#"[{"Config":"gone.json","Layers":[]}]"#)]))
        .file("/srv/wrong.tar", archive(&[("index.json", "{")]))
        .file("/srv/short.tar", &archive(&[("manifest.json", &format!("[{}]", " ".repeat(2000)))])[..1024]);
    let found = containers(&mut tree).unwrap();
    assert_eq!(found.images, []);
    let expected = [
        "/srv/large.tar: it is larger than 8 GiB",
        "/srv/lost.tar: the configuration of an image is missing",
        "/srv/short.tar: ",
        "/srv/wrong.tar: ",
    ];
    assert_eq!(found.unreadable.len(), expected.len(), "{:?}", found.unreadable);
    for (found, expected) in found.unreadable.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
    assert!(containers(&mut tree.clone().broken("/srv/fine.tar")).is_err());
    assert!(containers(&mut tree.file("/opt/l/oci-layout", "{}")).is_err(), "a layout without an index");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        any_text(&bytes);
    }

    #[test]
    fn any_manifest_is_survived(digest in "(sha256:)?[a-f0-9./]{0,70}", size: u64, text in "[\\[{}\\]:\",a-z0-9]{0,40}") {
        let entry = json!({"digest": digest, "size": size, "mediaType": "application/vnd.oci.image.config.v1+json"});
        any_text(json!({"schemaVersion": 2, "config": entry, "layers": [entry, entry]}).to_string().as_bytes());
        any_text(json!({"schemaVersion": 2, "manifests": [entry, entry]}).to_string().as_bytes());
        any_text(text.as_bytes());
    }
}
