//! Images of Red Hat's family, judged by the host's dnf, by libselinux and by their own running system.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::oracle::selinux_labels;
use super::{outcome, run_tib};

/// Files of packages that a recipe changes: accounts. And places for mounts, to which libguestfs gives their owner in the session.
pub const CHANGED: [&str; 8] = [
    "/etc/group",
    "/etc/gshadow",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/subgid",
    "/etc/subuid",
    "/proc",
    "/sys",
];

/// What the host's dnf says of the guest's databases, below `root` in a directory of the test.
pub fn dnf(place: &Path, arguments: &[&str]) -> BTreeSet<String> {
    let is_new = place.join("root/usr/lib/sysimage/rpm").exists();
    let database = if is_new { "/usr/lib/sysimage/rpm" } else { "/var/lib/rpm" };
    // Debian's rpm would look elsewhere.
    fs::write(place.join(".rpmmacros"), format!("%_dbpath {database}\n")).unwrap();
    let mut dnf = Command::new("dnf");
    dnf.args(["-q", "--setopt=reposdir=/dev/null", "--setopt=plugins=0", "--releasever=9"]);
    dnf.arg(format!("--installroot={}", place.join("root").display()));
    dnf.arg(format!("--setopt=cachedir={}", place.join("dnf").display()));
    outcome(dnf.env("HOME", place).args(arguments)).expect(0).lines().map(str::to_owned).collect()
}

/// The manifest beside the image has the packages that rpm has.
pub fn listed(image: &Path, installed: &BTreeSet<String>) {
    let manifest = manifest(image);
    let packages = manifest["packages"].as_array().unwrap().iter();
    let told: BTreeSet<_> = packages.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(&told, installed);
}

/// Every file has the label that libselinux finds for its path. Returns all paths.
pub fn labelled(image: &Path, contexts: &Path) -> BTreeSet<String> {
    let listing = run_tib(["ls", "-R", "--context", "--json", image.to_str().unwrap(), "/"]).expect(0);
    let listing: Vec<serde_json::Value> = serde_json::from_str(&listing).unwrap();
    let mut kinds: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for entry in &listing {
        let (path, kind) = (entry["path"].as_str().unwrap(), entry["kind"].as_str().unwrap());
        // The EFI system partition is FAT; and what is no text cannot be asked as an argument.
        if path.starts_with("/boot/efi") || entry.get("path-hex").is_some() {
            continue;
        }
        let kind = BTreeMap::from([("file", "f"), ("directory", "d"), ("symlink", "l"), ("fifo", "p")])[kind];
        kinds.entry(kind).or_default().push((path, entry["label"].as_str().unwrap_or("<<none>>")));
    }
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for (kind, entries) in kinds {
        let paths: Vec<_> = entries.iter().map(|(path, _)| *path).collect();
        for ((path, label), wanted) in entries.iter().zip(selinux_labels(contexts, kind, &paths)) {
            looked_at += 1;
            // What no label is wanted for may have one.
            if *label != wanted && wanted != "<<none>>" {
                wrong.push(format!("{path}: {label}, not {wanted}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(looked_at > 20_000, "{looked_at} files");
    listing.iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
}

/// What the manifest beside an image says.
pub fn manifest(image: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(format!("{}.manifest.json", image.display())).unwrap()).unwrap()
}
