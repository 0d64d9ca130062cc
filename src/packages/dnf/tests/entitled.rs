//! Repositories that a subscription opens, on a server that delivers nothing to clients without a certificate.

use super::fixture::{Base, Key, Repo, install, names};
use super::*;
use crate::fetch::testing::http::{Reply, Request, Server};
use crate::packages::{EntitledRepository, TlsClient};

use crate::subscription::testing::candlepin::Authority;

/// What one registration opens. Its certificate is another one each time.
fn entitled(server: &Server, authority: &Authority, to: &std::path::Path) -> EntitledRepository {
    let (certificate, key) = authority.sign("org", "entitlement", &[]);
    let write = |name: &str, text: &str| {
        let path = to.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let client = TlsClient {
        certificate: write("entitlement.pem", &certificate),
        key: write("entitlement-key.pem", &key),
        authorities: Some(write("authorities.pem", &authority.pem)),
    };
    EntitledRepository {
        id: "rhel-9-baseos-rpms".to_owned(),
        name: "Base OS".to_owned(),
        url: server.url("").replace("127.0.0.1", "localhost"),
        gpg_keys: vec!["file:///etc/pki/rpm-gpg/KEY-9".to_owned()],
        client: Some(client),
    }
}

#[test]
fn what_a_subscription_opens_is_read_with_its_certificate() {
    let key = Key::new();
    let repo = Repo::signed(&[("tib-more", "1.0-1", "")], &key);
    let (directory, authority) = (repo.directory.path().to_owned(), Authority::new());
    let server = Server::with_tls(authority.tls(), move |request: &Request| {
        let file = directory.join(request.path.trim_start_matches('/'));
        match (&request.peer, fs::read(file)) {
            (None, _) => Reply::status(403),
            (Some(_), Ok(content)) => Reply::new(200, content),
            (Some(_), Err(_)) => Reply::status(404),
        }
    });
    let place = tempfile::tempdir().unwrap();
    let mut base = Base::new(&[]);
    base.write("/etc/pki/rpm-gpg/KEY-9", &key.armoured());
    // What the image was registered for is of no use any more, and has no files.
    base.write(
        "/etc/yum.repos.d/redhat.repo",
        "[rhel-9-baseos-rpms]\nname=x\nbaseurl=https://127.0.0.1:9/\nsslclientkey=/etc/pki/entitlement/1-key.pem\n",
    );
    base.entitled = vec![entitled(&server, &authority, place.path())];
    let wanted = [install(&["tib-more"])];
    let sets = base.resolve(&wanted, false).map_err(|error| told(&error)).unwrap();
    assert_eq!(names(&sets[0]), ["tib-more"]);
    assert!(server.requests() > 0 && server.log().iter().all(|logged| logged.request.peer.is_some()));

    // Offline, the same is in the cache, whoever was registered when it came.
    let asked = server.requests();
    base.entitled[0].client = None;
    assert_eq!(base.resolve(&wanted, true).map_err(|error| told(&error)).unwrap(), sets);
    base.entitled = vec![entitled(&server, &authority, place.path())];
    assert_eq!(base.resolve(&wanted, true).map_err(|error| told(&error)).unwrap(), sets);
    assert_eq!(server.requests(), asked);

    // Without a certificate there is nothing to be had.
    base.entitled[0].client = None;
    base.entitled[0].url.push_str("/./");
    assert_eq!(base.resolve(&wanted, false).unwrap_err().exit(), Exit::Network);
}
