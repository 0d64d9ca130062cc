//! What is wrong with packages, repositories and bases: each is refused with its own message and code, and nothing is made.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::common::disks::{disk_of_tree, elf_header};
use super::common::gpg::{Gpg, Key};
use super::common::http::{Reply, Server};
use super::common::{Outcome, outcome, rpms, scratch, tib};

const ROCKY: &str = "ID=rocky\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=9.4\nPRETTY_NAME=\"Rocky Linux 9.4\"\n\
                     PLATFORM_ID=\"platform:el9\"\n";
const PACKAGES: [rpms::Spec; 4] = [
    ("tib-app", "2.0-1", "Requires: tib-lib\n"),
    ("tib-lib", "1.0-1", ""),
    ("tib-clash", "1.0-1", "Conflicts: tib-lib\n"),
    ("tib-broken", "1.0-1", "Requires: tib-nowhere\n"),
];
/// When the key that has expired was good.
const THEN: &str = "20240101T000000";

/// A base with a repository whose metadata is signed, on a server; keys, and a cache.
struct Place {
    directory: tempfile::TempDir,
    gpg: Gpg,
    keys: [Key; 3],
    server: Server,
}

impl Place {
    fn new() -> Self {
        let (directory, gpg) = (scratch(), Gpg::new());
        let keys = [gpg.key("test", "", "0"), gpg.key("other", "", "0"), gpg.key("old", THEN, "1d")];
        let repository = directory.path().join("repository");
        fs::create_dir_all(&repository).unwrap();
        let served = repository.clone();
        let server =
            Server::http(move |request| match fs::read(served.join(request.path.trim_start_matches('/'))) {
                Ok(content) => Reply::new(200, content),
                Err(_) => Reply::status(404),
            });
        rpms::repository(&repository, &PACKAGES, &gpg);
        let place = Self { directory, gpg, keys, server };
        place.sign_metadata(0, "");
        place.base("base.raw", &[0], true);
        place.base("old.raw", &[0, 2], true);
        place.base("empty.raw", &[0], false);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A base that trusts these keys.
    fn base(&self, name: &str, keys: &[usize], has_packages: bool) {
        let tree = self.path(&format!("tree-{name}"));
        let program = elf_header(if cfg!(target_arch = "aarch64") { 183 } else { 62 });
        let url = self.server.url("");
        let repository = format!(
            "[test]\nname=test\nbaseurl={url}\nrepo_gpgcheck=1\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/KEY\n"
        );
        let key: Vec<u8> = keys.iter().flat_map(|index| self.gpg.public(&self.keys[*index])).collect();
        for (path, content) in [
            ("etc/os-release", ROCKY.as_bytes()),
            ("usr/lib/os-release", ROCKY.as_bytes()),
            ("etc/fstab", b""),
            ("bin/sh", &program),
            ("usr/bin/python3", &program),
            ("usr/bin/rpm", &program),
            ("etc/yum.repos.d/test.repo", repository.as_bytes()),
            ("etc/dnf/dnf.conf", b"[main]\ntimeout=1\nretries=1\n"),
            ("etc/pki/rpm-gpg/KEY", &key),
        ] {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            fs::write(tree.join(path), content).unwrap();
        }
        let release: [rpms::Spec; 1] =
            [("rocky-release", "9.4-1", "Provides: system-release(releasever) = 9\n")];
        rpms::installed(&tree, &release[..usize::from(has_packages)]);
        disk_of_tree(&self.path(name), &tree, "", "");
    }

    fn package(&self, name: &str) -> PathBuf {
        let found = PACKAGES.iter().find(|(known, ..)| *known == name).unwrap();
        self.path(&format!("repository/Packages/{name}-{}.noarch.rpm", found.1))
    }

    /// Writes the metadata anew, and signs it.
    fn index(&self) {
        rpms::index(&self.path("repository"));
        self.sign_metadata(0, "");
    }

    fn sign_metadata(&self, key: usize, time: &str) {
        rpms::sign_metadata(&self.path("repository"), &self.gpg, &self.keys[key], time);
    }

    /// Builds from `base` with these packages, with a cache of its own.
    fn build(&self, base: &str, packages: &str) -> Outcome {
        let recipe = format!(
            "name = \"wants\"\nsummary = \"A test\"\nstage = \"site\"\nboots = false\n[[packages]]\ninstall = [{packages}]\n"
        );
        fs::write(self.path("wants.toml"), recipe).unwrap();
        let mut command = tib();
        command
            .args(["build", "./wants.toml", "-o", "image.qcow2", "--base", base])
            .current_dir(self.directory.path());
        command.env("TIB_CACHE_DIR", self.path("cache")).env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
        outcome(&mut command)
    }
}

fn flip(path: &Path, from_end: usize) {
    let mut content = fs::read(path).unwrap();
    let at = content.len() - from_end;
    content[at] ^= 1;
    fs::write(path, content).unwrap();
}

/// Does something to the place, and says which base and which packages are built with then.
type Spoil = fn(&Place) -> (&'static str, &'static str);

const APP: (&str, &str) = ("base.raw", "\"tib-app\"");

/// What is done, and the code and words of the refusal.
const CASES: [(&str, Spoil, i32, &str); 12] = [
    (
        "a package was changed on the server",
        |place| {
            flip(&place.package("tib-app"), 20);
            APP
        },
        5,
        "checksum doesn't match",
    ),
    (
        "and the index with it",
        |place| {
            flip(&place.package("tib-app"), 20);
            place.index();
            APP
        },
        5,
        "its content is not the one that was signed",
    ),
    (
        "a package is not signed",
        |place| {
            assert_eq!(
                outcome(std::process::Command::new("rpmsign").arg("--delsign").arg(place.package("tib-app")))
                    .code,
                Some(0)
            );
            place.index();
            APP
        },
        5,
        "it is not signed",
    ),
    (
        "a package is signed by somebody else",
        |place| {
            rpms::sign(&[place.package("tib-app")], &place.gpg, "other");
            place.index();
            APP
        },
        5,
        "signed by ",
    ),
    (
        "another package lies under the name",
        |place| {
            fs::copy(place.package("tib-clash"), place.package("tib-app")).unwrap();
            APP
        },
        5,
        "tib-app-2.0-1.noarch.rpm: ",
    ),
    (
        "a package is missing between the index and its file",
        |place| {
            fs::remove_file(place.package("tib-app")).unwrap();
            APP
        },
        4,
        "Status code: 404",
    ),
    (
        "the index was changed after it was signed",
        |place| {
            let path = place.path("repository/repodata/repomd.xml");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("<revision>", "<revision>1")).unwrap();
            APP
        },
        5,
        "Bad GPG signature",
    ),
    (
        "the index is not signed",
        |place| {
            fs::remove_file(place.path("repository/repodata/repomd.xml.asc")).unwrap();
            APP
        },
        5,
        "repomd.xml.asc",
    ),
    (
        "the index is signed by a key that had expired",
        |place| {
            place.sign_metadata(2, THEN);
            ("old.raw", "\"tib-app\"")
        },
        5,
        "GPG signature verification error",
    ),
    (
        "packages exclude each other",
        |_| ("base.raw", "\"tib-app\", \"tib-clash\""),
        6,
        "conflicts with tib-lib",
    ),
    (
        "nothing has what a package needs",
        |_| ("base.raw", "\"tib-broken\""),
        6,
        "nothing provides tib-nowhere",
    ),
    (
        "the base has an empty database of packages",
        |_| ("empty.raw", "\"tib-app\""),
        6,
        "no package is installed in the base image",
    ),
];

