//! zypper inside the guest. Planned and tested as text; not yet run against a live mirror.

use super::{GuestFile, GuestScript, PackageManager, dnf};
use crate::recipe::{PackagesStep, RepositoryStep};
use crate::shell::quote_all;
use crate::trust::RepositoryKey;

/// The packages of openSUSE and SLES.
#[derive(Debug, Clone, Copy)]
pub(super) struct ZypperPackages;

impl PackageManager for ZypperPackages {
    fn repository_files(&self, repository: &RepositoryStep, key: &RepositoryKey) -> Vec<GuestFile> {
        dnf::repository::files("/etc/zypp/repos.d", repository, key)
    }

    fn script(&self, packages: &PackagesStep) -> GuestScript {
        GuestScript { purpose: "installing packages", text: script(packages) }
    }

    fn file_script(&self, file: &str) -> String {
        dnf::DnfPackages.file_script(file)
    }
}

fn script(packages: &PackagesStep) -> String {
    let mut script = String::new();
    let (with, without): (Vec<_>, Vec<_>) =
        packages.install.iter().cloned().partition(|text| packages.recommends(text));
    for (option, names) in [("--recommends", with), ("--no-recommends", without)] {
        if !names.is_empty() {
            script.push_str(&format!("zypper --non-interactive install {option} {}\n", quote_all(&names)));
        }
    }
    if !packages.remove.is_empty() {
        script.push_str(&format!("zypper --non-interactive remove {}\n", quote_all(&packages.remove)));
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recommended_packages_come_where_they_are_asked_for() {
        let packages = PackagesStep {
            install: vec!["a".to_owned(), "b".to_owned()],
            recommends: vec!["b".to_owned()],
            ..PackagesStep::default()
        };
        assert_eq!(
            script(&packages),
            "zypper --non-interactive install --recommends b\nzypper --non-interactive install --no-recommends a\n"
        );
    }
}
