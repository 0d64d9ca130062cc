//! Against repositories of our own, with the host's rpm and dnf as judges.

mod databases;
mod entitled;
mod fixture;
mod guest;
mod image;
mod judge;
mod mirrors;
mod plan;
mod shapes;

use fs_err as fs;

use super::*;
use crate::cache::Bucket;
use crate::digest::Digest;
use crate::error::{Diagnose as _, Exit};
use error::{Fault, PackageProblem};
use fixture::{Base, Key, Repo, Spec, install, names};

/// What the repository holds: an application with a dependency, and ways to go wrong.
const PACKAGES: [Spec; 7] = [
    ("tib-app", "1:2.0-3", "Requires: tib-lib >= 2, tib-dep\nRecommends: tib-extra\n%content application\n"),
    ("tib-dep", "1.0-1", ""),
    ("tib-lib", "2.0-1", ""),
    ("tib-extra", "1.0-1", ""),
    ("tib-clash", "1.0-1", "Conflicts: tib-dep\n"),
    ("tib-broken", "1.0-1", "Requires: tib-nowhere\n"),
    ("tib-mta", "1.0-1", "Provides: tib-mail\n"),
];

fn good() -> (Repo, Base) {
    let key = Key::new();
    let repo = Repo::signed(&PACKAGES, &key);
    let base = Base::of(&repo, &key);
    (repo, base)
}

/// An error with all that is said beside it.
fn told(error: &DnfError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    format!("{text} {:?}", error.context())
}

