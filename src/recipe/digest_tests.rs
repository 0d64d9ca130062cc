//! What digests of plans depend on, and what not.

use super::*;
use crate::digest::Digest;

/// Digests of every stage, with what was resolved for it beside it.
fn stage_digests(plan: &Plan) -> Vec<Digest> {
    let mut before = Digest::of(b"base");
    (0..plan.stages.len())
        .map(|index| {
            before = plan.stage_digest(index, before, Digest::of(b"resolved"), 1);
            before
        })
        .collect()
}

/// Whoever checks a recipe out elsewhere gets the same layers and the same manifest; other bytes make others.
#[test]
fn digests_know_what_files_hold_and_not_where_they_are() {
    const KEY: &str = include_str!("../trust/openpgp/tests/rfc9580.asc");
    const FINGERPRINT: &str = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";
    let os = well_known("debian-12").unwrap();
    let recipe = format!(
        "name = 'mine'\nsummary = 's'\nextends = ['mariadb']\nstage = 'site'\n\
         [[file]]\npath = '/etc/a'\nsource = 'a.txt'\n\
         [[repository]]\nname = 'r'\nurl = 'https://x.example'\nsuite = 's'\ncomponents = ['main']\n\
         key_file = 'r.asc'\nfingerprint = '{FINGERPRINT}'\n"
    );
    let plan = |file: &str, key: &str, constraints: &str| {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("mine.toml", recipe.as_str()),
            ("a.txt", file),
            ("r.asc", key),
            ("constraints.txt", constraints),
        ] {
            fs_err::write(dir.path().join(name), text).unwrap();
        }
        let at = |name: &str| dir.path().join(name);
        let request = Request {
            agent: Some(AgentSource::Code(AgentCode::Path(at("agent")))),
            constraints: Some(ConstraintsSource::File(at("constraints.txt"))),
            ..Request::new(&os)
        };
        let loaded = Library::default().load(at("mine.toml").to_str().unwrap()).unwrap();
        (loaded.plan(&request).unwrap(), at("a.txt"))
    };
    let (first, path) = plan("a", KEY, "x<2\n");
    let (second, _) = plan("a", KEY, "x<2\n");
    assert!(serde_json::to_string(&first.stages).unwrap().contains(path.to_str().unwrap()), "plans show it");
    assert_eq!(stage_digests(&first), stage_digests(&second));
    assert_eq!(first.recipe_digest, second.recipe_digest);
    for (file, key, constraints) in
        [("b", KEY, "x<2\n"), ("a", &*format!("{KEY}\n"), "x<2\n"), ("a", KEY, "x<3\n")]
    {
        let (other, _) = plan(file, key, constraints);
        assert_ne!(stage_digests(&first).last(), stage_digests(&other).last(), "{file} {constraints}");
    }
    // Which agent it is, is resolved and digested apart; that it is one's own is not.
    let pypi = Request { agent: Some("pypi".parse().unwrap()), ..Request::new(&os) };
    let own = Request { agent: Some("path:agent".parse().unwrap()), ..Request::new(&os) };
    let mariadb = Library::default().load("mariadb").unwrap();
    let (pypi, own) = (mariadb.plan(&pypi).unwrap(), mariadb.plan(&own).unwrap());
    assert_ne!(stage_digests(&pypi).last(), stage_digests(&own).last());
    assert_ne!(pypi.recipe_digest, own.recipe_digest);
}

#[test]
fn a_default_that_is_given_changes_no_digest() {
    let recipe = Library::default().load("postgresql").unwrap();
    for (system, default, other) in [("debian-12", "15", "16"), ("ubuntu-24.04", "16", "15")] {
        let os = well_known(system).unwrap();
        let digest = |value: Option<&str>| {
            let settings = value.map(|value| ("postgresql_version".to_owned(), value.to_owned()));
            let request = Request { settings: settings.into_iter().collect(), ..Request::new(&os) };
            recipe.plan(&request).unwrap().recipe_digest
        };
        assert_eq!(digest(None), digest(Some(default)), "{system}");
        assert_ne!(digest(None), digest(Some(other)), "{system}");
    }
}
