//! `--artifact`: files that a person brings, from this host and from a server on loopback.

mod common;

use std::path::{Path, PathBuf};

use common::disks::debian_of_machine;
use common::http::{Server, Site};
use common::look::Look;
use common::small::{self, Shape};
use common::{Outcome, outcome, run, tib};
use fs_err as fs;
use serde_json::Value;

/// x86-64 in the header of a program.
const X86_64: u16 = 62;

const RECIPE: &str = r#"
name = "vendor"
summary = "What a vendor has behind a login"
boots = false

[options.accept_license]
description = "The vendor's licence is accepted"
default = "false"
values = ["false", "true"]

[artifact.archive]
description = "The vendor's archive, from its site after a login"
license = "the vendor's own"
path = "/opt/vendor"
unpack = true

[artifact.keys]
description = "The vendor's list of keys"
path = "/etc/vendor/keys"

[artifact.package]
when = { option = { package = "true" } }
description = "The vendor's package"
path = "/srv/vendor.deb"
install = true
environment = { VENDOR_MODE = "it's quiet" }

[options.package]
description = "With the package"
default = "false"

[[file]]
path = "/etc/vendor/conf"
text = "after the package"

[[check]]
when = { option = { package = "true" } }
check = "package"
name = "vendor"
"#;

struct Place(tempfile::TempDir);

