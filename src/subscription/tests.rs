//! The whole, against a server.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::testing::candlepin::{self as candlepin, Candlepin, KEY, ORG, PASSWORD, USER, refusal};
use super::*;
use crate::cache::Bucket;
use crate::cancel::Cancel;
use crate::distro::Arch;
use crate::error::{Diagnose, Exit, Failure};
use crate::event::Events;
use crate::event::testing::Notes;
use crate::fetch::testing::http::{Framing, Reply};

struct Place {
    directory: tempfile::TempDir,
    cache: Cache,
    notes: Notes,
    control: Control,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path().to_owned())).unwrap();
        let notes = Notes::default();
        let control = Control::new(Events::new(notes.clone()), Cancel::new());
        Self { directory, cache, notes, control }
    }

    fn records(&self) -> Vec<std::path::PathBuf> {
        let directory = self.cache.directory(Bucket::Consumers);
        fs_err::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    fn enter(&self, asked: &Subscription) -> Result<Registration, SubscriptionError> {
        Registration::enter(asked, &rhel("9.4"), &[], &self.cache, &self.control)
    }
}

fn rhel(version: &str) -> OsRelease {
    let text = format!(
        "ID=rhel\nID_LIKE=fedora\nVERSION_ID={version}\nPRETTY_NAME=\"Red Hat Enterprise Linux {version}\"\n"
    );
    OsRelease::parse(&text, Arch::X86_64, Some(9)).unwrap()
}

fn asked(server: &Candlepin) -> Subscription {
    let login = Login::Keys { org: ORG.to_owned(), keys: keys(KEY) };
    Subscription {
        server: super::server(&server.url()).unwrap(),
        authorities: server.authority().as_bytes().to_vec(),
        patience: Duration::from_secs(5),
        ..Subscription::new(login)
    }
}

fn ids(registration: &Registration) -> Vec<&str> {
    registration.repositories().iter().map(|one| one.id.as_str()).collect()
}

