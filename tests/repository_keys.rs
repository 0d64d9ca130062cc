//! Keys of repositories that are fetched from where their owner publishes them.

mod common;

use common::gpg::Gpg;
use common::http::{Server, Site};
use common::small::{self, Shape};
use common::{Outcome, outcome, scratch, tib};
use fs_err as fs;

/// Which key it must be, the fingerprint says, before anything is made of it; offline, what was fetched once is there.
#[test]
fn a_published_key_is_fetched_checked_and_kept() {
    let directory = scratch();
    let (gpg, site) = (Gpg::new(), Site::new());
    let (right, other) = (gpg.key("right", "", "0"), gpg.key("other", "", "0"));
    site.put("/keys/db.asc", gpg.public(&right));
    site.put("/keys/other.asc", gpg.public(&other));
    site.put("/keys/text.asc", b"moved".to_vec());
    let server = Server::http(site.handler());
    let base = small::base(&Shape::default());
    let build = |key: &str, more: &[&str]| -> Outcome {
        let recipe = format!(
            "name = 'db'\nsummary = 's'\nboots = false\n[[repository]]\nname = 'db'\nurl = '{}'\nkey_url = '{}'\nfingerprint = '{}'\n",
            server.url("/archive"),
            server.url(key),
            right.fingerprint,
        );
        fs::write(directory.path().join("db.toml"), recipe).unwrap();
        let mut command = tib();
        command.args(["build", "./db.toml", "-o", "db.qcow2", "--base"]).arg(&base).args(more);
        // What comes after the keys needs an appliance, and there is none.
        command
            .env("TIB_CACHE_DIR", directory.path().join("cache"))
            .env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
        outcome(command.current_dir(directory.path()))
    };
    let said = |found: &Outcome, text: &str| assert!(found.stderr.contains(text), "{text}: {found:?}");

    let offline = build("/keys/db.asc", &["--offline"]);
    assert_eq!(offline.code, Some(4), "{offline:?}");
    said(&offline, "of repository `db` is not in the cache");
    let wrong = build("/keys/other.asc", &[]);
    assert_eq!(wrong.code, Some(5), "{wrong:?}");
    said(
        &wrong,
        &format!(
            "key of repository `db` has fingerprint {}, but {} is pinned",
            other.fingerprint, right.fingerprint
        ),
    );
    let text = build("/keys/text.asc", &[]);
    assert_eq!(text.code, Some(5), "{text:?}");
    said(&text, "key of repository `db`");
    let missing = build("/keys/none.asc", &[]);
    assert_eq!(missing.code, Some(4), "{missing:?}");
    said(&missing, "cannot fetch the key of repository `db`");

    let past_the_key = |found: &Outcome| {
        assert_ne!(found.code, Some(0), "{found:?}");
        assert!(
            !found.stderr.contains("key of repository") && found.stderr.contains("appliance"),
            "{found:?}"
        );
    };
    past_the_key(&build("/keys/db.asc", &[]));
    let requests = server.requests();
    past_the_key(&build("/keys/db.asc", &["--offline"]));
    assert_eq!(server.requests(), requests, "offline");
}

/// A bundle holds keys of many; only those with pinned fingerprints count, and without `bundle` nothing else may be there.
#[test]
fn of_a_bundle_the_pinned_keys_count() {
    let directory = scratch();
    let (gpg, site) = (Gpg::new(), Site::new());
    let [one, two, stranger] = ["one", "two", "stranger"].map(|name| gpg.key(name, "", "0"));
    let mut bundle = b"How to verify: read this.\n\n".to_vec();
    for key in [&stranger, &one, &two] {
        bundle.extend_from_slice(b"pub   rsa4096 of somebody\n\n");
        bundle.extend_from_slice(&gpg.public(key));
    }
    site.put("/KEYS", bundle);
    let server = Server::http(site.handler());
    let base = small::base(&Shape::default());
    let build = |fingerprints: &[&str], keys: &str| {
        let recipe = format!(
            "name = 'db'\nsummary = 's'\nboots = false\n[[repository]]\nname = 'db'\nurl = '{}'\nkey_url = '{}'\nfingerprint = {fingerprints:?}\n{keys}\n",
            server.url("/archive"),
            server.url("/KEYS"),
        );
        fs::write(directory.path().join("db.toml"), recipe).unwrap();
        let mut command = tib();
        command.args(["build", "./db.toml", "-o", "db.qcow2", "--base"]).arg(&base);
        command
            .env("TIB_CACHE_DIR", directory.path().join("cache"))
            .env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
        outcome(command.current_dir(directory.path()))
    };
    let retired = "0123456789ABCDEF0123456789ABCDEF01234567";
    let pinned = [one.fingerprint.as_str(), two.fingerprint.as_str(), retired];
    for (fingerprints, keys, message) in [
        (&pinned[..], "", "key of repository `db` holds more than one block"),
        (&pinned[2..], "bundle = true", "but 0123456789ABCDEF0123456789ABCDEF01234567 is pinned"),
    ] {
        let refused = build(fingerprints, keys);
        assert_eq!(refused.code, Some(5), "{refused:?}");
        assert!(refused.stderr.contains(message), "{message}: {refused:?}");
    }
    // What comes after the keys needs an appliance, and there is none.
    let good = build(&pinned, "bundle = true");
    assert!(!good.stderr.contains("key of repository") && good.stderr.contains("appliance"), "{good:?}");
}

/// dnf's modules: in the plan where there are any, refused where there are none.
#[test]
fn modules_are_for_systems_that_have_them() {
    let directory = scratch();
    let show = |keys: &str, os: &str| {
        let recipe = format!(
            "name = 'db'\nsummary = 's'\n[[repository]]\nname = 'db'\nurl = 'https://h.example/el'\nsuite = 's'\nkey_url = 'https://h.example/k'\n\
             fingerprint = '{}'\n{keys}\n",
            "A".repeat(40)
        );
        fs::write(directory.path().join("db.toml"), recipe).unwrap();
        outcome(
            tib().args(["recipe", "show", "./db.toml", "--json", "--os", os]).current_dir(directory.path()),
        )
    };
    let keys = "module_hotfixes = true\nmodule = { enable = ['postgresql:16'], disable = ['mysql'] }";
    let plan: serde_json::Value = serde_json::from_str(&show(keys, "rocky-9").expect(0)).unwrap();
    let step = &plan["stages"][0]["steps"][0];
    assert_eq!(step["module_hotfixes"], true, "{step}");
    assert_eq!(step["modules"], serde_json::json!({"mysql": null, "postgresql": "16"}));
    for keys in ["module_hotfixes = true", "module.enable = ['postgresql:16']", "module.disable = ['mysql']"]
    {
        let refused = show(keys, "debian-12");
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert!(refused.stderr.contains("debian-12 has no modules"), "{refused:?}");
    }
}
