//! What differs between distributions: package managers and init systems.

mod apt;
mod dnf;
mod init;

pub(super) use init::service_script;

use crate::distro::Family;
use crate::recipe::{PackagesStep, RepositoryStep};

/// A file a repository needs in the guest: path and text.
pub(super) type GuestFile = (String, String);

/// Files that configure a repository in the guest; `key` is its ASCII-armoured key.
pub(super) fn repository_files(family: Family, repository: &RepositoryStep, key: &str) -> Vec<GuestFile> {
    match family {
        Family::Debian => apt::repository_files(repository, key),
        Family::Rhel | Family::Suse => dnf::repository_files(family, repository, key),
    }
}

/// Shell that installs and removes packages with the guest's own package manager, over the network.
pub(super) fn packages_script(family: Family, packages: &PackagesStep) -> String {
    match family {
        Family::Debian => apt::packages_script(packages),
        Family::Rhel => dnf::packages_script(packages),
        Family::Suse => dnf::zypper_script(packages),
    }
}
