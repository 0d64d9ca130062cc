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
