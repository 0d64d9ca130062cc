//! What differs between distributions: package managers and init systems.

mod apt;
mod dnf;
mod init;

pub(super) use init::service_script;

use crate::os::Family;
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

/// Quotes a word for `/bin/sh`, if it needs it.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(super) fn quote_all(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_when_the_shell_would_touch_them() {
        for (word, quoted) in [
            ("mariadb-server=1:10.11", "mariadb-server=1:10.11"),
            ("a b", "'a b'"),
            ("", "''"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }
}
