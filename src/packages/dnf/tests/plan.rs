//! What a recipe asks, and what follows from it.

use super::fixture::{Base, Key, Repo, Spec, install, names};
use super::image::Said;
use super::*;
use crate::event::Events;
use crate::recipe::Content;

#[test]
fn repositories_of_the_recipe() {
    let (_served, base) = good();
    let (extra_key, other) = (Key::new(), Key::new());
    let extra =
        Repo::signed(&[("tib-more", "1.0-1", "Requires: tib-dep\n"), ("tib-app", "1:9.0-1", "")], &extra_key);
    let repository =
        RepositoryStep::of("extra", extra.url(), &extra_key.armoured(), &extra_key.fingerprint());
    let with = |repository: &RepositoryStep| {
        let second = StageRequest { repositories: vec![repository], ..install(&["tib-more"]) };
        let third = StageRequest { name: "site", ..install(&["tib-app"]) };
        base.resolve(&[install(&["tib-lib"]), second, third], false)
    };
    let sets = with(&repository).map_err(|error| told(&error)).unwrap();
    assert_eq!(names(&sets[1]), ["tib-dep", "tib-more"]);
    assert_eq!(
        sets[1].files.iter().find(|file| file.name == "tib-more").unwrap().repository.as_deref(),
        Some("extra")
    );
    assert_eq!(sets[2].files[0].version, "1:9.0-1", "the newest of all");
    let error = base.fails(&["tib-more"]);
    assert!(matches!(error, DnfError::Unknown { .. }), "not before it was added: {error}");
    // What is less than 99, which repositories have by themselves, comes first, and what is more, last.
    base.write("/etc/yum.repos.d/first.repo", "[off]\nname=x\nbaseurl=http://127.0.0.1:9/\nenabled=0\n");
    let text = fs::read_to_string(base.directory.path().join("etc/yum.repos.d/test.repo")).unwrap();
    base.write("/etc/yum.repos.d/test.repo", &format!("{text}priority=50\n"));
    assert_eq!(
        with(&repository).unwrap()[2].files.iter().find(|f| f.name == "tib-app").unwrap().version,
        "1:2.0-3"
    );
    let first = RepositoryStep { priority: Some(10), ..repository.clone() };
    assert_eq!(with(&first).unwrap()[2].files[0].version, "1:9.0-1");
    let never = RepositoryStep { priority: Some(500), ..repository.clone() };
    assert_eq!(with(&never).unwrap_err().exit(), Exit::Recipe);

    let pinned = "0123456789ABCDEF0123456789ABCDEF01234567";
    let wrong = RepositoryStep { fingerprints: vec![pinned.to_owned()], ..repository.clone() };
    let error = with(&wrong).unwrap_err();
    assert_eq!(error.exit(), Exit::Integrity);
    assert!(error.to_string().ends_with(&format!("but {pinned} is pinned")), "{error}");
    let wrong = RepositoryStep {
        key: Content::Text(other.armoured()),
        fingerprints: vec![other.fingerprint()],
        ..repository.clone()
    };
    let error = with(&wrong).unwrap_err();
    assert!(
        matches!(error, DnfError::Signature { .. }),
        "signed by another key than the pinned one: {error}"
    );

    // Of a bundle the pinned keys count, in rpm's form, which the guest gets.
    let bundle = RepositoryStep {
        key: Content::Text(format!("talk\n{}\n{}", other.armoured(), extra_key.armoured())),
        fingerprints: vec![extra_key.fingerprint(), pinned.to_owned()],
        bundle: true,
        ..repository.clone()
    };
    let sets = with(&bundle).map_err(|error| told(&error)).unwrap();
    assert_eq!(names(&sets[1]), ["tib-dep", "tib-more"]);
    let unpinned = RepositoryStep { fingerprints: vec![other.fingerprint()], ..bundle.clone() };
    assert!(matches!(with(&unpinned).unwrap_err(), DnfError::Signature { .. }));

    // One of the image's own name takes its place.
    let instead = RepositoryStep { name: "test".to_owned(), ..repository };
    let second = StageRequest { repositories: vec![&instead], ..install(&["tib-app"]) };
    let sets = base.resolve(&[install(&["tib-dep"]), second], false).map_err(|error| told(&error)).unwrap();
    assert_eq!(sets[1].files[0].version, "1:9.0-1");
}

const CHAIN: [Spec; 4] = [
    ("tib-tool", "1.0-1", "Requires: tib-helper\n"),
    ("tib-helper", "1.0-1", ""),
    ("tib-user", "1.0-1", "Requires: tib-tool\n"),
    ("python3", "3.9-1", ""),
];

