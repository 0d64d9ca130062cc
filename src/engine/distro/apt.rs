//! Debian's family inside the guest. Used when the host cannot resolve packages itself.

use crate::recipe::{PackagesStep, RepositoryStep};
use crate::source::apt;

use super::{GuestFile, quote_all};

/// Options for every apt call: no questions, local configuration wins, no fsync for a disk that is thrown
/// away if anything fails.
const OPTIONS: &str = "-y -q --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef \
     -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root";

pub(super) fn repository_files(repository: &RepositoryStep, key: &str) -> Vec<GuestFile> {
    let mut files = vec![
        (apt::sources_path(repository), apt::sources_entry(repository)),
        (apt::key_path(repository), key.to_owned()),
    ];
    files.extend(apt::pin_entry(repository).map(|text| (apt::pin_path(repository), text)));
    files
}

pub(super) fn packages_script(packages: &PackagesStep) -> String {
    let mut script = String::new();
    if !packages.debconf.is_empty() {
        script.push_str("debconf-set-selections <<'TIB_DEBCONF'\n");
        script.push_str(&packages.debconf.join("\n"));
        script.push_str("\nTIB_DEBCONF\n");
    }
    if !packages.install.is_empty() {
        script.push_str("apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none update\n");
        script.push_str(&format!("apt-get install {OPTIONS} {}\n", quote_all(&packages.install)));
    }
    if !packages.remove.is_empty() {
        script.push_str(&remove_script(&packages.remove));
    }
    script
}

pub(super) fn remove_script(names: &[String]) -> String {
    format!("apt-get purge {OPTIONS} {}\napt-get autoremove --purge {OPTIONS}\n", quote_all(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_in_the_guest() {
        let packages = PackagesStep {
            install: vec!["redis-server".to_owned()],
            remove: vec!["nano".to_owned()],
            debconf: vec!["a a/b boolean false".to_owned()],
        };
        let script = packages_script(&packages);
        for line in [
            "a a/b boolean false\nTIB_DEBCONF\n",
            "--force-unsafe-io -o APT::Sandbox::User=root redis-server\n",
            "apt-get purge -y",
            " nano\n",
        ] {
            assert!(script.contains(line), "{line} in {script}");
        }
    }
}
