//! Repositories that mirrors stand for, that are not there, or that want to know who asks.

use super::fixture::{Base, Key, Repo, Spec, install, names};
use super::*;
use crate::cancel::Cancel;
use crate::event::Events;
use crate::fetch::testing::http::{Reply, Request, Server, Site};
use crate::mirror::Mirrors;
use crate::netrc::Netrc;

const PACKAGES: [Spec; 2] = [("tib-app", "2.0-1", "Requires: tib-dep\n"), ("tib-dep", "1.0-1", "")];

fn mirrored(pairs: &[(&str, &str)]) -> Control {
    let line = |(url, mirror): &(&str, &str)| format!("[[mirror]]\nurl = '{url}'\nmirror = '{mirror}'\n");
    let text: String = pairs.iter().map(line).collect();
    Control::none().with_mirrors(Mirrors::parse("c", &text).unwrap())
}

fn base_of(place: &str, key: &Key) -> Base {
    let base = Base::new(&[]);
    base.write("/etc/pki/rpm-gpg/KEY", &key.armoured());
    base.write(
        "/etc/yum.repos.d/test.repo",
        &format!("[test]\nname=test\n{place}\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/KEY\nusername=own\npassword=own\n"),
    );
    base
}

#[test]
fn packages_come_from_a_mirror_and_are_called_as_where_they_are_from() {
    let (key, extra_key) = (Key::new(), Key::new());
    let repo = Repo::signed(&PACKAGES, &key);
    let extra = Repo::signed(&[("tib-more", "1.0-1", "Requires: tib-dep\n")], &extra_key);
    let repository = RepositoryStep::of(
        "extra",
        "https://vendor.invalid/el9/$basearch/",
        &extra_key.armoured(),
        &extra_key.fingerprint(),
    );
    let stages = [StageRequest { repositories: vec![&repository], ..install(&["tib-app", "tib-more"]) }];
    fs::create_dir_all(extra.directory.path().join("x86_64")).unwrap();
    for name in ["Packages", "repodata"] {
        fs::rename(extra.directory.path().join(name), extra.directory.path().join("x86_64").join(name))
            .unwrap();
    }
    let base = base_of("baseurl=https://rpm.invalid/$releasever/os/", &key);
    let pairs = [("https://rpm.invalid/9/os", repo.url()), ("https://vendor.invalid/el9", extra.url())];
    let sets = base.resolve_under(&stages, false, &mirrored(&pairs)).map_err(|error| told(&error)).unwrap();
    let from = |name: &str| sets[0].files.iter().find(|file| file.name == name).unwrap().source.clone();
    assert_eq!(from("tib-app"), "https://rpm.invalid/9/os/Packages/tib-app-2.0-1.noarch.rpm");
    assert_eq!(from("tib-more"), "https://vendor.invalid/el9/x86_64/Packages/tib-more-1.0-1.noarch.rpm");
    assert_eq!(
        base.resolve_under(&stages, true, &mirrored(&pairs)).unwrap(),
        sets,
        "offline, from the cache"
    );

    // A mirror is believed no more than the repository.
    let other = Repo::signed(&[("tib-app", "3.0-1", ""), ("tib-dep", "2.0-1", "")], &Key::new());
    let wrong = [("https://rpm.invalid/9/os", other.url()), pairs[1]];
    let error = base.resolve_under(&stages, false, &mirrored(&wrong)).unwrap_err();
    assert_eq!(error.exit(), Exit::Integrity, "{}", told(&error));

    // What a list of mirrors would lead to.
    let list = "https://list.invalid/mirrorlist?repo=BaseOS-9&arch=x86_64";
    let base =
        base_of("mirrorlist=https://list.invalid/mirrorlist?repo=BaseOS-$releasever&arch=$basearch", &key);
    let sets = base.resolve_under(&[install(&["tib-app"])], false, &mirrored(&[(list, repo.url())]));
    assert_eq!(names(&sets.map_err(|error| told(&error)).unwrap()[0]), ["tib-app", "tib-dep"]);
}

#[test]
fn a_repository_that_does_not_exist_is_told_by_name() {
    let (repo, base) = good();
    let key = Key::new();
    let repository = RepositoryStep::of(
        "db",
        &format!("{}/nosuch/$releasever", repo.url()),
        &key.armoured(),
        &key.fingerprint(),
    );
    let stages = [StageRequest { repositories: vec![&repository], ..install(&["tib-app"]) }];
    let error = base.resolve(&stages, false).unwrap_err();
    let url = format!("{}/nosuch/9", repo.url());
    let expected = format!(
        "repository `db`: there is no package index at `{url}` (`{url}/repodata/repomd.xml` is not there)"
    );
    assert_eq!((error.to_string(), error.exit()), (expected, Exit::Recipe));
}

#[test]
fn credentials_go_to_the_server_that_they_are_for_and_nowhere_else() {
    const CANARY: &str = "canary-8e1f";
    let key = Key::new();
    let repo = Repo::signed(&PACKAGES, &key);
    let site = Site::new();
    for directory in ["repodata", "Packages"] {
        for entry in fs::read_dir(repo.directory.path().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            site.put_file(&format!("/{directory}/{name}"), path).unwrap();
        }
    }
    let server = Server::http(move |request: &Request| match request.header("authorization") {
        // `user:canary-8e1f`, by coreutils' base64.
        Some("Basic dXNlcjpjYW5hcnktOGUxZg==") => site.reply(request),
        _ => Reply::status(401),
    });
    let base = base_of("baseurl=https://rpm.invalid/", &key);
    let mirror = server.url("");
    let control = mirrored(&[("https://rpm.invalid", &mirror)]);
    let error = base.resolve_under(&[install(&["tib-app"])], false, &control).unwrap_err();
    let expected = format!(
        "`{}` wants credentials, or others: the server answers 401",
        server.url("/repodata/repomd.xml")
    );
    assert!(error.to_string().contains(&expected), "{}", told(&error));
    assert_eq!(error.exit(), Exit::Network);

    let netrc = Netrc::parse(&format!("machine {mirror} login user password {CANARY}")).unwrap();
    let notes = crate::event::testing::Notes::default();
    let events = Events::new(notes.clone());
    let control = Control { netrc, mirrors: control.mirrors, ..Control::new(events, Cancel::new()) };
    let sets =
        base.resolve_under(&[install(&["tib-app"])], false, &control).map_err(|error| told(&error)).unwrap();
    assert_eq!(names(&sets[0]), ["tib-app", "tib-dep"]);
    assert!(!format!("{sets:?}{:?}", notes.take()).contains(CANARY));
    let kept = std::process::Command::new("grep")
        .args(["-r", "-l", CANARY])
        .arg(base.cache.root())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "", "nothing of the cache holds it");
}
