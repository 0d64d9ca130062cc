//! What recipes of datastores need: values, combinations that cannot be had, identities that sealing removes.

mod common;

use std::path::PathBuf;

use common::{Outcome, outcome, tib};
use fs_err as fs;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: common::scratch() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A recipe of these lines after its name and summary.
    fn recipe(&self, name: &str, text: &str) {
        let text = format!("name = \"{name}\"\nsummary = \"s\"\n{text}");
        fs::write(self.path(&format!("{name}.toml")), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = tib();
        command.args(arguments).env("TIB_CACHE_DIR", self.path("cache"));
        outcome(command.current_dir(self.directory.path()))
    }

    fn show(&self, name: &str, arguments: &[&str]) -> Outcome {
        self.run(&[&["recipe", "show", &format!("./{name}.toml")], arguments].concat())
    }
}

#[track_caller]
fn refused(found: &Outcome, code: i32, said: &str) {
    assert_eq!(found.code, Some(code), "{found:?}");
    assert!(found.stderr.contains(said), "{said}: {}", found.stderr);
}

const ORIGINS: &str = r#"
[options.origin]
description = "Where packages come from"
default = "distribution"
values = ["distribution", "vendor"]

[[packages]]
when.option = { origin = "vendor" }
install = ["db-community"]

[[packages]]
when = { option.origin = "distribution" }
install = ["db"]

[[unsupported]]
when = { distro = "debian", release = ">=13", option = { origin = ["vendor"] } }
because = "the vendor has no packages for {{ os.codename }}"
instead = "take Debian 12, or `--set origin=distribution`"
"#;

#[test]
fn options_decide_and_what_cannot_be_had_is_refused_with_what_can() {
    let place = Place::new();
    place.recipe("db", ORIGINS);
    let show = |os: &str, origin: &[&str]| place.show("db", &[&["--os", os], origin].concat());
    let vendor = ["--set", "origin=vendor"];
    for (os, origin, installed) in [
        ("debian-12", &[][..], "install db\n"),
        ("debian-12", &vendor, "install db-community\n"),
        ("debian-13", &[], "install db\n"),
    ] {
        let shown = show(os, origin);
        assert!(shown.code == Some(0) && shown.stdout.contains(installed), "{os} {origin:?}: {shown:?}");
        assert!(shown.stdout.contains("[one of: distribution, vendor] [default: distribution]"), "{shown:?}");
    }
    let found = show("debian-13", &vendor);
    refused(&found, 3, "error: recipe `db` cannot be built so: the vendor has no packages for trixie\n");
    refused(&found, 3, "hint: take Debian 12, or `--set origin=distribution`");
    let found = show("debian-12", &["--set", "origin=elsewhere"]);
    refused(
        &found,
        3,
        "error: option `origin` of recipe `db` cannot be `elsewhere`\nhint: it can be distribution, vendor",
    );
    // It is a fact about systems, and no mistake in the recipe.
    assert_eq!(place.run(&["recipe", "check", "./db.toml"]).code, Some(0));
}

#[test]
fn identities_are_in_the_plan() {
    let place = Place::new();
    place.recipe(
        "db",
        r#"
[[identity]]
path = ["/var/lib/db/auto.cnf", "/var/lib/db/*.pem"]
what = "the server's UUID"
renewed = "mysqld writes a new one when it starts"
when = { family = "debian" }
"#,
    );
    let shown = place.show("db", &[]).stdout;
    for path in ["/var/lib/db/auto.cnf", "/var/lib/db/*.pem"] {
        let line = format!("  remove {path} (the server's UUID): mysqld writes a new one when it starts\n");
        assert!(shown.contains(&line), "{shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&place.show("db", &["--json"]).stdout).unwrap();
    assert_eq!(json["identities"][1]["path"], "/var/lib/db/*.pem");
    assert!(!place.show("db", &["--os", "rocky-9"]).stdout.contains("UUID"));
    // A recipe that extends it may say it better, once.
    place.recipe(
        "site",
        "extends = ['db']\n[[identity]]\npath = '/var/lib/db/auto.cnf'\nwhat = 'w'\nrenewed = 'r'",
    );
    let shown = place.show("site", &[]).stdout;
    assert!(
        shown.contains("remove /var/lib/db/auto.cnf (w): r\n") && !shown.contains("auto.cnf (the"),
        "{shown}"
    );
}
