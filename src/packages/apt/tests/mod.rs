//! Against an archive of our own, and against the real one (ignored by default).

mod contradictions;
mod fixture;
mod mirrors;
mod real;

use fs_err as fs;
use tempfile::TempDir;

use super::*;
use crate::cache::{Bucket, Cache};
use crate::cancel::Cancel;
use crate::control::Control;
use crate::digest::Digest;
use crate::distro::Arch;
use crate::error::{Diagnose as _, Exit};
use crate::event::Events;
use crate::recipe::Content;
use fixture::{Archive, HostTree, Key};

/// What the archive holds: an application with a dependency, and ways to go wrong.
const PACKAGES: [(&str, &str, &str); 6] = [
    ("tib-app", "1:2.0", "Depends: tib-lib (>= 2), tib-dep\n"),
    ("tib-dep", "1.0", ""),
    ("tib-lib", "2.0", ""),
    ("tib-clash", "1.0", "Conflicts: tib-dep\n"),
    ("tib-broken", "1.0", "Depends: tib-nowhere\n"),
    ("tib-mta", "1.0", "Provides: tib-mail\n"),
];

/// A base image in which an old `tib-lib` is installed.
struct Base {
    directory: TempDir,
    cache: Cache,
    _cache: TempDir,
}

impl Base {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = TempDir::new().unwrap();
        let cache = Cache::open(Some(place.path().to_owned())).unwrap();
        let base = Self { directory: TempDir::new().unwrap(), cache, _cache: place };
        let installed = "Package: tib-lib\nStatus: install ok installed\nMaintainer: x\nArchitecture: all\nVersion: 1.0\nDescription: x\n\n";
        base.write("/var/lib/dpkg/status", installed);
        for (path, content) in files {
            base.write(path, content);
        }
        base
    }

    /// A base whose only source is `archive`, trusted through a keyring of its own.
    fn of(archive: &Archive, key: &Key) -> Self {
        let source = format!("deb [signed-by=/usr/share/keyrings/tib.asc] {} test main\n", archive.url());
        Self::new(&[("/etc/apt/sources.list", &source), ("/usr/share/keyrings/tib.asc", &key.armoured())])
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.directory.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn resolve(&self, stages: &[StageRequest<'_>], offline: bool) -> Result<Vec<PackageSet>, AptError> {
        self.resolve_with(stages, &[], offline, &Events::none()).map(|resolution| resolution.sets)
    }

    fn resolve_with(
        &self,
        stages: &[StageRequest<'_>],
        needed: &[Needed],
        offline: bool,
        events: &Events,
    ) -> Result<Solution, AptError> {
        let mut tree = HostTree(self.directory.path().to_owned());
        let request = ResolveRequest {
            tree: &mut tree,
            arch: Arch::X86_64,
            stages,
            needed,
            boots: true,
            entitled: &[],
            cache: &self.cache,
            offline,
        };
        resolve(request, &Control::new(events.clone(), Cancel::new()))
    }

    /// The same with what a person has set.
    fn resolve_under(
        &self,
        stages: &[StageRequest<'_>],
        offline: bool,
        control: &Control,
    ) -> Result<Vec<PackageSet>, AptError> {
        let mut tree = HostTree(self.directory.path().to_owned());
        let request = ResolveRequest {
            tree: &mut tree,
            arch: Arch::X86_64,
            stages,
            needed: &[],
            boots: true,
            entitled: &[],
            cache: &self.cache,
            offline,
        };
        resolve(request, control).map(|solution| solution.sets)
    }

    /// Resolves one stage that must fail.
    fn fails(&self, names: &[&'static str]) -> AptError {
        self.resolve(&[install(names)], false).unwrap_err()
    }
}

fn install<'a>(names: &[&'a str]) -> StageRequest<'a> {
    StageRequest { install: names.to_vec(), ..StageRequest::default() }
}

fn good() -> (Archive, Base) {
    let key = Key::new();
    let archive = Archive::new(&PACKAGES).signed(&key);
    let base = Base::of(&archive, &key);
    (archive, base)
}

fn names(set: &PackageSet) -> Vec<&str> {
    let mut names: Vec<_> = set.files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn stages_install_what_the_ones_before_did_not() {
    let (served, base) = good();
    let stages =
        [install(&["tib-dep"]), StageRequest::default(), install(&["tib-app", "tib-dep", "tib-mta"])];
    let sets = base.resolve(&stages, false).unwrap();
    assert_eq!(
        sets.iter().map(names).collect::<Vec<_>>(),
        [&["tib-dep"][..], &[], &["tib-app", "tib-lib", "tib-mta"]]
    );
    let app = sets[2].files.iter().find(|file| file.name == "tib-app").unwrap();
    assert_eq!((app.version.as_str(), app.arch.as_str()), ("1:2.0", "all"));
    assert_eq!((app.requested, app.new, app.installed_size), (true, true, 7 * 1024));
    assert_eq!(app.source, format!("{}/pool/tib-app_2.0_all.deb", served.url()));
    let files = DebianPackages.files(&sets[2], &base.cache);
    assert_eq!(files.len(), 3);
    let file = files.iter().find(|file| file.name == "tib-app_1%3a2.0_all.deb").unwrap();
    assert_eq!(Digest::of(&fs::read(&file.path).unwrap()), app.digest);
    assert_eq!(fs::metadata(&file.path).unwrap().len(), app.size);
    let lib = sets[2].files.iter().find(|file| file.name == "tib-lib").unwrap();
    assert_eq!((lib.requested, lib.new), (false, false), "an upgrade that a dependency asks for");
    assert!(sets[2].files.iter().any(|file| file.name == "tib-mta" && file.requested), "asked for");
    assert_eq!(sets[2].present, ["tib-dep"]);
    assert_eq!((sets[0].files.len(), &sets[1]), (1, &solve::nothing()));

    assert_eq!(fs::read_dir(base.cache.directory(Bucket::Work)).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_package_that_is_in_the_way_of_another_is_removed() {
    let (_archive, base) = good();
    base.write(
        "/var/lib/dpkg/status",
        "Package: tib-dep\nStatus: install ok installed\nMaintainer: x\nArchitecture: all\nVersion: 1.0\nDescription: x\n\n",
    );
    let stages = [install(&["tib-clash"])];
    let sets = base.resolve(&stages, false).unwrap();
    let Transaction::Apt(order) = &sets[0].transaction else { unreachable!() };
    assert!(order.contains(&DpkgAction::Remove("tib-dep".to_owned())));
    fs::remove_dir_all(base.cache.directory(Bucket::Apt).join("archives")).unwrap();
    let sets = base.resolve(&stages, true).err();
    assert!(
        matches!(sets, Some(AptError::Missing { ref files }) if files == &["tib-clash_1.0_all.deb"]),
        "{sets:?}"
    );
}

#[test]
fn without_the_network() {
    let (archive, base) = good();
    let error = base.resolve(&[install(&["tib-app"])], true).unwrap_err();
    assert!(matches!(error, AptError::NoIndex), "{error}");
    assert_eq!(error.exit(), Exit::Network);
    let online = base.resolve(&[install(&["tib-app"])], false).unwrap();
    let asked = archive.asked.lock().unwrap().len();
    assert_eq!(base.resolve(&[install(&["tib-app"])], true).unwrap(), online);
    let error = base.resolve(&[install(&["tib-app", "tib-mta"])], true).unwrap_err();
    assert_eq!(error.to_string(), "1 package files are not in the cache: tib-mta_1.0_all.deb");
    assert_eq!(archive.asked.lock().unwrap().len(), asked, "the server was not asked");
}

#[test]
fn a_server_that_is_gone() {
    let key = Key::new();
    let source = "deb http://127.0.0.1:9/debian test main\n";
    let base =
        Base::new(&[("/etc/apt/sources.list", source), ("/etc/apt/trusted.gpg.d/x.asc", &key.armoured())]);
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.exit(), Exit::Network, "{error} {:?}", error.context());
    assert_eq!(Base::new(&[]).fails(&["x"]).exit(), Exit::Guest, "no source at all");
}

#[test]
fn names_that_do_not_exist() {
    let (_archive, base) = good();
    let error = base.fails(&["tib-ap", "tib-dep"]);
    assert_eq!((error.to_string().as_str(), error.exit()), ("no such package: `tib-ap`", Exit::Guest));
    assert_eq!(error.hint().unwrap(), "did you mean tib-app, tib-dep, tib-mta?");
    assert_eq!(base.fails(&["tib-app=9"]).to_string(), "no such package: `tib-app=9`");
    // apt takes a name with a dot in it for a pattern.
    assert_eq!(base.fails(&["tib.app"]).to_string(), "no such package: `tib.app`");
    assert_eq!(base.fails(&["-y"]).exit(), Exit::Recipe);
}

#[test]
fn packages_that_do_not_fit_together() {
    let (_archive, base) = good();
    for names in [&["tib-broken"][..], &["tib-app", "tib-clash"]] {
        let error = base.fails(names);
        assert_eq!(error.exit(), Exit::Guest);
        assert!(matches!(error, AptError::Failed { fault: Fault::Dependencies, .. }), "{error}");
        assert!(
            error.context().iter().any(|line| line.contains("unmet dependencies")),
            "{:?}",
            error.context()
        );
    }
}

#[test]
fn signatures_that_are_not_good() {
    let (key, other) = (Key::new(), Key::new());
    let unsigned = Archive::new(&PACKAGES);
    let by_other = Archive::new(&PACKAGES).signed(&other);
    let old = Key::expired();
    let by_expired = Archive::new(&PACKAGES).signed(&old);
    for (case, archive, key) in
        [("unsigned", &unsigned, &key), ("another key", &by_other, &key), ("expired", &by_expired, &old)]
    {
        let base = Base::of(archive, key);
        let error = base.fails(&["tib-app"]);
        assert_eq!(error.exit(), Exit::Integrity, "{case}: {error} {:?}", error.context());
        assert!(matches!(error, AptError::Failed { fault: Fault::Signature, .. }), "{case}");
        // What an image says about it does not count.
        base.write(
            "/etc/apt/sources.list",
            &format!("deb [trusted=yes allow-insecure=yes] {} test main\n", archive.url()),
        );
        assert_eq!(base.fails(&["tib-app"]).exit(), Exit::Integrity, "{case}, trusted by the image");
    }
}

#[test]
fn repositories_of_the_recipe() {
    let (main, extra_key) = (good(), Key::new());
    let extra = Archive::new(&[("tib-extra", "1.0", "Depends: tib-dep\n")]).signed(&extra_key);
    let repository = RepositoryStep {
        priority: Some(600),
        ..RepositoryStep::of("extra", extra.url(), &extra_key.armoured(), &extra_key.fingerprint())
            .with_suite("test")
    };
    let with = |repository| {
        let second = StageRequest { repositories: vec![repository], ..install(&["tib-extra"]) };
        main.1.resolve(&[install(&["tib-app"]), second], false)
    };
    assert_eq!(names(&with(&repository).unwrap()[1]), ["tib-extra"]);
    let error = main.1.fails(&["tib-extra"]);
    assert!(matches!(error, AptError::Unknown { .. }), "not before it was added: {error}");

    let pinned = "0123456789ABCDEF0123456789ABCDEF01234567";
    let wrong = RepositoryStep { fingerprints: vec![pinned.to_owned()], ..repository.clone() };
    let error = with(&wrong).unwrap_err();
    assert_eq!(error.exit(), Exit::Integrity);
    let fingerprint = extra_key.fingerprint();
    let message = format!("key of repository `extra` has fingerprint {fingerprint}, but {pinned} is pinned");
    assert_eq!(error.to_string(), message);
    let other = Key::new();
    let wrong = RepositoryStep {
        key: Content::Text(other.armoured()),
        fingerprints: vec![other.fingerprint()],
        ..repository.clone()
    };
    assert_eq!(
        with(&wrong).unwrap_err().exit(),
        Exit::Integrity,
        "signed by another key than the pinned one"
    );
    let wrong = RepositoryStep { key: Content::Text("x".to_owned()), ..repository.clone() };
    assert!(matches!(with(&wrong).unwrap_err(), AptError::Key(_)));

    // A bundle, as release managers keep one: the pinned keys count, and no other gets into the image.
    let second = Key::new();
    let texts = [other.armoured(), second.armoured(), extra_key.armoured()];
    let bundle = RepositoryStep {
        key: Content::Text(format!("pub ed25519\n{}\ntalk\n", texts.join("\npub ed25519\n"))),
        fingerprints: vec![second.fingerprint(), extra_key.fingerprint(), pinned.to_owned()],
        bundle: true,
        ..repository.clone()
    };
    assert_eq!(names(&with(&bundle).unwrap()[1]), ["tib-extra"]);
    let listed = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut gpg = second.gpg();
        let output = gpg.args(["--show-keys", "--with-colons"]).arg(file.path()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines()
            .filter_map(|line| line.strip_prefix("fpr:::::::::"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let key = RepositoryKey::of(&bundle).unwrap();
    let wanted = [&second, &extra_key].map(|key| format!("{}:", key.fingerprint()));
    assert_eq!(listed(&key.armoured), wanted);
    assert_eq!(listed(&key.blocks), wanted);
    assert_eq!((key.armoured.matches("BEGIN").count(), key.blocks.matches("BEGIN").count()), (1, 2));
    // Not pinned is not trusted, also where it has signed; and what is no bundle holds pinned keys alone.
    let unpinned = RepositoryStep { fingerprints: vec![second.fingerprint()], ..bundle.clone() };
    assert_eq!(with(&unpinned).unwrap_err().exit(), Exit::Integrity);
    let none = RepositoryStep { fingerprints: vec![pinned.to_owned()], ..bundle.clone() };
    assert!(with(&none).unwrap_err().to_string().ends_with(&format!("but {pinned} is pinned")));
    let strict = RepositoryStep { bundle: false, ..bundle.clone() };
    assert_eq!(with(&strict).unwrap_err().exit(), Exit::Integrity);
}

#[test]
fn an_image_cannot_make_the_host_run_or_read_anything() {
    let (archive, base) = good();
    let mark = base.cache.root().join("executed");
    let touch = format!("\"touch {}\";", mark.display());
    let hooks = [
        "APT::Update::Pre-Invoke",
        "APT::Update::Post-Invoke",
        "DPkg::Pre-Invoke",
        "Acquire::http::Proxy-Auto-Detect",
    ];
    let hooks: String = hooks.iter().map(|hook| format!("{hook}:: {touch}\n")).collect();
    base.write("/etc/apt/apt.conf.d/00hook", &format!("{hooks}Dir::Bin::methods \"/nowhere\";\n"));
    base.write("/etc/apt/apt.conf", &hooks);
    base.resolve(&[install(&["tib-app"])], false).unwrap();
    assert!(!mark.exists());

    let secret = TempDir::new().unwrap();
    for scheme in
        ["file:", "copy:", "cdrom:", "ssh://h", "rsh://h", "mirror+file:", "mirror+copy:", "tor+http://h"]
    {
        let uri = format!("{scheme}{}", secret.path().display());
        base.write("/etc/apt/sources.list.d/evil.list", &format!("deb {uri} test main\n"));
        let error = base.fails(&["tib-app"]);
        assert!(matches!(error, AptError::Source { .. }), "{scheme}: {error}");
        assert_eq!(error.exit(), Exit::Guest);
    }
    base.write(
        "/etc/apt/sources.list.d/evil.list",
        &format!("deb [signed-by=/etc/missing.gpg] {} test main\n", archive.url()),
    );
    assert!(matches!(base.fails(&["tib-app"]), AptError::Source { .. }), "a keyring the image does not have");
}

#[test]
fn every_way_to_name_a_source_and_its_key() {
    let key = Key::new();
    let archive = Archive::new(&PACKAGES).signed(&key);
    let (url, armoured) = (archive.url(), key.armoured());
    let inline: String = armoured
        .lines()
        .map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") })
        .collect();
    let stanza = |uri: &str, signed: &str| {
        format!("Types: deb\nURIs: {uri}\nSuites: test\nComponents: main\n{signed}")
    };
    let file = "/etc/apt/sources.list.d/a.sources";
    let keyring = ("/usr/share/keyrings/k.asc", armoured.as_str());
    for (case, files) in [
        (
            "deb822",
            vec![
                (file, stanza(url, "Signed-By: /usr/share/keyrings/k.asc\n")),
                (keyring.0, armoured.clone()),
            ],
        ),
        ("inline", vec![(file, stanza(url, &format!("Signed-By:\n{inline}")))]),
        ("trusted", vec![(file, stanza(url, "")), ("/etc/apt/trusted.gpg.d/k.asc", armoured.clone())]),
        (
            "fingerprint",
            vec![
                (file, stanza(url, &format!("Signed-By: {}\n", key.fingerprint()))),
                ("/etc/apt/trusted.gpg.d/k.asc", armoured.clone()),
            ],
        ),
        (
            "mirror list of the image",
            vec![
                (
                    file,
                    stanza("mirror+file:///etc/apt/mirrors/m.list", "Signed-By: /usr/share/keyrings/k.asc\n"),
                ),
                ("/etc/apt/mirrors/m.list", format!("# x\n{url}\tpriority:1\n")),
                (keyring.0, armoured.clone()),
            ],
        ),
    ] {
        let files: Vec<_> = files.iter().map(|(path, content)| (*path, content.as_str())).collect();
        let sets = Base::new(&files).resolve(&[install(&["tib-dep"])], false);
        assert_eq!(
            sets.map(|sets| sets[0].files.len()).map_err(|e| (e.to_string(), e.context())),
            Ok(1),
            "{case}"
        );
    }
}

/// What apt takes in the guest it must take here, too: the same keyring is one, however often it is named.
#[test]
fn a_repository_that_is_named_twice() {
    let key = Key::new();
    let archive = Archive::new(&PACKAGES).signed(&key);
    let url = archive.url();
    let line = |options: &str, components: &str| {
        format!("deb [{options}signed-by=/usr/share/keyrings/k.asc] {url} test {components}\n")
    };
    let stanza = format!(
        "Types: deb\nURIs: {url}\nSuites: test\nComponents: main\nSigned-By: /usr/share/keyrings/k.asc\n"
    );
    let armoured = key.armoured();
    let twice = [stanza.as_str(), stanza.as_str()].join("\n");
    for (case, list, sources) in [
        ("components on two lines", [line("", "main"), line("", "contrib")].concat(), ""),
        ("another architecture", [line("", "main"), line("arch=arm64 ", "main")].concat(), ""),
        ("two stanzas", String::new(), twice.as_str()),
        ("a list and a stanza", line("", "main"), stanza.as_str()),
    ] {
        let files = [
            ("/etc/apt/sources.list", list.as_str()),
            ("/etc/apt/sources.list.d/debian.sources", sources),
            ("/usr/share/keyrings/k.asc", armoured.as_str()),
        ];
        let base = Base::new(&files);
        let oracle = fixture::update_in_root(base.directory.path());
        assert!(oracle.is_ok(), "{case}: apt itself refuses it: {oracle:?}");
        let sets = base.resolve(&[install(&["tib-dep"])], false);
        assert_eq!(
            sets.map(|sets| sets[0].files.len()).map_err(|e| (e.to_string(), e.context())),
            Ok(1),
            "{case}"
        );
    }
}

#[test]
fn files_that_are_not_what_the_index_says() {
    let (served, base) = good();
    served.cut.lock().unwrap().push("tib-dep_1.0_all.deb");
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.exit(), Exit::Integrity, "{error} {:?}", error.context());
    served.cut.lock().unwrap().clear();
    let sets = base.resolve(&[install(&["tib-app"])], false).unwrap();

    // The same length, another byte: damaged in the cache.
    let path = archive::path(&base.cache.directory(Bucket::Apt), sets[0].files[0].digest);
    let mut content = fs::read(&path).unwrap();
    content[100] ^= 1;
    fs::write(&path, &content).unwrap();
    let error = base.resolve(&[install(&["tib-app"])], true).unwrap_err();
    assert!(matches!(error, AptError::Missing { .. }), "{error}");
    base.resolve(&[install(&["tib-app"])], false).unwrap();
    assert_ne!(fs::read(&path).unwrap(), content, "fetched again");
}

#[test]
fn several_builds_at_once() {
    let (_archive, base) = good();
    let sets: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| base.resolve(&[install(&["tib-app"])], false))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap().unwrap()).collect()
    });
    assert!(sets.iter().all(|set| *set == sets[0]));
}

#[test]
fn interrupted() {
    let (_archive, base) = good();
    let cancel = Cancel::new();
    cancel.raise();
    let mut tree = HostTree(base.directory.path().to_owned());
    let stages = [install(&["tib-app"])];
    let request = ResolveRequest {
        tree: &mut tree,
        arch: Arch::X86_64,
        stages: &stages,
        needed: &[],
        boots: true,
        entitled: &[],
        cache: &base.cache,
        offline: false,
    };
    assert_eq!(
        resolve(request, &Control::new(Events::none(), cancel.clone())).unwrap_err().exit(),
        Exit::Interrupted
    );
}