#[test]
fn bad_packages_repositories_and_bases_are_refused() {
    let place = Place::new();
    let before = fs::read(place.path("base.raw")).unwrap();
    let pristine = place.path("pristine");
    let copy = |from: &Path, to: &Path| {
        let mut command = std::process::Command::new("cp");
        assert_eq!(outcome(command.arg("-a").arg(from).arg(to)).code, Some(0));
    };
    copy(&place.path("repository"), &pristine);
    let good = place.build(APP.0, APP.1);
    assert_eq!(good.code, Some(7), "only the appliance is missing: {}", good.stderr);
    let mut errors = Vec::new();
    for (case, spoil, code, words) in CASES {
        fs::remove_dir_all(place.path("cache/v1/dnf")).unwrap();
        let (base, packages) = spoil(&place);
        let found = place.build(base, packages);
        assert_eq!(found.code, Some(code), "{case}: {}", found.stderr);
        assert!(found.stderr.contains(words), "{case}: {}", found.stderr);
        assert!(found.stderr.contains("hint: "), "{case}: {}", found.stderr);
        errors.push((case, found.stderr.replace(&place.server.url(""), "")));
        fs::remove_dir_all(place.path("repository")).unwrap();
        copy(&pristine, &place.path("repository"));
        fs::create_dir_all(place.path("cache/v1/dnf")).unwrap();
    }
    // Each has a message of its own.
    for (index, (case, error)) in errors.iter().enumerate() {
        let same = errors[..index].iter().find(|(_, other)| other == error);
        assert!(same.is_none(), "{case} reads as {same:?}");
    }
    let again = place.build(APP.0, APP.1);
    assert_eq!(again.code, Some(7), "{}", again.stderr);
    assert_eq!(fs::read(place.path("base.raw")).unwrap(), before, "the base is untouched");
    let left = fs::read_dir(place.directory.path()).unwrap();
    let names: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.contains("image.qcow2")), "{names:?}");
}
