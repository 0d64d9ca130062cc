//! Packages by the guest's own apt, over the network. Used when the host cannot resolve them itself.

use crate::recipe::PackagesStep;
use crate::shell::quote_all;

/// Options for every apt call: no questions, local configuration wins, no fsync for a disk that is thrown
/// away if anything fails.
const OPTIONS: &str = "-y -q --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef \
     -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root";

/// Answers questions, installs, and removes.
pub(super) fn script(packages: &PackagesStep) -> String {
    let mut script = String::new();
    if !packages.debconf.is_empty() {
        script.push_str("debconf-set-selections <<'TIB_DEBCONF'\n");
        script.push_str(&packages.debconf.join("\n"));
        script.push_str("\nTIB_DEBCONF\n");
    }
    if !packages.install.is_empty() {
        let (with, without): (Vec<_>, Vec<_>) =
            packages.install.iter().cloned().partition(|text| packages.recommends(text));
        script.push_str("apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none update\n");
        if !with.is_empty() {
            script
                .push_str(&format!("apt-get install {OPTIONS} --install-recommends {}\n", quote_all(&with)));
        }
        if !without.is_empty() {
            script.push_str(&format!("apt-get install {OPTIONS} {}\n", quote_all(&without)));
        }
    }
    if !packages.remove.is_empty() {
        script.push_str(&remove_script(&packages.remove));
    }
    script
}

fn remove_script(names: &[String]) -> String {
    format!("apt-get purge {OPTIONS} {}\napt-get autoremove --purge {OPTIONS}\n", quote_all(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_in_the_guest() {
        let packages = PackagesStep {
            install: vec!["redis-server".to_owned(), "vim=2:9".to_owned()],
            recommends: vec!["vim".to_owned()],
            remove: vec!["nano".to_owned()],
            debconf: vec!["a a/b boolean false".to_owned()],
            ..PackagesStep::default()
        };
        let script = script(&packages);
        for line in [
            "a a/b boolean false\nTIB_DEBCONF\n",
            "--force-unsafe-io -o APT::Sandbox::User=root redis-server\n",
            "-o APT::Sandbox::User=root --install-recommends vim=2:9\n",
            "apt-get purge -y",
            " nano\n",
        ] {
            assert!(script.contains(line), "{line} in {script}");
        }
    }
}
