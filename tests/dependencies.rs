//! Where dependencies come from and in which versions, as far as the manifests and the lock file tell. `make deny` looks
//! closer (licences, known vulnerabilities), with a program that takes long to compile; this runs everywhere.

use std::collections::BTreeSet;

use fs_err as fs;
use toml::{Table, Value};

/// Rust's own registry, as lock files name it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/";

/// Kinds of dependencies in a manifest.
const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Complains about packages of a lock file that are not from Rust's own registry, or have no digest. Packages of
/// this repository, which have no source, are given by name.
fn of_lock_file(lock: &Table, own: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in lock["package"].as_array().unwrap() {
        let text = |key| package.get(key).and_then(Value::as_str);
        let name = text("name").unwrap();
        match text("source") {
            None if own.contains(&name) => {}
            None => complaints.push(format!("{name} has no source")),
            Some(source) if !source.starts_with(REGISTRY) => {
                complaints.push(format!("{name} is from {source}"));
            }
            Some(_) if text("checksum").is_none() => complaints.push(format!("{name} has no checksum")),
            Some(_) => {}
        }
    }
    complaints
}

/// Complains about dependencies of a manifest that any version would do for, or that come from elsewhere. Paths are
/// for packages of this repository.
fn of_manifest(manifest: &Table, own: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table()).chain([manifest]);
    let dependencies =
        tables.flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table())).flatten();
    for (name, dependency) in dependencies {
        for key in ["git", "registry", "registry-index"] {
            if dependency.get(key).is_some() {
                complaints.push(format!("{name} has `{key}`"));
            }
        }
        let version = dependency.as_str().or_else(|| dependency.get("version")?.as_str());
        match version {
            Some(version) if version.contains('*') => complaints.push(format!("{name} takes any version")),
            Some(_) => {}
            None if dependency.get("path").is_some() && own.contains(&name.as_str()) => {}
            None => complaints.push(format!("{name} has no version")),
        }
    }
    for section in ["patch", "replace"] {
        if manifest.contains_key(section) {
            complaints.push(format!("there is a `[{section}]`"));
        }
    }
    complaints
}

fn read(file: &str) -> Table {
    fs::read_to_string(file).unwrap().parse().unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_package_is_from_rusts_own_registry() {
    let lock = read("Cargo.lock");
    assert!(lock["package"].as_array().unwrap().len() > 100);
    assert_eq!(of_lock_file(&lock, &["trove-image-builder"]), [""; 0]);
}

#[test]
fn every_dependency_has_a_version() {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        assert_eq!(of_manifest(&read(manifest), &["trove-image-builder"]), [""; 0], "{manifest}");
    }
}

/// Exceptions in deny.toml say what for, and are about packages that are still there.
#[test]
fn every_exception_is_about_a_package_that_is_there() {
    let lock = read("Cargo.lock");
    let packages = lock["package"].as_array().unwrap().iter();
    let there: BTreeSet<&str> = packages.filter_map(|package| package["name"].as_str()).collect();
    let deny = read("deny.toml");
    let ignored = deny["advisories"]["ignore"].as_array().unwrap();
    for advisory in ignored {
        let reason = advisory["reason"].as_str().unwrap();
        // The reason begins with the package.
        let (package, why) = reason.split_once(": ").unwrap_or_else(|| panic!("{reason}"));
        assert!(there.contains(package) && !why.is_empty(), "{advisory}");
    }
    let licences = deny["licenses"]["exceptions"].as_array().unwrap();
    for exception in licences {
        assert!(there.contains(exception["crate"].as_str().unwrap()), "{exception}");
    }
    assert!(!ignored.is_empty() && !licences.is_empty());
}

#[test]
fn what_breaks_a_rule_is_noticed() {
    let lock: Table = "[[package]]\nname = 'tib'\n\
                       [[package]]\nname = 'good'\nsource = 'registry+https://github.com/rust-lang/index'\nchecksum = '0'\n\
                       [[package]]\nname = 'bare'\nsource = 'registry+https://github.com/rust-lang/index'\n\
                       [[package]]\nname = 'fork'\nsource = 'git+https://github.com/rust-lang/fork#1'\n\
                       [[package]]\nname = 'other'\nsource = 'registry+https://registry.example/'\nchecksum = '0'\n\
                       [[package]]\nname = 'local'\n"
        .parse()
        .unwrap();
    let wanted = [
        "bare has no checksum",
        "fork is from git+https://github.com/rust-lang/fork#1",
        "other is from registry+https://registry.example/",
        "local has no source",
    ];
    assert_eq!(of_lock_file(&lock, &["tib"]), wanted);

    for (text, wanted) in [
        ("[dependencies]\na = '1'\nb = { version = '=1.2', features = ['x'] }\ntib = { path = '..' }", ""),
        ("[dependencies]\na = '*'", "a takes any version"),
        ("[dependencies]\na = '1.*'", "a takes any version"),
        ("[dev-dependencies.a]\nversion = '*'", "a takes any version"),
        ("[build-dependencies]\na = {}", "a has no version"),
        ("[dependencies]\na = { path = '../a' }", "a has no version"),
        ("[dependencies]\na = { version = '1', git = 'https://git.example/a' }", "a has `git`"),
        ("[target.'cfg(unix)'.dependencies]\na = { version = '1', registry = 'x' }", "a has `registry`"),
        ("[patch.x]\na = { path = 'a' }", "there is a `[patch]`"),
    ] {
        let complaints = of_manifest(&text.parse().unwrap(), &["tib"]);
        assert_eq!(complaints.join("; "), wanted, "{text}");
    }
}
