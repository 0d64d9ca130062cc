//! dnf and yum inside the guest. Planned and tested as text; not yet run against a live mirror.

use super::{GuestFile, GuestScript, PackageManager};
use crate::recipe::{PackagesStep, RepositoryStep};
use crate::shell::quote_all;
use crate::trust::RepositoryKey;

/// The packages of Fedora's and Red Hat's family.
#[derive(Debug, Clone, Copy)]
pub(super) struct DnfPackages;

/// `yum` understands these too, except the weak dependencies, which it does not have.
const OPTIONS: &str = "-y --setopt=install_weak_deps=False --setopt=tsflags=nodocs";

impl PackageManager for DnfPackages {
    fn repository_files(&self, repository: &RepositoryStep, key: &RepositoryKey) -> Vec<GuestFile> {
        repository_files("/etc/yum.repos.d", repository, key)
    }

    fn script(&self, packages: &PackagesStep) -> GuestScript {
        GuestScript { purpose: "installing packages", text: script(packages) }
    }
}

/// A repository as dnf, yum and zypper read it from `directory`.
pub(super) fn repository_files(
    directory: &str,
    repository: &RepositoryStep,
    key: &RepositoryKey,
) -> Vec<GuestFile> {
    let name = &repository.name;
    let key_path = format!("/etc/pki/rpm-gpg/{name}.asc");
    let text = format!(
        "[{name}]\nname={name}\nbaseurl={url}\nenabled=1\ngpgcheck=1\ngpgkey=file://{key_path}\n",
        url = repository.url
    );
    vec![
        GuestFile { path: format!("{directory}/{name}.repo"), text },
        GuestFile { path: key_path, text: key.armoured.clone() },
    ]
}

fn script(packages: &PackagesStep) -> String {
    let mut script = "dnf=$(command -v dnf || command -v yum)\n".to_owned();
    let (with, without): (Vec<_>, Vec<_>) =
        packages.install.iter().cloned().partition(|text| packages.recommends(text));
    if !with.is_empty() {
        let options = OPTIONS.replace("install_weak_deps=False", "install_weak_deps=True");
        script.push_str(&format!("$dnf install {options} {}\n", quote_all(&with)));
    }
    if !without.is_empty() {
        script.push_str(&format!("$dnf install {OPTIONS} {}\n", quote_all(&without)));
    }
    if !packages.remove.is_empty() {
        script.push_str(&remove_script(&packages.remove));
    }
    script
}

fn remove_script(names: &[String]) -> String {
    format!(
        "$(command -v dnf || command -v yum) remove -y --disableplugin=subscription-manager {}\n",
        quote_all(names)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Content;

    #[test]
    fn recommended_packages_come_where_they_are_asked_for() {
        let packages = PackagesStep {
            install: vec!["a".to_owned(), "b".to_owned()],
            recommends: vec!["b".to_owned()],
            ..PackagesStep::default()
        };
        let script = script(&packages);
        for line in [
            "install_weak_deps=True --setopt=tsflags=nodocs b\n",
            "install_weak_deps=False --setopt=tsflags=nodocs a\n",
        ] {
            assert!(script.contains(line), "{script}");
        }
    }

    #[test]
    fn a_repository_never_switches_signatures_off() {
        let repository = RepositoryStep {
            name: "vendor".to_owned(),
            url: "https://example.org/el9".to_owned(),
            suite: None,
            components: Vec::new(),
            key: Content::Text("KEY".to_owned()),
            fingerprint: "0".repeat(40),
            priority: None,
        };
        let key = RepositoryKey { armoured: "KEY".to_owned(), binary: Vec::new() };
        let files = DnfPackages.repository_files(&repository, &key);
        assert_eq!(files[0].path, "/etc/yum.repos.d/vendor.repo");
        insta::assert_snapshot!(files[0].text, @r"
        [vendor]
        name=vendor
        baseurl=https://example.org/el9
        enabled=1
        gpgcheck=1
        gpgkey=file:///etc/pki/rpm-gpg/vendor.asc
        ");
        let key = GuestFile { path: "/etc/pki/rpm-gpg/vendor.asc".to_owned(), text: "KEY".to_owned() };
        assert_eq!(files[1], key);
    }
}