#[test]
fn stages_install_what_the_ones_before_did_not() {
    let (served, base) = good();
    let stages =
        [install(&["tib-dep"]), StageRequest::default(), install(&["tib-app", "tib-dep", "tib-mta"])];
    let sets = base.resolve(&stages, false).map_err(|error| told(&error)).unwrap();
    assert_eq!(
        sets.iter().map(names).collect::<Vec<_>>(),
        [&["tib-dep"][..], &[], &["tib-app", "tib-lib", "tib-mta"]]
    );
    let app = sets[2].files.iter().find(|file| file.name == "tib-app").unwrap();
    assert_eq!((app.version.as_str(), app.arch.as_str()), ("1:2.0-3", "noarch"));
    assert_eq!((app.requested, app.new, app.repository.as_deref()), (true, true, Some("test")));
    assert_eq!(app.source, format!("{}/Packages/tib-app-2.0-3.noarch.rpm", served.url()));
    assert!(app.installed_size > 4000, "{app:?}");
    let files = DnfPackages.files(&sets[2], &base.cache);
    let file = files.iter().find(|file| file.name == "tib-app-2.0-3.noarch.rpm").unwrap();
    assert_eq!(Digest::of(&fs::read(&file.path).unwrap()), app.digest);
    assert_eq!(fs::metadata(&file.path).unwrap().len(), app.size);
    let lib = sets[2].files.iter().find(|file| file.name == "tib-lib").unwrap();
    assert_eq!((lib.requested, lib.new), (false, false), "an upgrade that a dependency asks for");
    assert_eq!(sets[1], nothing());
    // The guest gets the key, and rpm believes the packages by it.
    let key = files.iter().find(|file| file.name.ends_with(".asc")).unwrap();
    let ring = tempfile::TempDir::new().unwrap();
    let rpmkeys = |arguments: &[&std::ffi::OsStr]| {
        let mut command = std::process::Command::new("rpmkeys");
        let output = command.arg("--dbpath").arg(ring.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    rpmkeys(&["--import".as_ref(), key.path.as_os_str()]);
    rpmkeys(&["--define".as_ref(), "_pkgverify_level all".as_ref(), "-K".as_ref(), file.path.as_os_str()]);
    assert_eq!(fs::read_dir(base.cache.directory(Bucket::Work)).unwrap().count(), 0, "nothing is left");
}

#[test]
fn without_the_network() {
    let (served, base) = good();
    let error = base.resolve(&[install(&["tib-app"])], true).unwrap_err();
    assert!(matches!(error, DnfError::NoMetadata), "{}", told(&error));
    assert_eq!(error.exit(), Exit::Network);
    let online = base.resolve(&[install(&["tib-app"])], false).unwrap();
    let asked = served.asked.lock().unwrap().len();
    assert_eq!(base.resolve(&[install(&["tib-app"])], true).map_err(|e| told(&e)).unwrap(), online);
    let error = base.resolve(&[install(&["tib-app", "tib-mta"])], true).unwrap_err();
    assert_eq!(error.to_string(), "1 package files are not in the cache: tib-mta-1.0-1.noarch.rpm");
    assert_eq!(error.exit(), Exit::Network);
    assert_eq!(served.asked.lock().unwrap().len(), asked, "the server was not asked");
    // With a network, only the metadata's own list is asked for again.
    base.resolve(&[install(&["tib-app"])], false).unwrap();
    let since: Vec<_> = served.asked.lock().unwrap()[asked..].to_vec();
    assert!(since.iter().all(|path| path.ends_with("/repodata/repomd.xml")), "{since:?}");
}

#[test]
fn a_server_that_is_gone() {
    let key = Key::new();
    let base = Base::new(&[]);
    let error = base.fails(&["x"]);
    assert!(matches!(error, DnfError::NoRepositories), "{}", told(&error));
    base.write("/etc/pki/k", &key.armoured());
    base.write(
        "/etc/yum.repos.d/a.repo",
        "[a]\nname=a\nbaseurl=http://127.0.0.1:9/\ngpgkey=file:///etc/pki/k\nskip_if_unavailable=1\n",
    );
    let error = base.fails(&["x"]);
    assert_eq!(error.exit(), Exit::Network, "{}", told(&error));
}

#[test]
fn names_that_do_not_exist() {
    let (_served, base) = good();
    let error = base.fails(&["tib-ap", "tib-dep"]);
    assert_eq!((error.to_string().as_str(), error.exit()), ("no such package: `tib-ap`", Exit::Guest));
    assert!(error.hint().unwrap().starts_with("did you mean tib-app"), "{:?}", error.hint());
    assert_eq!(base.fails(&["tib-app=9"]).to_string(), "no such package: `tib-app=9`");
    let error = base.fails(&["tib-mail"]);
    assert_eq!(error.exit(), Exit::Recipe);
    assert_eq!(error.to_string(), "`tib-mail` is no package, only a name that `tib-mta` provides");
    assert_eq!(base.fails(&["-y"]).exit(), Exit::Recipe);
    for version in ["1:2.0-3", "2.0-3", "2.0"] {
        let name = format!("tib-app={version}");
        assert!(base.resolve(&[install(&[&name])], false).is_ok(), "{name}");
    }
}

#[test]
fn packages_that_do_not_fit_together() {
    let (_served, base) = good();
    for (names, reason) in [
        (&["tib-broken"][..], "nothing provides tib-nowhere needed by tib-broken"),
        (&["tib-app", "tib-clash"], "tib-clash"),
    ] {
        let error = base.fails(names);
        assert_eq!(error.exit(), Exit::Guest);
        assert!(matches!(error, DnfError::Failed { fault: Fault::Dependencies, .. }), "{error}");
        assert!(error.context().iter().any(|line| line.contains(reason)), "{:?}", error.context());
    }
}

/// Only their content says so, so dnf would find it while it installs.
#[test]
fn packages_that_bring_the_same_file() {
    let key = Key::new();
    let repo = Repo::empty();
    for (name, content) in [("tib-one", "%content one\n"), ("tib-two", "%content two\n")] {
        fixture::build(&[(name, "1.0-1", content)], &repo.path("Packages"));
    }
    repo.sign(&key);
    repo.index();
    let base = Base::of(&repo, &key);
    let expected = "installing packages failed: file /opt/tib/0 conflicts between attempted installs of tib-one-1.0-1.noarch and \
                    tib-two-1.0-1.noarch";
    let error = base.fails(&["tib-one", "tib-two"]);
    assert_eq!((error.to_string().as_str(), error.exit()), (expected, Exit::Guest), "{}", told(&error));
    let error = base.resolve(&[install(&["tib-one"]), install(&["tib-two"])], false).unwrap_err();
    assert!(error.to_string().contains("conflicts with file from package tib-one-1.0-1"), "{}", told(&error));
    assert_eq!(error.exit(), Exit::Guest);
}

#[test]
fn packages_that_are_not_signed_as_they_should_be() {
    let (key, other, old) = (Key::new(), Key::new(), Key::expired());
    let problem = |repo: &Repo, key: &Key| {
        let base = Base::of(repo, key);
        // What an image says about checking does not count.
        base.repository(repo, key, "gpgcheck=0\n");
        let error = base.fails(&["tib-app"]);
        assert_eq!(error.exit(), Exit::Integrity, "{}", told(&error));
        assert!(error.hint().is_some());
        let names = fs::read_dir(base.cache.directory(Bucket::Dnf).join("packages")).unwrap().count();
        match error {
            DnfError::Signature { source, package, .. } => {
                assert!(names < 3, "what is refused is not kept");
                (package, source)
            }
            error => panic!("{}", told(&error)),
        }
    };
    let repo = Repo::new(&PACKAGES);
    assert!(matches!(problem(&repo, &key).1, PackageProblem::Unsigned));
    repo.sign(&other);
    repo.index();
    let (_, by_other) = problem(&repo, &key);
    assert!(by_other.to_string().starts_with("signed by "), "{by_other}");
    let hint = Base::of(&repo, &key).fails(&["tib-app"]).hint().unwrap();
    assert!(hint.contains("gpgkey") && !hint.contains("catalogue"), "{hint}");

    let repo = Repo::signed(&PACKAGES, &key);
    let file = repo.package("tib-app");
    let whole = fs::read(&file).unwrap();
    // In the content, and in the header: a directory's name.
    let text = whole.windows(9).rposition(|window| window == b"/opt/tib/").unwrap() + 1;
    for (at, what) in [(whole.len() - 20, "content"), (text, "header")] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&file, changed).unwrap();
        repo.index();
        let (package, problem) = problem(&repo, &key);
        assert_eq!(package, "tib-app-1:2.0-3.noarch");
        match what {
            "content" => assert!(matches!(problem, PackageProblem::Payload), "{problem}"),
            _ => assert!(problem.to_string().contains("changed since it was signed"), "{problem}"),
        }
    }
    fs::write(&file, whole).unwrap();
    // A key that expired later says nothing against what it signed before.
    let expired = Repo::signed(&PACKAGES, &old);
    let base = Base::of(&expired, &old);
    assert!(base.resolve(&[install(&["tib-app"])], false).is_ok(), "signed while the key was good");
}

