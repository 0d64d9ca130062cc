//! Sources that mirrors stand for, that are not there, or that want to know who asks.

use super::*;
use crate::fetch::testing::http::{Reply, Request, Server, Site};
use crate::mirror::Mirrors;
use crate::netrc::Netrc;

/// Nobody answers under this name.
const SOURCE: &str = "http://deb.invalid/debian";

fn mirrored(pairs: &[(&str, &str)]) -> Control {
    let line = |(url, mirror): &(&str, &str)| format!("[[mirror]]\nurl = '{url}'\nmirror = '{mirror}'\n");
    let text: String = pairs.iter().map(line).collect();
    Control::none().with_mirrors(Mirrors::parse("c", &text).unwrap())
}

#[test]
fn packages_come_from_a_mirror_and_are_called_as_where_they_are_from() {
    let (key, extra_key) = (Key::new(), Key::new());
    let archive = Archive::new(&PACKAGES).signed(&key);
    let extra = Archive::new(&[("tib-app", "1:1.0", "Depends: tib-lib\n")]).signed(&extra_key);
    let source = format!("deb [signed-by=/usr/share/keyrings/tib.asc] {SOURCE} test main\n");
    // The pin names the host of the source, and not that of the mirror.
    let base = Base::new(&[
        ("/etc/apt/sources.list", &source),
        ("/usr/share/keyrings/tib.asc", &key.armoured()),
        ("/etc/apt/preferences.d/own", "Package: tib-dep\nPin: origin \"deb.invalid\"\nPin-Priority: -1\n"),
    ]);
    let repository = RepositoryStep::of(
        "extra",
        "https://vendor.invalid/apt/",
        &extra_key.armoured(),
        &extra_key.fingerprint(),
    )
    .with_suite("test");
    let stages = [StageRequest { repositories: vec![&repository], ..install(&["tib-mta", "tib-app=1:1.0"]) }];
    let control = mirrored(&[(SOURCE, archive.url()), ("https://vendor.invalid/apt", extra.url())]);
    let sets = base.resolve_under(&stages, false, &control).unwrap();
    let from = |name: &str| sets[0].files.iter().find(|file| file.name == name).unwrap().source.clone();
    assert_eq!(from("tib-mta"), format!("{SOURCE}/pool/tib-mta_1.0_all.deb"));
    assert_eq!(from("tib-app"), "https://vendor.invalid/apt/pool/tib-app_1.0_all.deb");
    assert_eq!(base.resolve_under(&stages, true, &control).unwrap(), sets, "offline, from the cache");
    let error = base.resolve_under(&[install(&["tib-dep"])], false, &control).unwrap_err();
    assert!(error.to_string().contains("tib-dep"), "pinned away: {error}");
    // What the mirror lacks is told with both names.
    let control =
        mirrored(&[("http://deb.invalid", archive.url()), ("https://vendor.invalid/apt", extra.url())]);
    let error = base.resolve_under(&stages, false, &control).unwrap_err();
    let expected = format!(
        "a package source of the base image: there is no suite `test` at `{SOURCE}` (`{}/debian/dists/test/Release` is not there)",
        archive.url()
    );
    assert_eq!(error.to_string(), expected);

    // A mirror is believed no more than the source.
    let other = Archive::new(&PACKAGES).signed(&Key::new());
    let control = mirrored(&[(SOURCE, other.url()), ("https://vendor.invalid/apt", extra.url())]);
    assert_eq!(base.resolve_under(&stages, false, &control).unwrap_err().exit(), Exit::Integrity);
}

#[test]
fn a_suite_that_does_not_exist_is_told_by_name() {
    let ((archive, base), key) = (good(), Key::new());
    let repository =
        RepositoryStep::of("db", archive.url(), &key.armoured(), &key.fingerprint()).with_suite("nosuch");
    let stages = [StageRequest { repositories: vec![&repository], ..install(&["tib-app"]) }];
    let error = base.resolve(&stages, false).unwrap_err();
    let url = archive.url();
    let expected = format!(
        "repository `db`: there is no suite `nosuch` at `{url}` (`{url}/dists/nosuch/Release` is not there)"
    );
    assert_eq!((error.to_string(), error.exit()), (expected, Exit::Recipe));
    assert!(error.hint().unwrap().contains("check the suite"), "{:?}", error.hint());
}

/// A server in front of an archive's, for those alone who say who they are.
fn guarded(archive: &Archive, authorization: &'static str) -> Server {
    let site = Site::new();
    let url = archive.url().to_owned();
    for path in ["/dists/test/InRelease", "/dists/test/main/binary-amd64/Packages"] {
        site.put(path, fetched(&url, path));
    }
    for name in ["tib-app_2.0", "tib-dep_1.0", "tib-lib_2.0"] {
        let path = format!("/pool/{name}_all.deb");
        site.put(&path, fetched(&url, &path));
    }
    Server::http(move |request: &Request| match request.header("authorization") {
        Some(told) if told == authorization => site.reply(request),
        _ => Reply::status(401),
    })
}

fn fetched(url: &str, path: &str) -> Vec<u8> {
    let fetcher = crate::fetch::Fetcher::new(crate::fetch::Options::default(), &Control::none()).unwrap();
    fetcher.small(&[format!("{url}{path}").parse().unwrap()], 1 << 20).unwrap().bytes
}

#[test]
fn credentials_go_to_the_server_that_they_are_for_and_nowhere_else() {
    const CANARY: &str = "canary-8e1f";
    let key = Key::new();
    let archive = Archive::new(&PACKAGES).signed(&key);
    // `user:canary-8e1f`, by coreutils' base64.
    let server = guarded(&archive, "Basic dXNlcjpjYW5hcnktOGUxZg==");
    let source = format!("deb [signed-by=/usr/share/keyrings/tib.asc] {} test main\n", server.url(""));
    let base =
        Base::new(&[("/etc/apt/sources.list", &source), ("/usr/share/keyrings/tib.asc", &key.armoured())]);
    let error = base.fails(&["tib-app"]);
    let expected = format!(
        "`{}` wants credentials, or others: the server answers 401",
        server.url("/dists/test/InRelease")
    );
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!(error.exit(), Exit::Network);
    assert!(error.hint().unwrap().contains("--repository-auth FILE"));

    let netrc = Netrc::parse(&format!("machine {} login user password {CANARY}", server.url(""))).unwrap();
    let notes = crate::event::testing::Notes::default();
    let control = Control { netrc, ..Control::new(Events::new(notes.clone()), Cancel::new()) };
    let sets = base.resolve_under(&[install(&["tib-app"])], false, &control).unwrap();
    assert_eq!(names(&sets[0]), ["tib-app", "tib-dep", "tib-lib"]);
    assert!(!format!("{sets:?}{:?}", notes.take()).contains(CANARY));
    let kept = std::process::Command::new("grep")
        .args(["-r", "-l", CANARY])
        .arg(base.cache.root())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "", "nothing of the cache holds it");
}
