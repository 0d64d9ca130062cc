//! Images from registries that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::error::{Diagnose, Exit};
use crate::fetch::testing::http::{Body, Reply, Request};

#[test]
fn an_image_of_a_registry_becomes_an_archive_and_comes_from_the_cache_then() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let server = Server::http(site(&amd64, &arm64).handler());
    let place = Place::new();
    let (found, path) = place.archive(&asked(&server, ":1"), false).unwrap();
    let container = &found.container;
    assert_eq!((container.name.as_str(), container.id), ("db:1", amd64.config));
    let of_tag = Digest::of(index(&[("arm64", &arm64), ("amd64", &amd64)]).as_bytes());
    assert_eq!(container.digest, Some(of_tag));
    let archive = fs::read(&path).unwrap();
    assert!(container.size.abs_diff(archive.len() as u64) < 200_000, "{} {}", container.size, archive.len());
    judge(&place, "db:1", &amd64);
    let mut entries = tar::Archive::new(&archive[..]);
    let names = entries.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let layers = [0, 1, 3].map(|index| format!("{}.tar", amd64.diffs[index]));
    let first = ["manifest.json".to_owned(), format!("{}.json", amd64.config)];
    assert_eq!(names.collect::<Vec<_>>(), [&first[..], &layers].concat());

    let requests = server.requests();
    let again = place.find(&asked(&server, ":1"), false).unwrap();
    place.with(false, |access| again.fetch(access, &Control::none())).unwrap();
    assert_eq!(server.requests(), requests + 1, "only the tag is asked for again");
    let source = asked(&server, ":1");
    let pinned = asked(&server, &format!("@sha256:{of_tag}"));
    drop(server);
    for asked in [source, pinned] {
        let (found, path) = place.archive(&asked, true).unwrap();
        assert_eq!(found.container.digest, Some(of_tag));
        assert!(fs::read(path).unwrap() == archive, "the same image gives the same bytes");
    }
}

#[test]
fn what_is_not_there_is_told() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let server = Server::http(site(&amd64, &arm64).handler());
    let place = Place::new();
    let pinned = |digest: Digest| asked(&server, &format!("@sha256:{digest}"));
    for (asked, message, exit) in [
        (asked(&server, ":2"), "there is no container image", Exit::Usage),
        (asked(&server, ":arm"), "is not for linux/amd64, but for linux/arm64", Exit::Usage),
        (pinned(arm64.manifest), "is not for linux/amd64, but for linux/arm64", Exit::Usage),
        (pinned(Digest::of(b"none")), "there is no container image", Exit::Usage),
        (asked(&server, ":old"), "schema 1", Exit::Usage),
        ("db:1=docker://127.0.0.1:1/own/db:1".to_owned(), "cannot get container image", Exit::Network),
        (format!("db:1=oci:{}", place.path("none").display()), "cannot read `", Exit::Host),
    ] {
        let error = place.fails(&asked);
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.exit(), exit, "{error}");
        assert!(exit == Exit::Host || error.hint().is_some(), "{error}");
    }
    let error = place.find(&asked(&server, ":plain"), true).unwrap_err();
    assert!(matches!(error, ContainerError::Offline { .. }), "{error}");
}

#[test]
fn other_bytes_than_the_digests_say_are_refused_wherever_they_are() {
    let amd64 = made("amd64");
    let arm64 = made("arm64");
    let layer = |made: &Made, at: usize| {
        let manifest: Value = serde_json::from_slice(&made.blobs[&made.manifest]).unwrap();
        manifest["layers"][at]["digest"].as_str().unwrap().to_owned()
    };
    for (path, message) in [
        (format!("manifests/sha256:{}", amd64.manifest), "the manifest of container image"),
        (format!("blobs/sha256:{}", amd64.config), "the configuration of container image"),
        (format!("blobs/{}", layer(&amd64, 1)), "is not what it should be"),
    ] {
        let site = site(&amd64, &arm64);
        let path = format!("/v2/own/db/{path}");
        let mut bytes = amd64.blobs[&Digest::parse(&path[path.len() - 64..]).unwrap()].clone();
        *bytes.last_mut().unwrap() ^= 1;
        site.put(&path, bytes);
        let server = Server::http(site.handler());
        let error = Place::new().fails(&asked(&server, ":1"));
        let text = crate::error::Failure::from(error).to_string();
        assert!(text.contains(message), "{text}");
    }
    // A layer that is right by its own digest, and unpacks to something else than the configuration says.
    let other = of_layers("amd64", &[tree("x", 9)], &[gzip(&tree("y", 9))], &["+gzip"]);
    let server = Server::http(self::site(&other, &arm64).handler());
    let error = Place::new().fails(&asked(&server, ":1"));
    assert!(error.to_string().contains("unpacked, of container image"), "{error}");
    assert_eq!(error.exit(), Exit::Integrity);
    let torn = of_layers("amd64", &[tree("x", 9)], &[gzip(&tree("x", 9))[..40].to_vec()], &["+gzip"]);
    let server = Server::http(self::site(&torn, &arm64).handler());
    let error = Place::new().fails(&asked(&server, ":1"));
    assert!(error.to_string().contains("it cannot be unpacked"), "{error}");
}

