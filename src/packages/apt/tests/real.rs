//! Against Debian's own archive, with the guest's own apt as the oracle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::fixture::HostTree;
use super::install;
use crate::control::Control;
use crate::distro::Arch;
use crate::packages::apt::{ResolveRequest, archive, resolve};

/// What is asked for. Together they take alternatives, virtual packages and a hundred dependencies.
const PACKAGES: [&str; 3] = ["redis-server", "postgresql", "mariadb-server"];

/// Where the guest's apt leaves its answers, in the guest.
const ANSWERS: &str = "answers";

/// A small Debian 12 in a directory, in which its own apt has been asked what it would install.
fn debian(directory: &Path) -> PathBuf {
    // Run by mmdebstrap, with the lists in place that it removes in the end.
    let ask = "mkdir \"$1/answers\" && for name in $TIB_NAMES; do chroot \"$1\" apt-get -s -q --no-install-recommends \
               install \"$name\" >\"$1/answers/$name\" || exit 1; done";
    let archive = directory.join("debian.tar");
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(["--variant=apt", "--quiet", &format!("--customize-hook={ask}"), "bookworm"])
        .arg(&archive)
        .env("TIB_NAMES", PACKAGES.join(" "))
        .env("TMPDIR", directory)
        .current_dir("/");
    let here = fs::read_to_string("/etc/os-release").unwrap();
    if here.contains("VERSION_CODENAME=bookworm") {
        // The sources of this host are nearer than the default.
        let files = ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"];
        mmdebstrap.args(files.into_iter().filter(|file| fs::metadata(file).is_ok_and(|file| file.len() > 0)));
    }
    assert!(mmdebstrap.status().expect("mmdebstrap is there (make setup)").success());
    let root = directory.join("debian");
    fs::create_dir(&root).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--no-same-owner", "--exclude=./dev", "-xf"]).arg(&archive).arg("-C").arg(&root);
    assert!(tar.status().unwrap().success());
    root
}

/// What would be unpacked: lines `Inst NAME [OLD] (NEW ARCHIVE [ARCH])`.
fn simulated(answer: &str) -> BTreeMap<String, String> {
    let lines = answer.lines().filter_map(|line| line.strip_prefix("Inst "));
    lines
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            let version = rest.split_once('(').and_then(|(_, rest)| rest.split_whitespace().next()).unwrap();
            (name.to_owned(), version.to_owned())
        })
        .collect()
}

#[test]
#[ignore = "needs Debian's archive: run by `make test-network`"]
fn network_packages_are_those_that_the_guests_apt_would_install() {
    let directory = tempfile::tempdir().unwrap();
    // The namespace's root makes files in it.
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let root = debian(directory.path());
    let cache = crate::cache::Cache::open(Some(directory.path().join("cache"))).unwrap();
    for name in PACKAGES {
        let expected = simulated(&fs::read_to_string(root.join(ANSWERS).join(name)).unwrap());
        assert!(expected.len() > 3 && expected.contains_key(name), "{expected:?}");
        let stages = [install(&[name])];
        for offline in [false, true] {
            let mut tree = HostTree(root.clone());
            let request = ResolveRequest {
                tree: &mut tree,
                arch: Arch::X86_64,
                stages: &stages,
                needed: &[],
                boots: true,
                entitled: &[],
                cache: &cache,
                offline,
            };
            let sets = resolve(request, &Control::none()).unwrap().sets;
            let files = sets[0].files.iter();
            let ours: BTreeMap<_, _> = files.map(|file| (file.name.clone(), file.version.clone())).collect();
            assert_eq!(ours, expected, "{name}, offline: {offline}");
            for file in &sets[0].files {
                // dpkg is the judge of a whole package file.
                let mut dpkg = Command::new("dpkg-deb");
                dpkg.args(["--field"])
                    .arg(archive::path(&cache.directory(crate::cache::Bucket::Apt), file.digest))
                    .args(["Package", "Version"]);
                let output = dpkg.output().unwrap();
                let fields = String::from_utf8(output.stdout).unwrap();
                assert_eq!(fields, format!("Package: {}\nVersion: {}\n", file.name, file.version));
            }
        }
    }
}
