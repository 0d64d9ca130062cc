//! Sources that are not what a recipe says: each with its message and exit code, and before anything is changed. What a person brings
//! (`tests/artifacts.rs`), keys (`tests/repository_keys.rs`) and credentials (`tests/mirrors.rs`) have tests of their own.

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::gpg::{Gpg, Key};
use common::http::{Server, Site};
use common::small::{self, Shape};
use common::{Outcome, outcome, run, scratch, tib};
use fs_err as fs;

/// A vendor's repository of Debian's packages, and a place to build in.
struct Vendor {
    place: tempfile::TempDir,
    gpg: Gpg,
    key: Key,
    /// When it signs.
    signed: &'static str,
    site: Site,
}

impl Vendor {
    /// With a key made at a time (gpg's format, empty for now), which signs at another and is good for `life`.
    fn new(made: &str, signed: &'static str, life: &str) -> Self {
        let gpg = Gpg::new();
        let key = gpg.key("vendor", made, life);
        Self { place: scratch(), gpg, key, signed, site: Site::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Publishes an index of packages: name, and further lines of the control file.
    fn publish(&self, packages: &[(&str, &str)]) {
        let pool = self.path("pool");
        fs::create_dir_all(&pool).unwrap();
        for (name, fields) in packages {
            let control = format!(
                "Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@example.org>\n{fields}Description: d\n"
            );
            let tree = self.path(name);
            fs::create_dir_all(tree.join("DEBIAN")).unwrap();
            fs::write(tree.join("DEBIAN/control"), control).unwrap();
            run("chmod", &[&"-R", &"u=rwX,go=rX", &tree]);
            run("dpkg-deb", &[&"--root-owner-group", &"--build", &tree, &pool]);
        }
        let suite = self.path("dists/stable/main/binary-amd64");
        fs::create_dir_all(&suite).unwrap();
        let script = "cd \"$1\"; apt-ftparchive packages pool >dists/stable/main/binary-amd64/Packages; \
             apt-ftparchive -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=stable \
             -o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Architectures=amd64 release dists/stable";
        let release = run("sh", &[&"-euc", &script, &"sh", &self.place.path()]);
        let signature = self.gpg.detached(&[&self.key], self.signed, release.as_bytes());
        self.site.put("/dists/stable/Release", release.into_bytes());
        self.site.put("/dists/stable/Release.gpg", signature);
        let index = "dists/stable/main/binary-amd64/Packages";
        self.site.put_file(&format!("/{index}"), self.path(index)).unwrap();
    }

    /// Serves the packages as well.
    fn and_packages(&self) {
        for entry in fs::read_dir(self.path("pool")).unwrap() {
            let file = entry.unwrap();
            self.site
                .put_file(&format!("/pool/{}", file.file_name().to_str().unwrap()), file.path())
                .unwrap();
        }
    }

    /// Builds a recipe with the repository's suite and these packages, without an appliance. Nothing may be left.
    fn build(&self, suite: &str, install: &[&str]) -> Outcome {
        let server = Server::http(self.site.handler());
        let key = String::from_utf8(self.gpg.public(&self.key)).unwrap();
        let recipe = format!(
            "name = 'db'\nsummary = 's'\nboots = false\n[[repository]]\nname = 'vendor'\nurl = '{}'\nsuite = '{suite}'\n\
             components = ['main']\nfingerprint = '{}'\nkey = '''\n{key}'''\n[[packages]]\ninstall = {install:?}\n",
            server.url("/"),
            self.key.fingerprint,
        );
        fs::write(self.path("db.toml"), recipe).unwrap();
        let mut command = tib();
        command.args(["build", "./db.toml", "-o", "db.qcow2", "--base"]).arg(small::base(&Shape::default()));
        command.env("TIB_CACHE_DIR", self.path("cache")).env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
        let found = outcome(command.current_dir(self.place.path()));
        assert!(!self.path("db.qcow2").exists());
        found
    }
}

#[track_caller]
fn refused(found: &Outcome, code: i32, message: &str, hint: &str) {
    assert!(found.stderr.contains(message), "{message}: {}", found.stderr);
    assert!(found.stderr.contains(&format!("hint: {hint}")), "{hint}: {}", found.stderr);
    assert_eq!(found.code, Some(code), "{}", found.stderr);
}

#[test]
fn a_suite_that_is_missing() {
    let vendor = Vendor::new("", "", "0");
    vendor.publish(&[("rock", "")]);
    vendor.and_packages();
    refused(
        &vendor.build("nosuch", &["rock"]),
        3,
        "repository `vendor`: there is no suite `nosuch` at `http://127.0.0.1:",
        "check the suite",
    );
    // It is this alone that was wrong.
    let found = vendor.build("stable", &["rock"]);
    assert!(found.stderr.contains("the appliance did not start"), "{}", found.stderr);
}

#[test]
fn a_key_that_has_expired() {
    let vendor = Vendor::new("20200101T000000", "20200601T000000", "1y");
    vendor.publish(&[("rock", "")]);
    vendor.and_packages();
    let found = vendor.build("stable", &["rock"]);
    assert!(
        found.stderr.contains("EXPKEYSIG") && found.stderr.contains("hint: the repository's key has expired"),
        "{}",
        found.stderr
    );
    assert_eq!(found.code, Some(5), "{}", found.stderr);
}

/// The index has it, and then it is gone: vendors do that with packages that they regret.
#[test]
fn a_package_that_was_pulled_back() {
    let vendor = Vendor::new("", "", "0");
    vendor.publish(&[("rock", "")]);
    let found = vendor.build("stable", &["rock"]);
    assert!(found.stderr.contains("rock_1.0_all.deb"), "{}", found.stderr);
    assert_eq!(found.code, Some(4), "{}", found.stderr);
}

#[test]
fn packages_that_exclude_each_other() {
    let vendor = Vendor::new("", "", "0");
    vendor.publish(&[("rock", "Conflicts: paper\n"), ("paper", "")]);
    vendor.and_packages();
    let found = vendor.build("stable", &["paper", "rock"]);
    assert!(found.stderr.contains("rock") && found.stderr.contains("Conflicts: paper"), "{}", found.stderr);
    assert_eq!(found.code, Some(6), "{}", found.stderr);
}

/// One image has one database, and that is said when the plan is made.
#[test]
fn recipes_of_two_databases_together() {
    let place = scratch();
    let show = |text: &str, os: &str| {
        fs::write(place.path().join("both.toml"), format!("name = 'both'\nsummary = 's'\n{text}")).unwrap();
        outcome(tib().args(["recipe", "show", "./both.toml", "--os", os]).current_dir(place.path()))
    };
    for os in ["debian-12", "ubuntu-24.04", "rocky-9"] {
        refused(
            &show("extends = ['mysql', 'mariadb']\n", os),
            3,
            "recipe `both` cannot be built so: it extends recipes of two databases, `mysql` and `mariadb`",
            "extend one of them",
        );
    }
    show("extends = ['mysql', 'mysql-family']\n", "debian-12").expect(0);
}

#[test]
fn a_series_that_nobody_knows() {
    let show = |settings: &[&str]| outcome(tib().args(["recipe", "show"]).args(settings));
    for (settings, message, hint) in [
        (
            ["mysql", "--os", "debian-12", "--set", "mysql_series=5.7"],
            "option `mysql_series` of recipe `mysql` cannot be `5.7`",
            "it can be 8.0, 8.4, 9.7",
        ),
        (
            ["mongodb", "--os", "ubuntu-24.04", "--set", "mongodb_series=7.0"],
            "MongoDB has no packages of 7.0 for Ubuntu 24.04",
            "take `--set mongodb_series=8.0`",
        ),
    ] {
        refused(&show(&settings), 3, message, hint);
    }
}

#[test]
fn a_branch_that_does_not_exist() {
    let place = scratch();
    let repository = place.path().join("trove");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(arguments);
        outcome(command.current_dir(&repository)).expect(0);
    };
    fs::create_dir(&repository).unwrap();
    git(&["init", "--quiet", "--initial-branch=stable/2026.1"]);
    git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
    fs::write(
        place.path().join("ours.toml"),
        "name = 'ours'\nsummary = 's'\n[agent]\nsource = 'none'\nuser = 'trove'\nvenv = '/opt/venv'\nmodule = 'a.b'\n",
    )
    .unwrap();
    let agent = format!("git:{}@stable/2026.2", repository.display());
    let mut command = tib();
    command.args(["build", "./ours.toml", "--dry-run", "--constraints", "none", "--agent", &agent]);
    command.arg("--base").arg(small::base(&Shape { python: true, ..Shape::default() }));
    command.env("TIB_CACHE_DIR", place.path().join("cache"));
    refused(
        &outcome(command.current_dir(place.path())),
        2,
        "has no branch, tag or commit `stable/2026.2`",
        "",
    );
}