impl Place {
    /// A directory with the recipe, an archive, a package, and a file that is nothing.
    fn new() -> Self {
        let place = Self(common::scratch());
        fs::create_dir(place.path("recipes")).unwrap();
        fs::write(place.path("recipes/vendor.toml"), RECIPE).unwrap();
        fs::write(place.path("keys"), "KEY").unwrap();
        let package = place.path("package");
        for (path, text) in [
            (
                "DEBIAN/control",
                "Package: vendor\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: v\n",
            ),
            ("DEBIAN/postinst", "#!/bin/sh\nset -e\necho \"$VENDOR_MODE\" > /etc/vendor/mode\n"),
            ("etc/vendor/conf", "from the package"),
        ] {
            fs::create_dir_all(package.join(path).parent().unwrap()).unwrap();
            fs::write(package.join(path), text).unwrap();
        }
        run("chmod", &[&"-R", &"u=rwX,go=rX", &package]);
        run("chmod", &[&"0755", &package.join("DEBIAN/postinst")]);
        run("dpkg-deb", &[&"--root-owner-group", &"--build", &package, &place.path("vendor.deb")]);
        fs::create_dir_all(place.path("content/bin")).unwrap();
        fs::write(place.path("content/bin/run"), "#!/bin/sh\n").unwrap();
        run(
            "tar",
            &[&"-C", &place.path("content"), &"--owner=1234", &"-czf", &place.path("archive.tgz"), &"bin"],
        );
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn plan(&self, base: &Path, arguments: &[&str]) -> Outcome {
        let mut command = tib();
        command
            .args(["build", "vendor", "--recipe-dir", "recipes", "--dry-run", "--json", "--base"])
            .arg(base)
            .args(arguments)
            .current_dir(self.0.path())
            .env("TIB_CACHE_DIR", self.path("cache"));
        outcome(&mut command)
    }
}

fn sha256(path: &Path) -> String {
    run("sha256sum", &[&path])[..64].to_owned()
}

fn artifacts(plan: &Value) -> Vec<&Value> {
    let stages = plan["stages"].as_array().unwrap();
    let steps = stages.iter().flat_map(|stage| stage["steps"].as_array().unwrap());
    steps.filter(|step| step["step"] == "artifact").collect()
}

#[test]
fn what_is_missing_or_not_accepted_is_said_before_the_base_is_looked_for() {
    let place = Place::new();
    let nowhere = place.path("no-base.qcow2");
    let given = ["--artifact", "archive=archive.tgz", "--artifact", "keys=keys"];
    for (arguments, code, message) in [
        (
            &[][..],
            2,
            "recipe `vendor` needs the artifact `archive`: The vendor's archive, from its site after a login",
        ),
        (&given[..2], 2, "the licence of the artifact `archive` is not accepted: the vendor's own"),
        (
            &["--set", "accept_license=true", given[0], given[1]],
            2,
            "recipe `vendor` needs the artifact `keys`",
        ),
        (&["--artifact", "archiv=x"], 2, "recipe `vendor` has no artifact `archiv`; did you mean `archive`?"),
        (&["--artifact", "keys=keys", "--artifact", "keys=x"], 2, "`keys` is given twice"),
        (&["--artifact", "keys"], 2, "it has no name"),
        (&["--artifact", "keys=ftp://h.example/x"], 2, "from an http or https URL"),
        (
            &["--set", "accept_license=true", given[0], given[1], "--artifact", "keys=gone"],
            2,
            "cannot read `gone` for the artifact `keys`",
        ),
        (&["--set", "accept_license=yes", given[0], given[1], given[2], given[3]], 2, "is not accepted"),
        // All is there, and the base is the next thing that is wrong.
        (&["--set", "accept_license=true", given[0], given[1], given[2], given[3]], 2, "no-base.qcow2"),
    ] {
        let refused = place.plan(&nowhere, arguments);
        assert!(refused.stderr.contains(message), "{message}: {}", refused.stderr);
        assert_eq!(refused.code, Some(code), "{}", refused.stderr);
    }
}

#[test]
fn a_plan_tells_what_a_person_has_brought() {
    let place = Place::new();
    fs::create_dir(place.path("base")).unwrap();
    let base = debian_of_machine(&place.path("base"), X86_64);
    let digest = sha256(&place.path("archive.tgz"));
    let accept = ["--set", "accept_license=true"];
    let plan = |archive: &str, more: &[&str]| {
        let archive = format!("archive={archive}");
        let keys = ["--artifact", &archive, "--artifact", "keys=keys"];
        place.plan(&base, &[&accept[..], &keys, more].concat())
    };
    let whole: Value = serde_json::from_str(&plan("archive.tgz", &[]).expect(0)).unwrap();
    let found = artifacts(&whole);
    assert_eq!(found[0]["found"]["sha256"], digest.as_str(), "{found:?}");
    assert_eq!(found[1]["found"]["sha256"], sha256(&place.path("keys")).as_str());
    let checks = whole["checks"].as_array().unwrap();
    let of_keys = checks.iter().find(|check| check["path"] == "/etc/vendor/keys").unwrap();
    assert_eq!(of_keys["sha256"], sha256(&place.path("keys")).as_str(), "the image is to have these bytes");

    // From a server, by its digest and without; offline what was there last.
    let site = Site::new();
    site.put_file("/a.tgz", place.path("archive.tgz")).unwrap();
    let server = Server::http(site.handler());
    let url = server.url("/a.tgz");
    let secret = format!("{url}?token=secret");
    for (source, more) in [
        (format!("{url}@sha256:{digest}"), &[][..]),
        (format!("{url}@sha256:{digest}"), &["--offline"]),
        (url.clone(), &[]),
        (url.clone(), &["--offline"]),
    ] {
        let before = server.requests();
        let shown = plan(&source, more).expect(0);
        let plan: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(artifacts(&plan)[0]["found"]["sha256"], digest.as_str());
        assert_eq!(artifacts(&plan)[0]["found"]["source"], url.as_str());
        assert!(more.is_empty() || server.requests() == before, "nobody is asked");
    }
    let never = plan(&secret, &["--offline"]);
    assert_eq!(never.code, Some(4), "{}", never.stderr);
    assert!(never.stderr.contains("the artifact `archive` is not in the cache, and the build is offline"));
    assert!(!never.stderr.contains("secret"), "{}", never.stderr);

    // The bytes are what they are said to be, and of the right kind.
    let other = "0".repeat(64);
    for (archive, message) in [
        (
            format!("archive.tgz@sha256:{other}"),
            format!("the artifact `archive` has SHA-256 {digest}, not {other}"),
        ),
        (format!("{url}@sha256:{other}"), other.clone()),
        ("keys".to_owned(), "`keys` is not a tar, packed or not".to_owned()),
        ("recipes".to_owned(), "cannot read `recipes` for the artifact `archive`".to_owned()),
    ] {
        let refused = plan(&archive, &[]);
        assert!(refused.stderr.contains(&message), "{message}: {}", refused.stderr);
        let code = if archive == "recipes" { 2 } else { 5 };
        assert_eq!(refused.code, Some(code), "{}", refused.stderr);
    }
    let package = ["--set", "package=true"];
    let missing = plan("archive.tgz", &package);
    assert!(missing.stderr.contains("needs the artifact `package`"), "{}", missing.stderr);
    assert_eq!(missing.code, Some(2));
    let wrong = plan("archive.tgz", &[&package[..], &["--artifact", "package=archive.tgz"]].concat());
    assert!(wrong.stderr.contains("is not a package of Debian's family"), "{}", wrong.stderr);
    assert_eq!(wrong.code, Some(5));

    // Who only looks need bring nothing.
    let mut command = tib();
    command.args(["recipe", "show", "vendor", "--recipe-dir", "recipes"]).current_dir(place.0.path());
    let shown = outcome(&mut command).expect(0);
    for line in [
        "archive  The vendor's archive, from its site after a login (licence: the vendor's own)",
        "artifact archive, unpacked in /opt/vendor: to be given with `--artifact archive=FILE|URL`",
        "not to be passed on: archive is under the vendor's own",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn what_a_recipe_names_a_place_for_need_not_be_given() {
    let place = Place::new();
    fs::create_dir(place.path("base")).unwrap();
    let base = debian_of_machine(&place.path("base"), X86_64);
    let site = Site::new();
    site.put_file("/keys", place.path("keys")).unwrap();
    let server = Server::http(site.handler());
    let recipe = |default: &str| {
        let text = format!(
            "name = 'vendor'\nsummary = 's'\n[artifact.keys]\ndescription = 'Keys'\npath = '/etc/keys'\ndefault = \"{default}\"\n"
        );
        fs::write(place.path("recipes/vendor.toml"), text).unwrap();
    };
    let digest = sha256(&place.path("keys"));
    recipe(&format!("{{% if os.id == 'debian' %}}{}@sha256:{digest}{{% endif %}}", server.url("/keys")));
    let plan: Value = serde_json::from_str(&place.plan(&base, &[]).expect(0)).unwrap();
    assert_eq!(artifacts(&plan)[0]["found"]["sha256"], digest.as_str());
    // Another one takes its place.
    fs::write(place.path("other"), "OTHER").unwrap();
    let plan: Value =
        serde_json::from_str(&place.plan(&base, &["--artifact", "keys=other"]).expect(0)).unwrap();
    assert_eq!(artifacts(&plan)[0]["found"]["sha256"], sha256(&place.path("other")).as_str());
    for (default, code, message) in [
        (
            "{% if os.id == 'rocky' %}http://h.example/x{% endif %}",
            2,
            "recipe `vendor` needs the artifact `keys`: Keys",
        ),
        ("http://h.example/x", 3, "`default` is a URL with `@sha256:` and its digest"),
        ("/etc/passwd", 3, "`default` is a URL with `@sha256:` and its digest"),
    ] {
        recipe(default);
        let refused = place.plan(&base, &[]);
        assert!(refused.stderr.contains(message), "{}", refused.stderr);
        assert_eq!(refused.code, Some(code), "{}", refused.stderr);
    }
}

#[test]
fn appliance_what_a_person_brings_is_in_the_image() {
    let place = Place::new();
    let base = small::base(&Shape::default());
    let image = place.path("image.qcow2");
    let build = |archive: &str, more: &[&str]| {
        let mut command = tib();
        command
            .args(["build", "vendor", "--recipe-dir", "recipes", "--base"])
            .arg(&base)
            .args(["--set", "accept_license=true", "--set", "package=true", "-o"])
            .arg(&image)
            .args(["--artifact", archive, "--artifact", "keys=keys", "--artifact", "package=vendor.deb"])
            .args(more)
            .current_dir(place.0.path());
        outcome(&mut command)
    };
    let said = build("archive=archive.tgz", &[]).expect(0);
    assert!(said.contains("not to be passed on"), "{said}");
    let look = Look::into(&image);
    assert_eq!(look.read("/opt/vendor/bin/run"), "#!/bin/sh\n");
    assert_eq!(look.uid("/opt/vendor/bin/run"), 0, "numbers of another system mean nobody here");
    assert_eq!(look.read("/etc/vendor/keys"), "KEY");
    assert_eq!(look.read("/etc/vendor/mode"), "it's quiet\n");
    assert_eq!(look.read("/etc/vendor/conf"), "after the package");
    assert!(look.is("file", "/srv/vendor.deb"));
    assert!(look.read("/var/lib/dpkg/status").contains("Package: vendor\nStatus: install ok installed"));
    let text = fs::read_to_string(place.path("image.qcow2.manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["redistributable"], false);
    let brought = manifest["artifacts"].as_array().unwrap();
    assert_eq!(brought[0]["sha256"], sha256(&place.path("archive.tgz")).as_str());
    assert_eq!((&brought[0]["source"], &brought[0]["license"]), (&"file".into(), &"the vendor's own".into()));

    // The same bytes from elsewhere are the same layers; other bytes are not.
    fs::rename(place.path("archive.tgz"), place.path("moved.tgz")).unwrap();
    let again = build("archive=moved.tgz", &["--force", "--progress", "json"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(
        again.stderr.contains("\"cached\":true") && !again.stderr.contains("\"stage\":\"appliance\""),
        "{}",
        again.stderr
    );
}
