//! Images from files of this host.

use super::*;

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
