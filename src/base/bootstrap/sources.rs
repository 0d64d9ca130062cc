//! The host's own package sources, as far as a bootstrapped system can use them too.

use std::collections::BTreeMap;
use std::path::Path;

use super::System;
use crate::event::Events;
use crate::mirror::Mirrors;

/// The archive's keys, on a Debian host and in the guest.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The components of the distribution's own archive; vendors use others.
const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];

/// One suite at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uri: String,
    suite: String,
    components: Vec<String>,
}

/// Sources as they are fetched: what they name in URLs is replaced by its mirror.
pub(crate) fn from_mirrors(sources: &str, mirrors: &Mirrors) -> String {
    let line = |line: &str| match line.strip_prefix("URIs: ") {
        Some(uri) => format!("URIs: {}\n", mirrors.fetched(uri).unwrap_or_else(|| uri.to_owned())),
        None => format!("{line}\n"),
    };
    sources.lines().map(line).collect()
}

/// The host's sources of `system` in deb822 form, usable on the host and in the guest. Empty if the host has
/// none: then mmdebstrap's default mirror is right.
pub(crate) fn of_host(system: System, events: &Events) -> String {
    let apt = Path::new("/etc/apt");
    // A host without the archive's keys could not check what it gets.
    if !Path::new(KEYRING).is_file() {
        return String::new();
    }
    let text = render(&select(read(apt), system));
    if text.contains("://localhost") || text.contains("://127.") {
        events.warning(
            "the host's package sources are on the host itself; the guest cannot reach them once it runs",
        );
    }
    text
}

/// All entries below `/etc/apt`. Files that cannot be read are apt's to complain about.
fn read(apt: &Path) -> Vec<Entry> {
    let mut paths = vec![apt.join("sources.list")];
    if let Ok(files) = fs_err::read_dir(apt.join("sources.list.d")) {
        paths.extend(files.flatten().map(|file| file.path()));
    }
    paths.sort();
    let mut entries = Vec::new();
    for path in paths {
        let Ok(text) = fs_err::read_to_string(&path) else { continue };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => entries.extend(one_line(&text)),
            Some("sources") => entries.extend(deb822(&text)),
            _ => {}
        }
    }
    entries
}

/// `deb [options] uri suite component…`, signed by the distribution if it says by whom.
fn one_line(text: &str) -> Vec<Entry> {
    let parse = |line: &str| {
        let line = line.split('#').next()?.trim().strip_prefix("deb")?;
        let line = line.strip_prefix([' ', '\t'])?.trim_start();
        let (options, rest) = match line.strip_prefix('[') {
            Some(line) => line.split_once(']')?,
            None => ("", line),
        };
        let signer = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        let mut words = rest.split_whitespace().map(str::to_owned);
        let (uri, suite) = (words.next()?, words.next()?);
        signed_by_distribution(signer).then(|| Entry { uri, suite, components: words.collect() })
    };
    text.lines().filter_map(parse).collect()
}

/// Paragraphs of `Key: value` lines.
fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for paragraph in lines.split(|line| line.trim().is_empty()) {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut last = String::new();
        for line in paragraph {
            if line.starts_with([' ', '\t']) {
                fields.entry(last.clone()).or_default().push_str(line);
            } else if let Some((key, value)) = line.split_once(':') {
                last = key.to_ascii_lowercase();
                fields.insert(last.clone(), value.trim().to_owned());
            }
        }
        let words = |key: &str| -> Vec<String> {
            fields
                .get(key)
                .map_or_else(Vec::new, |value| value.split_whitespace().map(str::to_owned).collect())
        };
        let off = fields.get("enabled").is_some_and(|value| ["no", "false", "0"].contains(&value.as_str()));
        let signer = fields.get("signed-by").map(String::as_str);
        if off || !words("types").iter().any(|kind| kind == "deb") || !signed_by_distribution(signer) {
            continue;
        }
        for uri in words("uris") {
            for suite in words("suites") {
                entries.push(Entry { uri: uri.clone(), suite, components: words("components") });
            }
        }
    }
    entries
}

/// Nothing said, or a keyring of the distribution's own package.
fn signed_by_distribution(signer: Option<&str>) -> bool {
    signer.is_none_or(|path| path.starts_with("/usr/share/keyrings/debian-archive-"))
}

/// The entries of the distribution itself for this system, each once; none if the main suite is not among them.
fn select(entries: Vec<Entry>, system: System) -> Vec<Entry> {
    let name = system.codename();
    let suites = [name.to_owned(), format!("{name}-updates"), format!("{name}-security")];
    let mut chosen: Vec<Entry> = Vec::new();
    for mut entry in entries {
        let Some(uri) = plain_uri(&entry.uri) else { continue };
        entry.uri = uri;
        let usable = suites.contains(&entry.suite)
            && entry.components.iter().any(|component| component == "main")
            && entry.components.iter().all(|component| COMPONENTS.contains(&component.as_str()));
        if usable && !chosen.contains(&entry) {
            chosen.push(entry);
        }
    }
    if chosen.iter().any(|entry| entry.suite == suites[0]) { chosen } else { Vec::new() }
}

