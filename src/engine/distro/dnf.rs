//! The rpm families inside the guest. Planned and tested as text; not yet run against a live mirror.

use crate::distro::Family;
use crate::recipe::{PackagesStep, RepositoryStep};

use super::GuestFile;
use crate::shell::quote_all;

/// `yum` understands these too, except the weak dependencies, which it does not have.
const OPTIONS: &str = "-y --setopt=install_weak_deps=False --setopt=tsflags=nodocs";

pub(super) fn repository_files(family: Family, repository: &RepositoryStep, key: &str) -> Vec<GuestFile> {
    let name = &repository.name;
    let directory = if family == Family::Suse { "/etc/zypp/repos.d" } else { "/etc/yum.repos.d" };
    let key_path = format!("/etc/pki/rpm-gpg/{name}.asc");
    let text = format!(
        "[{name}]\nname={name}\nbaseurl={url}\nenabled=1\ngpgcheck=1\ngpgkey=file://{key_path}\n",
        url = repository.url
    );
    vec![(format!("{directory}/{name}.repo"), text), (key_path, key.to_owned())]
}

pub(super) fn packages_script(packages: &PackagesStep) -> String {
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

pub(super) fn zypper_script(packages: &PackagesStep) -> String {
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
    use crate::recipe::Content;

    #[test]
    fn recommended_packages_come_where_they_are_asked_for() {
        let packages = PackagesStep {
            install: vec!["a".to_owned(), "b".to_owned()],
            recommends: vec!["b".to_owned()],
            ..PackagesStep::default()
        };
        let script = packages_script(&packages);
        for line in [
            "install_weak_deps=True --setopt=tsflags=nodocs b\n",
            "install_weak_deps=False --setopt=tsflags=nodocs a\n",
        ] {
            assert!(script.contains(line), "{script}");
        }
        assert_eq!(
            zypper_script(&packages),
            "zypper --non-interactive install --recommends b\nzypper --non-interactive install --no-recommends a\n"
        );
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
        let files = repository_files(Family::Rhel, &repository, "KEY");
        insta::assert_snapshot!(files[0].1, @r"
        [vendor]
        name=vendor
        baseurl=https://example.org/el9
        enabled=1
        gpgcheck=1
        gpgkey=file:///etc/pki/rpm-gpg/vendor.asc
        ");
        assert_eq!(files[1], ("/etc/pki/rpm-gpg/vendor.asc".to_owned(), "KEY".to_owned()));
    }
}