#[test]
fn files_that_are_not_what_the_metadata_says() {
    let (served, base) = good();
    served.cut.lock().unwrap().push("tib-dep-1.0-1.noarch.rpm");
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.exit(), Exit::Integrity, "cut: {}", told(&error));
    served.cut.lock().unwrap().clear();
    let (dep, lib) = (served.package("tib-dep"), served.package("tib-lib"));
    let whole = fs::read(&dep).unwrap();
    fs::copy(&lib, &dep).unwrap();
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.exit(), Exit::Integrity, "replaced: {}", told(&error));
    fs::remove_file(&dep).unwrap();
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.exit(), Exit::Network, "missing: {}", told(&error));
    assert!(error.hint().unwrap().contains("mirror"), "the server does answer: {:?}", error.hint());
    let lines = error.context();
    assert_eq!(lines.iter().collect::<std::collections::BTreeSet<_>>().len(), lines.len(), "{lines:?}");
    fs::write(&dep, whole).unwrap();
    let sets = base.resolve(&[install(&["tib-app"])], false).unwrap();

    // The same length, another byte: damaged in the cache.
    let path = archive::package(&base.cache.directory(Bucket::Dnf), sets[0].files[0].digest);
    let mut content = fs::read(&path).unwrap();
    content[100] ^= 1;
    fs::write(&path, &content).unwrap();
    let error = base.resolve(&[install(&["tib-app"])], true).unwrap_err();
    assert!(matches!(error, DnfError::Missing { .. }), "{error}");
    base.resolve(&[install(&["tib-app"])], false).unwrap();
    assert_ne!(fs::read(&path).unwrap(), content, "fetched again");
}

#[test]
fn metadata_that_is_signed() {
    let (key, other) = (Key::new(), Key::new());
    let repo = Repo::signed(&PACKAGES, &key);
    let base = Base::new(&[]);
    base.repository(&repo, &key, "repo_gpgcheck=1\n");
    let refused = |case: &str| {
        let error = base.fails(&["tib-app"]);
        assert_eq!(error.exit(), Exit::Integrity, "{case}: {}", told(&error));
        assert!(
            matches!(error, DnfError::Failed { fault: Fault::Signature, .. }),
            "{case}: {}",
            told(&error)
        );
    };
    refused("unsigned");
    repo.sign_metadata(&other);
    refused("another key");
    repo.sign_metadata(&key);
    base.resolve(&[install(&["tib-app"])], false).map_err(|error| told(&error)).unwrap();
    let path = repo.path("repodata/repomd.xml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("<revision>", "<revision>1")).unwrap();
    refused("changed");
    fs::write(&path, text).unwrap();
    base.resolve(&[install(&["tib-app"])], false).map_err(|error| told(&error)).unwrap();
    let old = Key::expired();
    repo.sign_metadata(&old);
    base.repository(&repo, &old, "repo_gpgcheck=1\n");
    refused("expired key");
}