#[test]
fn a_key_gives_repositories_until_the_end() {
    let (server, place) = (Candlepin::start(), Place::new());
    let registration = place.enter(&asked(&server)).unwrap();
    assert_eq!(server.registered().len(), 1);
    assert_eq!(ids(&registration), ["rhel-9-baseos-rpms"]);
    let repository = &registration.repositories()[0];
    assert_eq!(repository.url, "https://cdn.redhat.com/content/dist/rhel9/9/x86_64/baseos/os");
    assert_eq!(repository.gpg_keys, ["file:///etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release"]);
    let files: Vec<_> = repository.client.iter().flat_map(TlsClient::files).map(Path::to_owned).collect();
    assert_eq!(files.len(), 3);
    let records = place.records();
    assert_eq!(records.len(), 1);
    for file in files.iter().chain(&records) {
        assert_eq!(fs_err::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    // The key fits the certificate, and OpenSSL believes the authority.
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let [certificate, key, authorities] = [0, 1, 2].map(|index| files[index].to_str().unwrap());
    openssl(&["verify", "-CAfile", authorities, certificate]);
    assert_eq!(
        openssl(&["x509", "-in", certificate, "-noout", "-pubkey"]),
        openssl(&["pkey", "-in", key, "-pubout"])
    );

    let mut known = registration.repositories().to_vec();
    known.iter_mut().for_each(|repository| repository.client = None);
    registration.leave();
    // Whoever builds offline knows where they were, and nobody else does.
    assert_eq!(super::known(&asked(&server), &rhel("9.5"), &place.cache), Some(known));
    let other = Subscription { release: Some("9.2".to_owned()), ..asked(&server) };
    assert_eq!(super::known(&other, &rhel("9.4"), &place.cache), None);
    assert!(server.registered().is_empty() && place.records().is_empty());
    assert!(files.iter().all(|file| !file.exists()));
    insta::assert_snapshot!(server.requests().join("\n"), @r"
    GET /status 200
    POST /consumers?owner=canary-org&activation_keys=canary-activation-key-5f0c 200
    GET /consumers/ID/certificates 200
    GET /consumers/ID/content_overrides 200
    DELETE /consumers/ID 204
    ");
    let told = place.notes.take().join("\n");
    assert!(told.contains("rhel-9-baseos-rpms") && !told.contains(KEY), "{told}");
}

#[test]
fn a_user_registers_with_their_only_organisation_or_the_one_they_name() {
    let (server, place) = (Candlepin::start(), Place::new());
    let user = |org: Option<&str>, password: &str| Subscription {
        login: Login::User {
            user: USER.to_owned(),
            password: Secret::new(password),
            org: org.map(str::to_owned),
        },
        ..asked(&server)
    };
    place.enter(&user(None, PASSWORD)).unwrap().leave();
    server.state().organisations.push("other".to_owned());
    let error = place.enter(&user(None, PASSWORD)).unwrap_err();
    assert_eq!(error.to_string(), "the user belongs to 2 organisations: canary-org, other");
    place.enter(&user(Some(ORG), PASSWORD)).unwrap().leave();
    server.state().organisations.clear();
    assert!(place.enter(&user(None, PASSWORD)).unwrap_err().to_string().contains("no organisation"));
    let error = place.enter(&user(None, "wrong")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot list organisations at `{}`: it says: Invalid Credentials (401)", server.url())
    );
    assert_eq!(error.exit(), Exit::Usage);
    assert!(server.registered().is_empty());
}

#[test]
fn release_names_overrides_and_tags_decide_over_repositories() {
    let (server, place) = (Candlepin::start(), Place::new());
    let overrides = |label: &str, name: &str, value: &str| serde_json::json!({ "contentLabel": label, "name": name, "value": value });
    let asked = Subscription {
        release: Some("9.2".to_owned()),
        repositories: vec!["rhel-9-crb-rpms".to_owned()],
        baseurl: baseurl("https://satellite.example.org/pulp/content").unwrap(),
        ..asked(&server)
    };
    let registration = place.enter(&asked).unwrap();
    assert_eq!(ids(&registration), ["rhel-9-baseos-rpms", "rhel-9-crb-rpms"]);
    assert_eq!(
        registration.repositories()[1].url,
        "https://satellite.example.org/pulp/content/content/dist/rhel9/9.2/x86_64/codeready/os"
    );
    assert!(server.state().consumers.values().any(|consumer| consumer["releaseVer"] == "9.2"));
    let digest = registration.digest();
    registration.leave();

    server.state().overrides = serde_json::Value::from(vec![
        overrides("rhel-9-baseos-rpms", "enabled", "0"),
        overrides("rhel-9-crb-rpms", "enabled", "1"),
        overrides("rhel-9-crb-rpms", "gpgcheck", "0"),
    ]);
    let asked = Subscription { repositories: Vec::new(), release: None, ..asked };
    let registration = place.enter(&asked).unwrap();
    assert_eq!(ids(&registration), ["rhel-9-crb-rpms"]);
    assert_ne!(registration.digest(), digest);
    drop(registration);
    assert!(place.notes.take().iter().any(|note| note.contains("switches `gpgcheck`")));

    server.state().overrides = serde_json::Value::from(vec![overrides("rhel-9-baseos-rpms", "enabled", "0")]);
    let error = place.enter(&asked).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the subscription has no repository that is on for Red Hat Enterprise Linux 9.4 on x86_64"
    );
    assert!(error.hint().unwrap().contains("--rhsm-repo"), "{error:?}");
    let wrong = Subscription { repositories: vec!["rhel-9-crb-rpm".to_owned()], ..asked.clone() };
    let error = place.enter(&wrong).unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("did you mean `rhel-9-crb-rpms`?"));
    // A tag that no installed product provides.
    let wrong = Subscription { repositories: vec!["rhel-7-server-rpms".to_owned()], ..asked.clone() };
    assert!(matches!(place.enter(&wrong), Err(SubscriptionError::NoRepository { .. })));
    server.state().entitlements.clear();
    assert!(matches!(place.enter(&asked), Err(SubscriptionError::NoContent { .. })));
    assert!(server.registered().is_empty() && place.records().is_empty());
}

/// What a subscription of its own says of a repository counts, and not what the organisation's says.
#[test]
fn own_entitlements_come_before_those_of_the_organisation() {
    let (server, place) = (Candlepin::start(), Place::new());
    let set = |path: &str| vec![candlepin::content("one", path)];
    server.state().entitlements = vec![("Basic", set("/own")), ("OrgLevel", set("/general"))];
    let registration = place.enter(&asked(&server)).unwrap();
    assert_eq!(registration.repositories()[0].url, "https://cdn.redhat.com/own");
    assert!(
        registration.repositories()[0].client.as_ref().unwrap().certificate.ends_with("entitlement-0.pem")
    );
}

#[test]
fn refusals_are_told_without_the_secret() {
    let (server, place) = (Candlepin::start(), Place::new());
    let wrong = Subscription {
        login: Login::Keys { org: ORG.to_owned(), keys: keys("no-such-key") },
        ..asked(&server)
    };
    let error = place.enter(&wrong).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot register the system at `{}`: it says: None of the activation keys specified exist for this org: \
             [redacted] (400)",
            server.url()
        )
    );
    assert_eq!(error.exit(), Exit::Usage);
    for (status, exit) in [(401, Exit::Usage), (403, Exit::Usage), (404, Exit::Usage), (500, Exit::Network)] {
        server.state().instead = vec![("POST /consumers", 1, refusal(status, "no"))];
        let error = place.enter(&asked(&server)).unwrap_err();
        assert_eq!(error.exit(), exit, "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    // No JSON at all.
    server.state().instead = vec![("GET /status", 1, Reply::new(200, *b"<html>welcome</html>"))];
    assert!(matches!(place.enter(&asked(&server)), Err(SubscriptionError::Answer { .. })));
    assert!(server.registered().is_empty());
    for told in place.notes.take() {
        assert!(!told.contains(KEY) && !told.contains("no-such-key"), "{told}");
    }
}

/// A server that is busy is asked again; what may have happened is not done a second time.
#[test]
fn registering_is_repeated_only_if_nothing_can_have_happened() {
    let (server, place) = (Candlepin::start(), Place::new());
    for status in [429, 503] {
        let busy = Reply::status(status).with("Retry-After", "0");
        let cut = Reply::new(200, *b"[").framed(Framing::Claimed(5));
        server.state().instead = vec![
            ("POST /consumers", 2, busy.clone()),
            ("GET /status", 1, busy.clone()),
            ("GET /consumers", 1, cut),
            ("DELETE", 1, busy),
        ];
        place.enter(&asked(&server)).unwrap().leave();
        assert!(server.registered().is_empty());
    }
    let posts = || server.requests().iter().filter(|line| line.starts_with("POST")).count();
    for broken in [
        Reply::new(200, *b"{\"uuid\": \"x\"").framed(Framing::Claimed(5000)),
        Reply::new(200, vec![b' '; 100]).stall_after(10),
        Reply::status(502),
    ] {
        server.state().instead = vec![("POST /consumers", 1, broken)];
        let before = posts();
        let hasty = Subscription { patience: Duration::from_millis(300), ..asked(&server) };
        let error = place.enter(&hasty).unwrap_err();
        assert!(matches!(error, SubscriptionError::Unsure { .. }), "{error}");
        assert!(error.hint().unwrap().contains("`tib-build-"), "{error:?}");
        assert_eq!(posts() - before, 1);
    }
}

/// Whatever fails after the registration takes it back.
#[test]
fn every_failure_behind_the_registration_unregisters() {
    let (server, place) = (Candlepin::start(), Place::new());
    let garbage = serde_json::json!([{ "cert": "garbage", "key": "garbage" }]).to_string();
    let cases = [
        ("PUT /consumers", refusal(400, "no such release")),
        ("GET /consumers", refusal(403, "not yours")),
        ("GET /consumers", Reply::new(200, garbage.into_bytes())),
    ];
    for (number, (start, reply)) in cases.into_iter().enumerate() {
        server.state().instead = vec![(start, 20, reply)];
        let asked = Subscription { release: Some("9.9".to_owned()), ..asked(&server) };
        place.enter(&asked).unwrap_err();
        assert!(server.registered().is_empty(), "case {number}");
        assert_eq!(server.state().gone.len(), number + 1);
    }
    assert!(place.records().is_empty());
}

#[test]
fn what_cannot_be_unregistered_now_is_left_to_the_next_run() {
    let (server, place) = (Candlepin::start(), Place::new());
    let registration = place.enter(&asked(&server)).unwrap();
    server.state().instead = vec![("DELETE", 20, refusal(403, "not now"))];
    registration.leave();
    assert_eq!((server.registered().len(), place.records().len()), (1, 1));
    let warning = place.notes.take().pop().unwrap();
    assert!(warning.contains("is still registered") && warning.contains("not now (403)"), "{warning}");
    clean_up(&place.cache, &place.control).unwrap();
    assert_eq!(server.registered().len(), 1);
    server.state().instead.clear();
    clean_up(&place.cache, &place.control).unwrap();
    assert!(server.registered().is_empty() && place.records().is_empty());
    assert!(place.notes.take().pop().unwrap().contains("is unregistered"));
}

#[test]
fn records_of_the_dead_are_tidied_and_those_of_the_living_are_not() {
    let (server, place) = (Candlepin::start(), Place::new());
    let alive = place.enter(&asked(&server)).unwrap();
    let mut dead = place.enter(&asked(&server)).unwrap();
    // As a process does that is killed: the lock goes, the record stays.
    drop(dead.consumer.take());
    clean_up(&place.cache, &place.control).unwrap();
    assert_eq!((server.registered().len(), server.state().gone.len()), (1, 1));
    // Gone already: 410.
    let (record, kept) = place.enter(&asked(&server)).unwrap().consumer.take().unwrap();
    record.unregister(Effort::Full, &place.control).unwrap();
    drop(kept);
    assert_eq!(place.records().len(), 2);
    clean_up(&place.cache, &place.control).unwrap();
    assert_eq!(server.requests().last().unwrap(), "DELETE /consumers/ID 410");
    assert_eq!(place.records().len(), 1);
    alive.leave();
    assert!(server.registered().is_empty() && place.records().is_empty());
    // What makes no sense is told of, and left to people.
    let odd = place.cache.directory(Bucket::Consumers).join("odd.json");
    fs_err::write(&odd, "{").unwrap();
    clean_up(&place.cache, &place.control).unwrap();
    assert!(odd.exists() && place.notes.take().pop().unwrap().contains("makes no sense"));
    assert!(place.directory.path().exists());
}

/// Whoever interrupts is not kept waiting, and the consumer goes all the same.
#[test]
fn interrupting_unregisters() {
    let (server, place) = (Candlepin::start(), Place::new());
    let registration = place.enter(&asked(&server)).unwrap();
    place.control.cancel.raise();
    drop(registration);
    assert!(server.registered().is_empty() && place.records().is_empty());
}

#[test]
fn a_server_that_nobody_vouches_for_is_told_nothing() {
    let (server, place) = (Candlepin::start(), Place::new());
    let asked = Subscription { authorities: Vec::new(), ..asked(&server) };
    let failure = Failure::from(place.enter(&asked).unwrap_err());
    assert_eq!(failure.exit(), Exit::Network);
    assert!(failure.hint().unwrap().contains("--rhsm-ca"), "{failure}");
    assert!(server.requests().is_empty());
    let wrong = Subscription { authorities: b"no certificate".to_vec(), ..asked };
    assert!(place.enter(&wrong).unwrap_err().to_string().contains("holds no certificate in PEM"));
}

#[test]
fn products_of_the_image_are_told_to_the_server_and_choose_content() {
    let (server, place) = (Candlepin::start(), Place::new());
    let product = |tags: &[&str]| InstalledProduct {
        id: "479".to_owned(),
        name: "Red Hat Enterprise Linux for x86_64".to_owned(),
        version: "9.4".to_owned(),
        arch: "x86_64".to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    let enter = |products: &[InstalledProduct]| {
        Registration::enter(&asked(&server), &rhel("9.4"), products, &place.cache, &place.control)
    };
    let registration = enter(&[product(&["rhel-9", "rhel-9-x86_64"])]).unwrap();
    {
        let state = server.state();
        let said = state.consumers.values().next().unwrap();
        assert_eq!(said["installedProducts"][0]["productId"], "479");
        assert_eq!(said["contentTags"], serde_json::json!(["rhel-9", "rhel-9-x86_64"]));
        assert_eq!(said["facts"]["uname.machine"], "x86_64");
        assert_eq!(said["facts"]["distribution.version"], "9.4");
        let told: BTreeSet<&str> =
            said["facts"].as_object().unwrap().values().filter_map(|v| v.as_str()).collect();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        assert!(!told.contains(host.as_str()), "nothing of this host is told");
    }
    registration.leave();
    assert!(enter(&[product(&["other"])]).is_err());
}
