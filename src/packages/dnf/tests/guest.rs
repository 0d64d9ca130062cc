//! The scripts for the guest, run for real: with a shell, and with the host's rpm and dnf on a database of their own. The packages
//! have no files, so that nothing of the host changes.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::fixture::{Base, Key, Repo, Spec, install};
use super::*;

const SCRIPTED: [Spec; 5] = [
    ("tib-fine", "1.0-1", "Requires: tib-dep\n%post echo fine\n"),
    ("tib-dep", "1.0-1", ""),
    ("tib-post", "1.0-1", "%post exit 3\n"),
    ("tib-pre", "1.0-1", "%pre exit 3\n"),
    ("tib-preun", "1.0-1", "%preun exit 3\n"),
];

struct Guest {
    lab: TempDir,
}

impl Guest {
    fn new() -> Self {
        let guest = Self { lab: TempDir::new().unwrap() };
        let root = guest.lab.path().join("root");
        fs::create_dir_all(root.join("var/lib/rpm")).unwrap();
        fs::create_dir_all(guest.lab.path().join("home")).unwrap();
        fs::write(guest.lab.path().join("home/.rpmmacros"), "%_dbpath /var/lib/rpm\n").unwrap();
        guest.program(
            "rpm",
            &format!(
                "case $1 in -U | -i | -e) nodeps=--nodeps ;; esac\nexec /usr/bin/rpm --dbpath {}/var/lib/rpm \"$@\" $nodeps\n",
                root.display()
            ),
        );
        // dnf wants to be root, and nothing that it does here needs it.
        guest.program(
            "dnf-3",
            &format!(
                "export HOME={}\nexec unshare -r /usr/bin/python3 -I -c \"import sys; from dnf.cli.main import user_main; \
                 user_main(sys.argv[1:], exit_code=True)\" --installroot={} --releasever=9 --setopt=cachedir={} \"$@\"\n",
                guest.lab.path().join("home").display(),
                root.display(),
                guest.lab.path().join("cache").display()
            ),
        );
        guest
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.lab.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn payload(&self, set: &PackageSet, cache: &Cache) -> String {
        let directory = self.lab.path().join("payload");
        fs::create_dir_all(&directory).unwrap();
        for file in DnfPackages.files(set, cache) {
            fs::copy(file.path, directory.join(file.name)).unwrap();
        }
        directory.display().to_string()
    }

    fn run(&self, script: &str) -> Output {
        let path = format!("PATH={}:", self.lab.path().display());
        let text = script.replace("PATH=", &path);
        Command::new("sh").args(["-euc", &text]).current_dir("/").output().unwrap()
    }

    /// What its dnf takes for asked for.
    fn asked_for(&self) -> Vec<String> {
        let mut command = Command::new(self.lab.path().join("dnf-3"));
        let output = command
            .args(["-q", "--noplugins", "--disablerepo=*", "repoquery", "--userinstalled", "--qf", "%{name}"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn installed(&self) -> Vec<String> {
        let output =
            Command::new(self.lab.path().join("rpm")).args(["-qa", "--qf", "%{NAME}\\n"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut names: Vec<_> =
            text.lines().filter(|name| name.starts_with("tib-")).map(str::to_owned).collect();
        names.sort();
        names
    }
}

fn change(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let end = content.len() - 10;
    content[end] ^= 1;
    fs::write(path, content).unwrap();
}

#[test]
fn rpm_installs_what_is_signed_and_a_failing_script_is_a_failure() {
    let key = Key::new();
    let repo = Repo::signed(&SCRIPTED, &key);
    let base = Base::of(&repo, &key);
    let scripts = |names: &[&'static str], guest: &Guest| {
        let sets = base.resolve(&[install(names)], false).map_err(|error| told(&error)).unwrap();
        let directory = guest.payload(&sets[0], &base.cache);
        let packages = PackagesStep { install: vec!["x".to_owned()], ..PackagesStep::default() };
        let scripts = DnfPackages.scripts(&sets[0], &packages, &directory);
        assert_eq!(scripts.len(), 1);
        (scripts[0].text.clone(), directory)
    };
    let guest = Guest::new();
    let (script, _) = scripts(&["tib-fine"], &guest);
    let output = guest.run(&script);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("fine\n"), "its script has run");
    assert_eq!(guest.installed(), ["tib-dep", "tib-fine"]);
    assert_eq!(guest.asked_for(), ["tib-fine"], "what came as a dependency can go by itself");
    // Once more changes nothing: a stage may be run again.
    let removal = PackageSet { removed: vec!["tib-fine-1.0-1.noarch".to_owned()], ..nothing() };
    let remove = &DnfPackages.scripts(&removal, &PackagesStep::default(), "/")[0].text;
    assert!(guest.run(remove).status.success());
    assert_eq!(guest.installed(), ["tib-dep"]);
    assert!(!guest.run(remove).status.success(), "what is not there cannot be removed");

    for name in ["tib-post", "tib-pre"] {
        let guest = Guest::new();
        let output = guest.run(&scripts(&[name], &guest).0);
        assert!(!output.status.success(), "{name}");
        let said: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        assert!(said.iter().any(|line| line.contains("scriptlet failed")), "{said:?}");
    }
    let guest = Guest::new();
    assert!(guest.run(&scripts(&["tib-preun"], &guest).0).status.success());
    let removal = PackageSet { removed: vec!["tib-preun-1.0-1.noarch".to_owned()], ..nothing() };
    assert!(
        !guest.run(&DnfPackages.scripts(&removal, &PackagesStep::default(), "/")[0].text).status.success()
    );

    // The guest's rpm does not believe us either.
    let guest = Guest::new();
    let (script, directory) = scripts(&["tib-fine"], &guest);
    let without_key: String = script
        .lines()
        .filter(|line| !line.starts_with("rpm --import"))
        .map(|line| format!("{line}\n"))
        .collect();
    let output = guest.run(&without_key);
    assert!(!output.status.success());
    change(&Path::new(&directory).join("tib-dep-1.0-1.noarch.rpm"));
    assert!(!guest.run(&script).status.success());
    assert!(guest.installed().is_empty(), "all or nothing");
}
