//! What of an image's configuration counts, and what does not.

use tempfile::TempDir;

use super::fixture::{Base, Key, Repo, Spec, install, names};
use super::*;
use crate::event::{Event, EventSink, Events};
use std::sync::{Arc, Mutex};

#[test]
fn an_image_cannot_make_the_host_run_or_read_anything() {
    let (served, base) = good();
    let secret = TempDir::new().unwrap();
    let mark = secret.path().join("executed");
    let plugin =
        format!("import dnf\nopen('{}', 'w')\nclass X(dnf.Plugin):\n    name = 'x'\n", mark.display());
    for directory in ["/usr/lib/python3/dist-packages/dnf-plugins", "/evil"] {
        base.write(&format!("{directory}/x.py"), &plugin);
    }
    let inside = base.directory.path().join("evil").display().to_string();
    base.write(
        "/etc/dnf/dnf.conf",
        &format!("[main]\nplugins=1\npluginpath={inside}\ncachedir={0}\npersistdir={0}\nlogdir={0}\nreposdir={0}\n", secret.path().display()),
    );
    base.write("/etc/dnf/plugins/x.conf", "[main]\nenabled=1\n");
    base.write("/etc/rpm/macros.evil", &format!("%_dbpath %(touch {})\n", mark.display()));
    base.resolve(&[install(&["tib-app"])], false).map_err(|error| told(&error)).unwrap();
    assert_eq!(fs::read_dir(secret.path()).unwrap().count(), 0);

    base.write("/etc/dnf/vars/evil", &format!("file://{}", secret.path().display()));
    for line in [
        "baseurl=file:///etc",
        "baseurl=/etc",
        "baseurl=$evil",
        "mirrorlist=file:///etc/passwd",
        "metalink=$evil/x",
    ] {
        base.write("/etc/yum.repos.d/evil.repo", &format!("[evil]\nname=x\n{line}\n"));
        let error = base.fails(&["tib-app"]);
        assert!(matches!(error, DnfError::Repository { .. }), "{line}: {}", told(&error));
        assert_eq!(error.exit(), Exit::Guest);
    }
    // A key and a certificate of the host are none of the image.
    let text = format!("[evil]\nname=x\nbaseurl={}\n", served.url());
    base.write("/etc/yum.repos.d/evil.repo", &format!("{text}sslclientcert=/etc/passwd\n"));
    assert!(told(&base.fails(&["tib-app"])).contains("`/etc/passwd`, is not in the image"));
    fs::remove_file(base.directory.path().join("etc/yum.repos.d/test.repo")).unwrap();
    base.write("/etc/yum.repos.d/evil.repo", &format!("{text}gpgkey=file:///etc/passwd\n"));
    let error = base.fails(&["tib-app"]);
    assert!(matches!(error, DnfError::NoKey(_)), "{}", told(&error));
    assert_eq!(error.exit(), Exit::Integrity);
}

/// What is said while it works.
#[derive(Default, Clone)]
pub(super) struct Said(Arc<Mutex<Vec<String>>>);