#[test]
fn removing_takes_along_what_needs_it_and_what_nobody_needs() {
    let key = Key::new();
    let repo = Repo::signed(&CHAIN, &key);
    let base = Base::of(&repo, &key);
    let remove = |names: &[&'static str]| StageRequest {
        name: "site",
        remove: names.to_vec(),
        ..StageRequest::default()
    };
    let ways = [
        // What came as a dependency goes with what needed it.
        (install(&["tib-tool"]), &["tib-tool", "absent"][..], &["tib-helper", "tib-tool"][..]),
        (install(&["tib-tool", "tib-helper"]), &["tib-tool"], &["tib-tool"]),
        (install(&["tib-tool"]), &["tib-lib"], &["tib-lib"]),
    ];
    for (first, names, gone) in ways {
        let sets = base.resolve(&[first, remove(names)], false).map_err(|error| told(&error)).unwrap();
        let full: Vec<_> = gone.iter().map(|name| format!("{name}-1.0-1.noarch")).collect();
        assert_eq!(sets[1].removed, full, "{names:?}");
    }
    // Not what is asked for.
    let error = base.resolve(&[install(&["tib-user"]), remove(&["tib-helper"])], false).unwrap_err();
    assert_eq!(error.exit(), Exit::Recipe);
    assert!(
        told(&error).contains("takes `tib-user` with it, and stage datastore installs it"),
        "{}",
        told(&error)
    );
    let stages = [install(&["tib-helper"]), remove(&["tib-helper"]), install(&["tib-user"])];
    let error = base.resolve(&stages, false).unwrap_err();
    assert!(told(&error).contains("a later stage installs it again"), "{}", told(&error));

    // Nor what the image needs, or protects.
    let needed = [Needed { name: "python3", why: "the agent runs with" }];
    let stages = [install(&["python3"]), remove(&["python3"])];
    let error = base.resolve_with(&stages, &needed, false, &Events::none()).unwrap_err();
    assert_eq!(error.exit(), Exit::Recipe);
    assert!(told(&error).contains("that is what the agent runs with"), "{}", told(&error));
    base.write("/etc/dnf/protected.d/tib.conf", "# ours\ntib-helper\n");
    let error = base.resolve(&[install(&["tib-helper"]), remove(&["tib-helper"])], false).unwrap_err();
    assert_eq!(error.exit(), Exit::Recipe);
    assert!(told(&error).contains("protected packages: tib-helper"), "{}", told(&error));
    let said = Said::default();
    let error =
        base.resolve_with(&[install(&["tib-tool"]), remove(&["tib-release"])], &[], false, &said.events());
    assert!(error.is_ok(), "{:?} {:?}", error.map_err(|error| told(&error)), said.all());
}

#[test]
fn kernels_stand_beside_each_other_and_one_stays() {
    let key = Key::new();
    let kernel = "Provides: installonlypkg(kernel)\n";
    let repo = Repo::signed(&[("kernel-core", "6.0-2", kernel), ("tib-dep", "1.0-1", "")], &key);
    let base = Base::new(&[("kernel-core", "6.0-1", kernel)]);
    base.repository(&repo, &key, "");
    let sets =
        base.resolve(&[install(&["kernel-core=6.0-2", "tib-dep"])], false).map_err(|e| told(&e)).unwrap();
    let Transaction::Rpm(transaction) = &sets[0].transaction else { unreachable!() };
    let beside: Vec<_> = transaction.beside.iter().map(|&index| sets[0].files[index].name.as_str()).collect();
    assert_eq!((beside, &transaction.replaced[..]), (vec!["kernel-core"], &[][..]));
    let remove = |name| StageRequest { name: "site", remove: vec![name], ..StageRequest::default() };
    let error = base.resolve(&[remove("kernel-core")], false).unwrap_err();
    assert!(told(&error).contains("it is the last kernel of the image"), "{}", told(&error));
}

#[test]
fn recommended_packages_and_what_replaces_others() {
    let key = Key::new();
    let repo = Repo::signed(
        &[
            ("tib-app", "1.0-1", "Recommends: tib-weak, tib-rival\n"),
            ("tib-weak", "1.0-1", ""),
            ("tib-rival", "1.0-1", "Conflicts: tib-db\n"),
            ("tib-db", "1.0-1", "Recommends: tib-never\n"),
            ("tib-never", "1.0-1", ""),
            ("tib-successor", "1.0-1", "Obsoletes: tib-lib < 2\n"),
        ],
        &key,
    );
    let base = Base::of(&repo, &key);
    let both = StageRequest { recommends: vec!["tib-app"], ..install(&["tib-app", "tib-db"]) };
    let sets = base.resolve(&[both], false).map_err(|error| told(&error)).unwrap();
    assert_eq!(
        names(&sets[0]),
        ["tib-app", "tib-db", "tib-weak"],
        "what excludes something asked for is left out"
    );
    let sets = base.resolve(&[install(&["tib-successor"])], false).unwrap();
    let Transaction::Rpm(transaction) = &sets[0].transaction else { unreachable!() };
    assert_eq!(transaction.replaced, ["tib-lib"]);
    let needed = [Needed { name: "tib-lib", why: "the agent runs with" }];
    let error =
        base.resolve_with(&[install(&["tib-successor"])], &needed, false, &Events::none()).unwrap_err();
    assert_eq!(error.exit(), Exit::Recipe, "{}", told(&error));
}

#[test]
fn a_version_that_does_not_stay() {
    let key = Key::new();
    let repo =
        Repo::signed(&[("tib-lib", "2.0-1", ""), ("tib-app", "1.0-1", "Requires: tib-lib >= 2\n")], &key);
    let base = Base::of(&repo, &key);
    let stages = [install(&["tib-lib=1.0"]), install(&["tib-app"])];
    let error = base.resolve(&stages, false).unwrap_err();
    assert_eq!(error.exit(), Exit::Recipe);
    assert!(
        told(&error).contains("`tib-lib=1.0` is asked for, and a later stage brings 2.0-1"),
        "{}",
        told(&error)
    );
}
