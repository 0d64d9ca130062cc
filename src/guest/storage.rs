//! What an appliance has for the kinds of storage that a root may lie on, beside ext4: found out without starting one.
//!
//! supermin makes the appliance of packages of this host: of those that its lists name, the ones that are installed here.

use std::path::{Path, PathBuf};

use guestfs::Handle;

use super::ffi;
use crate::disk::FileSystemKind;

/// A kind of storage, and what it takes to enlarge it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storage {
    kind: FileSystemKind,
    /// What libguestfs calls it.
    pub(super) feature: &'static str,
    /// The package whose programs do it, as supermin's lists and distributions have it.
    package: &'static str,
    /// One of its programs.
    program: &'static str,
    /// What is to be installed.
    install: &'static str,
}

pub(super) const STORAGE: [Storage; 3] = [
    Storage {
        kind: FileSystemKind::Xfs,
        feature: "xfs",
        package: "xfsprogs",
        program: "xfs_growfs",
        // The first brings the list that names the second.
        install: "libguestfs-xfs and xfsprogs",
    },
    Storage {
        kind: FileSystemKind::Btrfs,
        feature: "btrfs",
        package: "btrfs-progs",
        program: "btrfs",
        install: "btrfs-progs",
    },
    Storage { kind: FileSystemKind::Lvm, feature: "lvm2", package: "lvm2", program: "lvm", install: "lvm2" },
];

impl Storage {
    /// What people call it.
    pub(super) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Whether an appliance made of this host has its tools.
    fn is_there(&self, lists: &[PathBuf], programs: &[PathBuf]) -> bool {
        lists.iter().any(|list| names(list, self.package))
            && programs.iter().any(|directory| directory.join(self.program).exists())
    }
}

/// What to install on this host for a kind of storage, by its name: packages, for people.
pub fn packages_for(name: &str) -> Option<&'static str> {
    STORAGE.iter().find(|storage| storage.name() == name).map(|storage| storage.install)
}

/// The first of these kinds that an appliance of this host could not enlarge. Where that cannot be known, such as of an
/// appliance that somebody has made, none.
pub fn lacking(kinds: &[FileSystemKind]) -> Option<&'static str> {
    let lists = lists()?;
    let programs = programs();
    let lacks = |storage: &&Storage| kinds.contains(&storage.kind) && !storage.is_there(&lists, &programs);
    STORAGE.iter().find(lacks).map(Storage::name)
}

/// supermin's lists of packages, `None` where no appliance is made by it.
fn lists() -> Option<Vec<PathBuf>> {
    if fixed_appliance().is_some() {
        return None;
    }
    let path = ffi::search_path(&Handle::create().ok()?)?;
    let directories = std::env::split_paths(&path).map(|directory| directory.join("supermin.d"));
    lists_in(directories)
}

/// The directory of a ready-made appliance that libguestfs uses in place of one made from this host's files.
pub(super) fn fixed_appliance() -> Option<PathBuf> {
    let path = std::env::var_os("LIBGUESTFS_PATH")?;
    let complete = |directory: &PathBuf| {
        ["kernel", "initrd", "root"].iter().all(|file| fs_err::File::open(directory.join(file)).is_ok())
    };
    std::env::split_paths(&path).find(complete)
}

/// The lists of the first of these directories that is there: libguestfs takes that one.
fn lists_in(mut directories: impl Iterator<Item = PathBuf>) -> Option<Vec<PathBuf>> {
    let entries = directories.find_map(|directory| fs_err::read_dir(directory).ok())?;
    let is_list = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.trim_start_matches("zz-").starts_with("packages")
    };
    Some(entries.flatten().map(|entry| entry.path()).filter(is_list).collect())
}

/// Whether a list has a package: one a line.
fn names(list: &Path, package: &str) -> bool {
    fs_err::read_to_string(list).is_ok_and(|text| text.lines().any(|line| line.trim() == package))
}

/// Where programs of administrators are, whatever the user's path.
fn programs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appliance_has_what_is_listed_and_installed() {
        let place = tempfile::tempdir().unwrap();
        let (lists, programs) = (place.path().join("supermin.d"), place.path().join("sbin"));
        for directory in [&lists, &programs] {
            fs_err::create_dir(directory).unwrap();
        }
        fs_err::write(lists.join("packages"), "bash\n btrfs-progs\nlvm2\nxfsprogs-extra\n").unwrap();
        // No list of packages: what is copied from the host.
        fs_err::write(lists.join("hostfiles"), "xfsprogs\n").unwrap();
        for program in ["lvm", "xfs_growfs"] {
            fs_err::write(programs.join(program), "").unwrap();
        }
        let lacks = || {
            let missing = place.path().join("gone");
            let lists = lists_in([missing, lists.clone()].into_iter()).unwrap();
            let lacks =
                STORAGE.iter().filter(|storage| !storage.is_there(&lists, std::slice::from_ref(&programs)));
            lacks.map(Storage::name).collect::<Vec<_>>()
        };
        assert_eq!(lacks(), ["XFS", "Btrfs"], "one is not listed, one not installed");
        fs_err::write(lists.join("zz-packages-xfs"), "xfsprogs\n").unwrap();
        assert_eq!(lacks(), ["Btrfs"]);
        fs_err::write(programs.join("btrfs"), "").unwrap();
        assert!(lacks().is_empty());
        assert!(lists_in([place.path().join("gone")].into_iter()).is_none());
    }

    #[test]
    fn this_host_has_them() {
        assert!(lists().is_some_and(|lists| !lists.is_empty()));
        assert_eq!(lacking(&[FileSystemKind::Xfs, FileSystemKind::Btrfs, FileSystemKind::Lvm]), None);
        assert_eq!(packages_for("XFS"), Some("libguestfs-xfs and xfsprogs"));
        assert_eq!(packages_for("ext4"), None);
    }
}