impl EventSink for Said {
    fn emit(&self, event: Event) {
        if let Event::Note { message } | Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

impl Said {
    pub(super) fn events(&self) -> Events {
        Events::new(self.clone())
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn switching_verification_off_is_told_and_ignored() {
    let (served, base) = good();
    base.repository(&served, &Key::new(), "gpgcheck=0\nsslverify=0\n");
    let said = Said::default();
    let error = base.resolve_with(&[install(&["tib-dep"])], &[], false, &said.events()).unwrap_err();
    assert_eq!(error.exit(), Exit::Integrity);
    assert!(
        said.all()[0].contains("switches `gpgcheck`, `sslverify` of repository `test` off"),
        "{:?}",
        said.all()
    );
}

#[test]
fn every_way_to_name_a_repository_and_its_key() {
    let key = Key::new();
    let repo = Repo::signed(&PACKAGES, &key);
    let url = repo.url();
    fs::write(repo.path("mirrors"), format!("{url}/\n")).unwrap();
    fs::write(repo.path("KEY"), key.armoured()).unwrap();
    for (case, path, text) in [
        (
            "mirror list",
            "/etc/yum.repos.d/a.repo",
            format!("[a]\nname=a\nmirrorlist={url}/mirrors\ngpgkey=file:///k\n"),
        ),
        (
            "variables",
            "/etc/yum.repos.d/a.repo",
            format!("[a]\nname=a\nbaseurl={url}/$here\ngpgkey=file:///$key\n"),
        ),
        (
            "a key on the web",
            "/etc/yum.repos.d/a.repo",
            format!("[a]\nname=a\nbaseurl={url}\ngpgkey={url}/KEY\n"),
        ),
        (
            "in dnf.conf",
            "/etc/dnf/dnf.conf",
            format!("[main]\n[a]\nname=a\nbaseurl={url}\ngpgkey=file:///k\n"),
        ),
        ("in yum.conf", "/etc/yum.conf", format!("[main]\n[a]\nname=a\nbaseurl={url}\ngpgkey=file:///k\n")),
        (
            "another directory",
            "/etc/distro.repos.d/a.repo",
            format!("[a]\nname=a\nbaseurl={url}\ngpgkey=file:///k\n"),
        ),
        (
            "two keys",
            "/etc/yum.repos.d/a.repo",
            format!("[a]\nname=a\nbaseurl={url}\ngpgkey=file:///gone file:///k\n"),
        ),
    ] {
        let base = Base::new(&[]);
        base.write("/k", &key.armoured());
        base.write("/etc/dnf/vars/key", "k\n");
        base.write("/etc/yum/vars/here", ".\n");
        base.write(path, &text);
        let sets = base.resolve(&[install(&["tib-dep"])], false);
        assert_eq!(sets.map(|sets| sets[0].files.len()).map_err(|error| told(&error)), Ok(1), "{case}");
        assert_eq!(
            base.resolve(&[install(&["tib-dep"])], true).map_err(|error| told(&error)).unwrap()[0]
                .files
                .len(),
            1,
            "{case}"
        );
    }
}

#[test]
fn what_the_images_settings_leave_out() {
    let key = Key::new();
    let repo = Repo::signed(&[("tib-a", "2.0-1", ""), ("tib-b", "1.0-1", "")], &key);
    for (settings, lines) in [
        ("[main]\nexcludepkgs=tib-a\n", ""),
        ("[main]\nexclude=tib-a*\n", ""),
        ("[main]\n", "excludepkgs=tib-a\n"),
        ("[main]\n", "includepkgs=tib-b\n"),
    ] {
        let base = Base::new(&[]);
        base.repository(&repo, &key, lines);
        base.write("/etc/dnf/dnf.conf", settings);
        let error = base.fails(&["tib-a"]);
        assert!(matches!(error, DnfError::Unknown { .. }), "{settings}{lines}: {}", told(&error));
        assert!(told(&error).contains("exclude filtering"), "{}", told(&error));
        assert!(base.resolve(&[install(&["tib-b"])], false).is_ok());
    }
    let base = Base::of(&repo, &key);
    base.repository(&repo, &key, "enabled=0\n");
    assert!(matches!(base.fails(&["tib-a"]), DnfError::NoRepositories));
}

const MODULES: &str = "\
---
document: modulemd
version: 2
data:
  name: tibdb
  stream: \"STREAM\"
  version: 1
  context: c0ffee00
  arch: noarch
  summary: s
  description: d
  license:
    module: [MIT]
  dependencies:
  - requires:
      platform: [el9]
  profiles:
    server:
      rpms: [tib-db]
  artifacts:
    rpms:
    - tib-db-0:VERSION-1.noarch
...
";

#[test]
fn modules() {
    const TWO: [Spec; 2] = [("tib-db", "16.0-1", ""), ("tib-other", "1.0-1", "")];
    let key = Key::new();
    let repo = Repo::signed(&TWO, &key);
    repo.modules(&MODULES.replace("STREAM", "16").replace("VERSION", "16.0"));
    let base = Base::of(&repo, &key);
    let error = base.fails(&["tib-db"]);
    assert!(told(&error).contains("modular filtering"), "{}", told(&error));
    assert_eq!(names(&base.resolve(&[install(&["tib-other"])], false).unwrap()[0]), ["tib-other"]);
    base.write(
        "/etc/dnf/modules.d/tibdb.module",
        "[tibdb]\nname=tibdb\nstream=16\nprofiles=\nstate=enabled\n",
    );
    assert_eq!(names(&base.resolve(&[install(&["tib-db"])], false).unwrap()[0]), ["tib-db"]);
    // Another platform than the module is for.
    base.write("/etc/os-release", "ID=rocky\nPLATFORM_ID=\"platform:el8\"\n");
    assert!(base.resolve(&[install(&["tib-db"])], false).is_err());
    base.write("/etc/os-release", "ID=rocky\nPLATFORM_ID=\"platform:el9\"\n");

    // A package of the same name from elsewhere hides behind the module, unless its repository says otherwise.
    let elsewhere = Repo::signed(&[("tib-db", "17.0-1", "")], &key);
    for (hotfixes, version) in [("", "16.0-1"), ("module_hotfixes=1\n", "17.0-1")] {
        base.write(
            "/etc/yum.repos.d/elsewhere.repo",
            &format!(
                "[elsewhere]\nname=x\nbaseurl={}\ngpgkey=file:///etc/pki/rpm-gpg/KEY-9\n{hotfixes}",
                elsewhere.url()
            ),
        );
        let sets = base.resolve(&[install(&["tib-db"])], false).map_err(|error| told(&error)).unwrap();
        assert_eq!(sets[0].files[0].version, version);
    }

    // The same by a recipe: a stream enabled, the module disabled, a repository that modules do not hide. None of it counts before.
    let base = Base::of(&repo, &key);
    let step = |hotfixes: bool, modules: &[(&str, Option<&str>)]| RepositoryStep {
        module_hotfixes: hotfixes,
        modules: modules
            .iter()
            .map(|(name, stream)| ((*name).to_owned(), stream.map(str::to_owned)))
            .collect(),
        ..RepositoryStep::of("vendor", elsewhere.url(), &key.armoured(), &key.fingerprint())
    };
    for (step, version) in [
        (step(false, &[("tibdb", Some("16"))]), Some("16.0-1")),
        (step(false, &[("tibdb", None)]), Some("17.0-1")),
        (step(true, &[]), Some("17.0-1")),
        (step(true, &[("tibdb", Some("16"))]), Some("17.0-1")),
    ] {
        let second = StageRequest { repositories: vec![&step], ..install(&["tib-db"]) };
        let sets =
            base.resolve(&[install(&["tib-other"]), second], false).map_err(|error| told(&error)).unwrap();
        assert_eq!(Some(sets[1].files[0].version.as_str()), version, "{step:?}");
        let early = base.resolve(
            &[install(&["tib-db"]), StageRequest { repositories: vec![&step], ..install(&["tib-other"]) }],
            false,
        );
        assert!(early.is_err(), "{step:?}");
    }
}
