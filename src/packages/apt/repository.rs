//! The repositories a recipe adds: the files that describe them, the same for host and guest.

use super::error::AptError;
use super::sources::is_web;
use crate::packages::GuestFile;
use crate::recipe::RepositoryStep;
use crate::trust::RepositoryKey;

/// Files that add a repository to the guest: its source, its key, and its priority if it has one.
pub(crate) fn files(repository: &RepositoryStep, key: &RepositoryKey) -> Vec<GuestFile> {
    let name = &repository.name;
    let source = GuestFile {
        path: format!("/etc/apt/sources.list.d/{name}.sources"),
        text: stanza(repository, repository.place_in_image(), &key_path(repository)),
    };
    let key = GuestFile { path: key_path(repository), text: key.armoured.clone() };
    let pin = preferences_entry(repository, repository.place_in_image())
        .map(|text| GuestFile { path: format!("/etc/apt/preferences.d/{name}"), text });
    [source, key].into_iter().chain(pin).collect()
}

/// Where the key of a repository stands in the guest, ASCII-armoured.
fn key_path(repository: &RepositoryStep) -> String {
    format!("/etc/apt/keyrings/{}.asc", repository.name)
}

/// The preferences stanza that gives everything from the host of `url`, where the repository is fetched from, its priority.
pub(crate) fn preferences_entry(repository: &RepositoryStep, url: &str) -> Option<String> {
    let host = host(url)?;
    repository
        .priority
        .map(|priority| format!("Package: *\nPin: origin \"{host}\"\nPin-Priority: {priority}\n"))
}

/// The host of a URL, as apt's pins name it.
pub(crate) fn host(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    authority.rsplit('@').next()?.split(':').next()
}

/// The stanza with the repository at `url` and the key at `key`, which are elsewhere on the host.
pub(crate) fn stanza(repository: &RepositoryStep, url: &str, key: &str) -> String {
    let suite = repository.suite.as_deref().unwrap_or("./");
    let mut text = format!("Types: deb\nURIs: {url}\nSuites: {suite}\n");
    if !repository.components.is_empty() {
        text.push_str(&format!("Components: {}\n", repository.components.join(" ")));
    }
    text.push_str(&format!("Signed-By: {key}\n"));
    text
}

/// Refuses what would mean something else in a file name or a stanza than in the recipe.
pub(crate) fn check(repository: &RepositoryStep) -> Result<(), AptError> {
    let invalid = |what, value: &str| Err(AptError::Invalid { what, value: value.to_owned() });
    let plain =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    // apt ignores files with other characters in their names.
    let named = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !plain(&repository.name) || !named(&repository.name) || repository.name.starts_with('.') {
        return invalid("repository name", &repository.name);
    }
    if !plain(&repository.url) || !is_web(&repository.url) {
        return invalid("repository URL", &repository.url);
    }
    match repository.suite.iter().chain(&repository.components).find(|word| !plain(word)) {
        Some(word) => invalid("suite or component of a repository", word),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> RepositoryStep {
        RepositoryStep {
            components: vec!["main".to_owned(), "16".to_owned()],
            priority: Some(1001),
            ..RepositoryStep::of("pgdg", "https://apt.example.org:8080/pub/apt", "", &"A".repeat(40))
                .with_suite("bookworm-pgdg")
        }
    }

    #[test]
    fn files_in_the_guest() {
        let repository = repository();
        let key = RepositoryKey { armoured: "KEY".to_owned(), blocks: "KEY".to_owned(), binary: Vec::new() };
        let files = files(&repository, &key);
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/etc/apt/sources.list.d/pgdg.sources",
                "/etc/apt/keyrings/pgdg.asc",
                "/etc/apt/preferences.d/pgdg"
            ]
        );
        assert_eq!(files[1].text, "KEY");
        insta::assert_snapshot!(files[0].text, @r"
        Types: deb
        URIs: https://apt.example.org:8080/pub/apt
        Suites: bookworm-pgdg
        Components: main 16
        Signed-By: /etc/apt/keyrings/pgdg.asc
        ");
        insta::assert_snapshot!(files[2].text, @r#"
        Package: *
        Pin: origin "apt.example.org"
        Pin-Priority: 1001
        "#);
        let plain = RepositoryStep { priority: None, ..repository.clone() };
        assert_eq!(preferences_entry(&plain, &plain.url), None);
        let mirrored = RepositoryStep { in_image: Some("http://m.example/apt".to_owned()), ..repository };
        let files = super::files(&mirrored, &key);
        assert!(files[0].text.contains("\nURIs: http://m.example/apt\n"), "{}", files[0].text);
        assert!(files[2].text.contains("origin \"m.example\""), "{}", files[2].text);
    }

    #[test]
    fn nothing_but_plain_words_gets_into_a_file() {
        assert!(check(&repository()).is_ok());
        let bad = [
            RepositoryStep { name: "../x".to_owned(), ..repository() },
            RepositoryStep { name: String::new(), ..repository() },
            RepositoryStep { url: "file:///srv".to_owned(), ..repository() },
            RepositoryStep { url: "http://a/ b".to_owned(), ..repository() },
            RepositoryStep { suite: Some("x\nTrusted: yes".to_owned()), ..repository() },
            RepositoryStep { components: vec!["a b".to_owned()], ..repository() },
        ];
        for repository in bad {
            assert!(check(&repository).is_err(), "{repository:?}");
        }
    }
}
