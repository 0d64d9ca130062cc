//! dnf's own command as the judge of what tib chooses: in a root of its own, with the image's files as they are.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::fixture::{Base, install, packages_in};
use super::*;

/// dnf wants to be root, and nothing that it does here needs it.
const DNF: &str = "import sys; from dnf.cli.main import user_main; user_main(sys.argv[1:], exit_code=True)";

/// The names of the files that `dnf install` takes for names of packages; what it says if it refuses.
pub(super) fn files(base: &Base, names: &[&str]) -> Result<BTreeSet<String>, String> {
    let lab = TempDir::new().unwrap();
    let (root, out) = (lab.path().join("root"), lab.path().join("out"));
    let copied = Command::new("cp").arg("-a").arg(base.directory.path()).arg(&root).status().unwrap();
    assert!(copied.success());
    fs::create_dir_all(&out).unwrap();
    fs::write(lab.path().join(".rpmmacros"), "%_dbpath /var/lib/rpm\n").unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["-r", "/usr/bin/python3", "-I", "-c", DNF])
        .env("HOME", lab.path())
        .env("LC_ALL", "C.UTF-8");
    let option = |name: &str, value: &Path| format!("--setopt={name}={}", value.display());
    command.arg(format!("--installroot={}", root.display()));
    // This host's would be read where there is none.
    fs::write(lab.path().join("empty"), "[main]\n").unwrap();
    let own = ["root/etc/dnf/dnf.conf", "root/etc/yum.conf", "empty"].map(|name| lab.path().join(name));
    command.arg("--config").arg(own.iter().find(|path| path.exists()).unwrap());
    for place in ["cachedir", "logdir", "persistdir"] {
        fs::create_dir_all(lab.path().join(place)).unwrap();
        command.arg(option(place, &lab.path().join(place)));
    }
    command.arg(option("reposdir", &root.join("etc/yum.repos.d")));
    command.args(["--noplugins", "--nogpgcheck", "--setopt=install_weak_deps=False", "-y"]);
    command.arg(format!("--forcearch={}", base.arch.name()));
    let output = command.args(["install", "--downloadonly"]).arg("--destdir").arg(&out).args(names).output();
    let output = output.unwrap();
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        return Err(String::from_utf8_lossy(&said).into_owned());
    }
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    Ok(packages_in(&out).iter().map(name).collect())
}

/// Resolves names both ways, which must say the same. Returns the names of the files.
#[track_caller]
pub(super) fn same(base: &Base, names: &[&str]) -> Vec<String> {
    let judged = files(base, names).unwrap_or_else(|told| panic!("dnf refuses {names:?}: {told}"));
    let sets = base.resolve(&[install(names)], false);
    let sets = sets.unwrap_or_else(|error| panic!("{names:?}: {}", told(&error)));
    let own: BTreeSet<String> = sets[0].files.iter().map(install::file_name).collect();
    assert_eq!(own, judged, "{names:?}");
    own.into_iter().collect()
}
