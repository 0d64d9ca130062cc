//! Packages of RPM, made by rpmbuild, in signed repositories made by createrepo_c, and databases of what is installed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::gpg::{Gpg, Key};
use super::outcome;

/// A package for every architecture: name, `version-release`, and further lines of its spec file.
pub type Spec = (&'static str, &'static str, &'static str);

#[track_caller]
fn run(command: &mut Command) {
    let found = outcome(command);
    assert_eq!(found.code, Some(0), "{command:?}: {}{}", found.stdout, found.stderr);
}

/// Builds packages; each has a file.
pub fn build(packages: &[Spec], to: &Path) -> Vec<PathBuf> {
    let lab = super::scratch();
    let mut spec = "Name: tib-none\nVersion: 1\nRelease: 1\nSummary: s\nLicense: x\nBuildArch: noarch\n%description\nd\n".to_owned();
    let (mut install, mut files) = ("%install\nmkdir -p %{buildroot}/opt/tib\n".to_owned(), String::new());
    for (name, version, lines) in packages {
        let (version, release) = version.split_once('-').unwrap();
        writeln!(spec, "%package -n {name}\nSummary: s\nVersion: {version}\nRelease: {release}\n{lines}%description -n {name}\nd").unwrap();
        writeln!(install, "seq 5000 >%{{buildroot}}/opt/tib/{name}").unwrap();
        writeln!(files, "%files -n {name}\n/opt/tib/{name}").unwrap();
    }
    let file = lab.path().join("all.spec");
    fs::write(&file, spec + &install + &files).unwrap();
    let topdir = format!("_topdir {}", lab.path().display());
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.env("HOME", lab.path()).args(["-bb", "--quiet", "--define", &topdir]).arg(file);
    run(&mut rpmbuild);
    fs::create_dir_all(to).unwrap();
    let built = fs::read_dir(lab.path().join("RPMS/noarch")).unwrap();
    built
        .map(|entry| {
            let entry = entry.unwrap();
            let path = to.join(entry.file_name());
            fs::copy(entry.path(), &path).unwrap();
            path
        })
        .collect()
}

/// Makes a repository of packages that the key `test` of `gpg` signs.
pub fn repository(directory: &Path, packages: &[Spec], gpg: &Gpg) {
    let files = build(packages, &directory.join("Packages"));
    sign(&files, gpg, "test");
    index(directory);
}

/// Signs packages with the key of this name, in the place of who signed them before.
pub fn sign(files: &[PathBuf], gpg: &Gpg, name: &str) {
    let (home, name) = (format!("_gpg_path {}", gpg.home().display()), format!("_gpg_name {name}"));
    let mut rpmsign = Command::new("rpmsign");
    rpmsign.env("HOME", gpg.home()).args(["--define", &home, "--define", &name]);
    // rpm looks for it in no other place.
    run(rpmsign.args(["--define", "__gpg /usr/bin/gpg", "--addsign"]).args(files));
}

/// Writes the metadata of a repository.
pub fn index(directory: &Path) {
    run(Command::new("createrepo_c").args(["-q", "--no-database"]).arg(directory));
}

/// Signs the metadata; `time` as for [`Gpg::key`].
pub fn sign_metadata(directory: &Path, gpg: &Gpg, key: &Key, time: &str) {
    let file = directory.join("repodata/repomd.xml");
    let signature = gpg.detached(&[key], time, &fs::read(&file).unwrap());
    fs::write(directory.join("repodata/repomd.xml.asc"), signature).unwrap();
}

/// Makes the database of a tree in which packages are installed.
pub fn installed(tree: &Path, packages: &[Spec]) {
    let lab = super::scratch();
    let database = tree.join("var/lib/rpm");
    fs::create_dir_all(&database).unwrap();
    let rpm = || {
        let mut rpm = Command::new("rpm");
        rpm.arg("--dbpath").arg(&database).args(["--define", "_db_backend sqlite"]);
        rpm
    };
    run(rpm().arg("--initdb"));
    if !packages.is_empty() {
        run(rpm().args(["--justdb", "--nodeps", "-i"]).args(build(packages, lab.path())));
    }
}
