use super::*;
use crate::agent::AgentBundle;
use crate::cache::{Provenance, Trust};
use crate::distro::well_known;
use crate::recipe::{Library, Request};
use crate::report::{CheckGroup, CheckResult, Outcome};
use crate::trust::checksum::Checksum;

fn plan(recipe: &str) -> Plan {
    let os = well_known("debian-12").unwrap();
    let plan = Library::new(Vec::new()).load(recipe).unwrap().plan(&Request::new(&os)).unwrap();
    // So that the snapshot does not follow every change of a recipe.
    Plan { recipe_digest: Digest::of(b"recipe"), ..plan }
}

fn bootstrapped(created: u64) -> Origin {
    Origin::Bootstrap {
        system: "debian-12".to_owned(),
        sources: "deb http://deb.example.org/debian bookworm main\n".to_owned(),
        mmdebstrap: "mmdebstrap 1.3.5".to_owned(),
        created,
    }
}

fn downloaded(time: u64) -> Origin {
    Origin::Download(Box::new(Provenance {
        id: Some("bookworm".to_owned()),
        version: Some("20260101-1".to_owned()),
        arch: None,
        url: "https://images.example.org/disk.qcow2".to_owned(),
        redirects: vec!["https://mirror.example.org/disk.qcow2".to_owned()],
        checksum: Some(Checksum::of(crate::trust::checksum::Algorithm::Sha256, b"disk")),
        checksum_file: None,
        trust: Trust::Pin,
        time,
    }))
}

struct Case {
    plan: Plan,
    origin: Origin,
    agent: Option<ResolvedAgent>,
    export: ExportStats,
}

impl Case {
    fn new(recipe: &str, origin: Origin, agent: Option<ResolvedAgent>, content: &[u8]) -> Self {
        let export = ExportStats {
            file_size: content.len() as u64,
            virtual_size: 3 << 30,
            data_clusters: 7000,
            plain_clusters: 12,
            sha256: Digest::of(content),
        };
        Self { plan: plan(recipe), origin, agent, export }
    }

    fn manifest(&self) -> String {
        let package = |name: &str, version: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            arch: "amd64".to_owned(),
            installed_size: Some(4096),
        };
        let mut report = Report::new("image.qcow2");
        report.results = ["one", "two"].map(passed).to_vec();
        let stage = |stage| StageDigest { stage, digest: Digest::of(stage.as_bytes()) };
        Manifest::new(ManifestInput {
            plan: &self.plan,
            base: Digest::of(b"base"),
            base_size: 2 << 30,
            origin: &self.origin,
            agent: self.agent.as_ref(),
            agent_package: None,
            stages: vec![stage("system"), stage("agent"), stage("seal")],
            packages: &[package("curl", "7.88.1-10+deb12u12"), package("dpkg", "1.21.22")],
            report: &report,
            export: &self.export,
            compression: Compression::Zstd,
        })
        .to_json()
    }
}

fn passed(title: &str) -> CheckResult {
    let title = title.to_owned();
    CheckResult { title, group: CheckGroup::Image, outcome: Outcome::Passed, why: None, fix: None }
}

/// The manifest without its last part, as text: what `jq 'del(.recorded)'` leaves.
fn without_recorded(manifest: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(manifest).unwrap();
    assert!(value.as_object_mut().unwrap().remove("recorded").is_some());
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn every_key_of_an_image_with_an_agent() {
    let case = Case::new(
        "trove-guest",
        bootstrapped(1_700_000_000),
        Some(AgentBundle::example(true).agent),
        b"image",
    );
    insta::assert_snapshot!(case.manifest().replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn every_key_of_an_image_of_a_datastore_without_an_agent() {
    let case = Case::new("redis", downloaded(1_700_000_000), None, b"image");
    insta::assert_snapshot!(case.manifest().replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

/// The same base may have been made here or fetched, now or then; and whoever runs a stage again gets other times in
/// the file system, and so another file.
#[test]
fn only_recorded_depends_on_when_where_from_and_on_the_very_file() {
    let first = Case::new("redis", bootstrapped(1), None, b"image").manifest();
    for other in [
        Case::new("redis", bootstrapped(2), None, b"image"),
        Case::new("redis", downloaded(1), None, b"image"),
        Case::new("redis", bootstrapped(1), None, b"an image of a second run"),
    ] {
        let other = other.manifest();
        assert_ne!(first, other);
        assert_eq!(without_recorded(&first), without_recorded(&other));
    }
    let same = Case::new("redis", bootstrapped(1), None, b"image").manifest();
    assert_eq!(first, same);
    let different = Case::new("mariadb", bootstrapped(1), None, b"image").manifest();
    assert_ne!(without_recorded(&first), without_recorded(&different));
}

#[test]
fn containers_are_named_without_places_of_the_host() {
    let container = |name: &str, source, digest: Option<&[u8]>| Container {
        name: name.to_owned(),
        source,
        digest: digest.map(Digest::of),
        id: Digest::of(name.as_bytes()),
        size: 1,
        unpacked: 2,
    };
    let os = well_known("debian-12").unwrap();
    let registry = ContainerSource::Registry("quay.io/x/mariadb:11.4".parse().unwrap());
    let containers = vec![
        container("mariadb:11.4", registry, Some(b"manifest")),
        container("mysql:8.4", ContainerSource::OciLayout("/home/me/layout".to_owned()), Some(b"other")),
        container("postgres:17", ContainerSource::DockerArchive("/home/me/a.tar".to_owned()), None),
    ];
    let request = Request { containers, ..Request::new(&os) };
    let plan = Library::new(Vec::new()).load("trove-guest").unwrap().plan(&request).unwrap();
    let case = Case { plan, ..Case::new("trove-guest", bootstrapped(1), None, b"image") };
    let manifest: serde_json::Value = serde_json::from_str(&case.manifest()).unwrap();
    let expected = serde_json::json!([
        {"name": "mariadb:11.4", "source": "docker://quay.io/x/mariadb:11.4", "digest": Digest::of(b"manifest"),
         "id": Digest::of(b"mariadb:11.4")},
        {"name": "mysql:8.4", "source": "oci", "digest": Digest::of(b"other"), "id": Digest::of(b"mysql:8.4")},
        {"name": "postgres:17", "source": "docker-archive", "digest": null, "id": Digest::of(b"postgres:17")},
    ]);
    assert_eq!(manifest["containers"], expected);
}
