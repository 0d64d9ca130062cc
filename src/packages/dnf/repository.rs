//! The repositories that a recipe adds, as the guest's package manager reads them.

use super::configuration::{Section, is_remote};
use super::error::DnfError;
use crate::packages::GuestFile;
use crate::recipe::RepositoryStep;
use crate::trust::RepositoryKey;

/// Where a repository's file is in the guest.
pub(crate) fn path(directory: &str, repository: &RepositoryStep) -> String {
    format!("{directory}/{}.repo", repository.name)
}

/// Where its key is.
fn key_path(repository: &RepositoryStep) -> String {
    format!("/etc/pki/rpm-gpg/{}.asc", repository.name)
}

/// A repository as dnf, yum and zypper read it from `directory`.
pub(crate) fn files(directory: &str, repository: &RepositoryStep, key: &RepositoryKey) -> Vec<GuestFile> {
    let (name, url) = (&repository.name, repository.place_in_image());
    let priority = repository.priority.map(|priority| format!("priority={priority}\n")).unwrap_or_default();
    let hotfixes = if repository.module_hotfixes { "module_hotfixes=1\n" } else { "" };
    let text = format!(
        "[{name}]\nname={name}\nbaseurl={url}\nenabled=1\ngpgcheck=1\ngpgkey=file://{}\n{priority}{hotfixes}",
        key_path(repository)
    );
    let mut files = vec![
        GuestFile { path: path(directory, repository), text },
        GuestFile { path: key_path(repository), text: key.blocks.clone() },
    ];
    files.extend(modules(repository));
    files
}

/// What dnf knows of modules that are enabled and disabled, a file for each, as `dnf module` writes it.
pub(crate) fn modules(repository: &RepositoryStep) -> impl Iterator<Item = GuestFile> {
    repository.modules.iter().map(|(name, stream)| {
        let (stream, state) = match stream {
            Some(stream) => (stream.as_str(), "enabled"),
            None => ("", "disabled"),
        };
        GuestFile {
            path: format!("/etc/dnf/modules.d/{name}.module"),
            text: format!("[{name}]\nname={name}\nstream={stream}\nprofiles=\nstate={state}\n"),
        }
    })
}

/// The same for the private root.
pub(crate) fn section(repository: &RepositoryStep) -> Section {
    let mut section = Section { name: repository.name.clone(), ..Section::default() };
    section.set("baseurl", std::slice::from_ref(&repository.url));
    section.set("name", std::slice::from_ref(&repository.name));
    if repository.module_hotfixes {
        section.set("module_hotfixes", &["1".to_owned()]);
    }
    section.set(
        "priority",
        &repository.priority.map(|priority| priority.to_string()).into_iter().collect::<Vec<_>>(),
    );
    section
}

/// Refuses what would mean something else in a file than in the recipe.
pub(crate) fn check(repository: &RepositoryStep) -> Result<(), DnfError> {
    let invalid = |what, value: &str| Err(DnfError::Invalid { what, value: value.to_owned() });
    let named = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b));
    if repository.name.is_empty()
        || !named(&repository.name)
        || repository.name.starts_with('.')
        || repository.name == "main"
    {
        return invalid("repository name", &repository.name);
    }
    if !is_remote(&repository.url) || repository.url.contains(char::is_whitespace) {
        return invalid("repository URL", &repository.url);
    }
    // Of dnf: 1 comes before all others, 99 is what a repository has by itself.
    match repository.priority {
        Some(priority) if !(1..=99).contains(&priority) => {
            invalid("priority of a repository (dnf knows 1, the first, to 99)", &priority.to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> RepositoryStep {
        RepositoryStep::of("vendor", "https://example.org/el9/$basearch", "KEY", &"0".repeat(40))
    }

    #[test]
    fn a_repository_never_switches_signatures_off() {
        let key = RepositoryKey { armoured: "KEY".to_owned(), blocks: "KEY".to_owned(), binary: Vec::new() };
        let files = files("/etc/yum.repos.d", &repository(), &key);
        assert_eq!(files[0].path, "/etc/yum.repos.d/vendor.repo");
        insta::assert_snapshot!(files[0].text, @r"
        [vendor]
        name=vendor
        baseurl=https://example.org/el9/$basearch
        enabled=1
        gpgcheck=1
        gpgkey=file:///etc/pki/rpm-gpg/vendor.asc
        ");
        let key = GuestFile { path: "/etc/pki/rpm-gpg/vendor.asc".to_owned(), text: "KEY".to_owned() };
        assert_eq!(files[1], key);
    }

    #[test]
    fn a_priority_is_written() {
        let key = RepositoryKey { armoured: "KEY".to_owned(), blocks: "KEY".to_owned(), binary: Vec::new() };
        let first = RepositoryStep { priority: Some(1), ..repository() };
        assert!(files("/x", &first, &key)[0].text.ends_with("\npriority=1\n"));
        assert_eq!(section(&first).options["priority"], "1");
    }

    #[test]
    fn modules_are_written_as_dnf_writes_them() {
        let key = RepositoryKey { armoured: "KEY".to_owned(), blocks: "KEY".to_owned(), binary: Vec::new() };
        let modules = [("mysql".to_owned(), None), ("pg".to_owned(), Some("16".to_owned()))].into();
        let repository = RepositoryStep { module_hotfixes: true, modules, ..repository() };
        let files = files("/etc/yum.repos.d", &repository, &key);
        assert!(files[0].text.ends_with("\nmodule_hotfixes=1\n"));
        let texts: Vec<_> = files[2..].iter().map(|file| format!("{}\n{}", file.path, file.text)).collect();
        insta::assert_snapshot!(texts.join(""), @r"
        /etc/dnf/modules.d/mysql.module
        [mysql]
        name=mysql
        stream=
        profiles=
        state=disabled
        /etc/dnf/modules.d/pg.module
        [pg]
        name=pg
        stream=16
        profiles=
        state=enabled
        ");
    }

    #[test]
    fn nothing_but_plain_words_gets_into_a_file() {
        assert!(check(&repository()).is_ok());
        for bad in [
            RepositoryStep { name: "../x".to_owned(), ..repository() },
            RepositoryStep { name: "main".to_owned(), ..repository() },
            RepositoryStep { url: "file:///srv".to_owned(), ..repository() },
            RepositoryStep { url: "http://a/\ngpgcheck=0".to_owned(), ..repository() },
            RepositoryStep { priority: Some(500), ..repository() },
        ] {
            assert!(check(&bad).is_err(), "{bad:?}");
        }
    }
}