/// A URI that means the same in the guest: HTTP without a password. Debian's cloud images list their mirrors
/// in a file; the first one is taken.
fn plain_uri(uri: &str) -> Option<String> {
    let listed;
    let uri = match uri.strip_prefix("mirror+file:") {
        Some(path) => {
            let path = format!("/{}", path.trim_start_matches('/'));
            listed = fs_err::read_to_string(path).ok()?;
            listed.split_whitespace().next()?
        }
        None => uri,
    };
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
    let host = rest.split('/').next().unwrap_or(rest);
    (!host.is_empty() && !host.contains('@')).then(|| uri.to_owned())
}

fn render(entries: &[Entry]) -> String {
    let mut paragraphs: Vec<(&str, &[String], Vec<&str>)> = Vec::new();
    for entry in entries {
        let same = paragraphs
            .iter_mut()
            .find(|(uri, components, _)| *uri == entry.uri && *components == entry.components);
        match same {
            Some((_, _, suites)) => suites.push(&entry.suite),
            None => paragraphs.push((&entry.uri, &entry.components, vec![&entry.suite])),
        }
    }
    let paragraphs: Vec<String> = paragraphs
        .into_iter()
        .map(|(uri, components, suites)| {
            format!(
                "Types: deb\nURIs: {uri}\nSuites: {}\nComponents: {}\nSigned-By: {KEYRING}\n",
                suites.join(" "),
                components.join(" ")
            )
        })
        .collect();
    paragraphs.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_comes_from_mirrors() {
        let mirrors = "[[mirror]]\nurl = 'http://a.example/debian'\nmirror = 'http://m.example/deb'\n";
        let mirrors = Mirrors::parse("c", mirrors).unwrap();
        let sources = "Types: deb\nURIs: http://a.example/debian/\nSuites: bookworm\n\n\
                       Types: deb\nURIs: http://a.example/debian-security\nSuites: bookworm-security\n";
        let fetched = sources.replace("http://a.example/debian/", "http://m.example/deb/");
        assert_eq!(from_mirrors(sources, &mirrors), fetched);
        assert_eq!(from_mirrors(sources, &Mirrors::default()), sources);
        assert_eq!(from_mirrors("", &mirrors), "");
    }

    fn debian_12(entries: Vec<Entry>) -> String {
        render(&select(entries, System::parse("debian-12").unwrap()))
    }

    #[test]
    fn both_forms_give_the_same_and_lose_what_is_not_the_distributions() {
        let lines = "\
# comment
deb http://mirror.example/debian bookworm main contrib # more
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm-updates main contrib
deb\thttps://mirror.example/security/ bookworm-security main
deb http://mirror.example/debian bookworm main contrib
deb http://mirror.example/debian bookworm-backports main
deb http://mirror.example/debian trixie main
deb [signed-by=/etc/apt/keyrings/vendor.gpg] http://vendor.example/debian bookworm main
deb http://docker.example/linux/debian bookworm stable
deb http://user:secret@private.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb
";
        let paragraphs = "\
Types: deb deb-src
# comment
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib

Types: deb
URIs: https://mirror.example/security/
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://vendor.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
";
        let expected = "\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.example/security/
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";
        assert_eq!(debian_12(one_line(lines)), expected);
        assert_eq!(debian_12(deb822(paragraphs)), expected);
    }

    #[test]
    fn without_the_main_suite_there_is_nothing_to_pass_on() {
        let lines = "deb http://mirror.example/debian bookworm-security main\n";
        assert_eq!(debian_12(one_line(lines)), "");
    }

    #[test]
    fn a_list_of_mirrors_is_resolved_on_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("debian.list");
        fs_err::write(&list, "https://mirror.example/debian\tpriority:1\nhttps://other.example/debian\n")
            .unwrap();
        let uri = format!("mirror+file://{}", list.display());
        assert_eq!(plain_uri(&uri).as_deref(), Some("https://mirror.example/debian"));
        assert_eq!(plain_uri("mirror+file:///no/such/list"), None);
        assert_eq!(plain_uri("file:///srv/debian"), None);
    }

    #[test]
    fn files_are_told_apart_by_their_extension() {
        let dir = tempfile::tempdir().unwrap();
        let parts = dir.path().join("sources.list.d");
        fs_err::create_dir(&parts).unwrap();
        fs_err::write(dir.path().join("sources.list"), "deb http://a.example/debian bookworm main\n")
            .unwrap();
        let paragraph = "Types: deb\nURIs: http://b.example/d\nSuites: bookworm-security\nComponents: main\n";
        fs_err::write(parts.join("b.sources"), paragraph).unwrap();
        fs_err::write(parts.join("c.list.disabled"), "deb http://c.example/debian bookworm main\n").unwrap();
        let uris: Vec<_> = read(dir.path()).into_iter().map(|entry| entry.uri).collect();
        assert_eq!(uris, ["http://a.example/debian", "http://b.example/d"]);
    }
}