#[test]
fn a_layer_that_breaks_off_is_resumed_and_one_damaged_in_the_cache_is_fetched_again() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let files = site(&amd64, &arm64);
    let broken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&broken);
    let server = Server::http(move |request| {
        let reply = files.reply(request);
        let large = matches!(&reply.body, Body::Bytes(_, part) if part.end - part.start > 200_000);
        if large && count.fetch_add(1, Ordering::SeqCst) < 2 { reply.cut_after(100_000) } else { reply }
    });
    let place = Place::new();
    place.archive(&asked(&server, ":1"), false).unwrap();
    judge(&place, "db:1", &amd64);
    let parts: Vec<_> =
        server.log().iter().filter_map(|logged| logged.request.header("range").map(str::to_owned)).collect();
    assert!(!parts.is_empty(), "the rest alone is asked for");

    let store = Store::open(&place.cache).unwrap();
    let path = store.path(amd64.diffs[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[600] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = place.fails(&asked(&server, ":1"));
    assert!(matches!(error, ContainerError::Damaged { .. }), "{error}");
    place.archive(&asked(&server, ":1"), false).unwrap();
    judge(&place, "db:1", &amd64);
}

/// A server that wants a token, which another path gives for the right login, and sends layers from elsewhere.
fn guarded(files: Site, elsewhere: String, lifetime: usize) -> Server {
    let login = format!("Basic {}", STANDARD.encode("user:secret"));
    let (issued, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Server::http(move |request: &Request| {
        if let Some(query) = request.path.strip_prefix("/token?") {
            assert!(
                query.contains("service=own+registry")
                    && query.contains("scope=repository%3Aown%2Fdb%3Apull"),
                "{query}"
            );
            if request.header("authorization") != Some(&login) {
                return Reply::status(401);
            }
            used.store(0, Ordering::SeqCst);
            let token = format!("token-{}", issued.fetch_add(1, Ordering::SeqCst) + 1);
            return Reply::new(200, json!({ "token": token }).to_string().into_bytes());
        }
        let token = format!("Bearer token-{}", issued.load(Ordering::SeqCst));
        let valid =
            request.header("authorization") == Some(&token) && used.fetch_add(1, Ordering::SeqCst) < lifetime;
        if !valid {
            let host = request.header("host").unwrap();
            let challenge = format!(
                "Bearer realm=\"http://{host}/token\",service=\"own registry\",scope=\"repository:own/db:pull\""
            );
            return Reply::status(401).with("WWW-Authenticate", &challenge);
        }
        match request.path.contains("/blobs/") {
            true => Reply::redirect(307, &format!("{elsewhere}{}", request.path)),
            false => files.reply(request),
        }
    })
}

#[test]
fn a_token_is_got_with_the_login_and_told_to_nobody_else() {
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    let files = site(&amd64, &arm64);
    let elsewhere = Server::http(files.handler());
    // Each token is good for three requests, so one expires on the way.
    let server = guarded(files, elsewhere.url(""), 3);
    let place = Place::new();
    let host = server.url("").replace("http://", "");
    let login = |password: &str| {
        let auth = STANDARD.encode(format!("user:{password}"));
        fs::write(place.path("auth.json"), json!({"auths": {&host: {"auth": auth}}}).to_string()).unwrap();
    };
    let refused = place.fails(&asked(&server, ":1"));
    assert!(refused.to_string().contains("there is no login for it"), "{refused}");
    login("wrong");
    let refused = place.fails(&asked(&server, ":1"));
    assert!(refused.to_string().contains("it gives no token: the answer is 401 to the login"), "{refused}");
    assert_eq!(refused.exit(), Exit::Network);
    login("secret");
    place.archive(&asked(&server, ":1"), false).unwrap();
    judge(&place, "db:1", &amd64);
    assert!(elsewhere.requests() > 2);
    for logged in elsewhere.log() {
        assert_eq!(logged.request.header("authorization"), None, "{}", logged.request.path);
    }
    for name in ["blobs", "names"] {
        for entry in fs::read_dir(place.cache.directory(Bucket::Containers).join(name)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("token-"));
        }
    }
}

#[test]
fn a_registry_that_has_had_enough_is_named() {
    let server = Server::http(|_| Reply::status(429).with("Retry-After", "0"));
    let error = Place::new().fails(&asked(&server, ":1"));
    assert!(matches!(error, ContainerError::RateLimited { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Network);
}
