//! Whether sources of packages are there at all, asked before anything is changed: what a package manager says of one that is
//! not tells neither which one it is nor what to do.

use crate::control::Control;
use crate::error::{Diagnose, Exit};
use crate::fetch::{Fetcher, Options, Url, redact_text};

/// A source of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The repository that a recipe calls so; `None` of the base's own.
    pub(crate) repository: Option<String>,
    /// Its URL, wherever it is fetched from.
    pub(crate) url: String,
    /// apt: the suite.
    pub(crate) suite: Option<String>,
}

/// A source that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// There is nothing.
    #[error("{}: {} (`{asked}` is not there)", owner(place), missing(place))]
    Missing {
        /// Which it is.
        place: Place,
        /// What was asked for.
        asked: String,
    },
    /// It is for those alone who say who they are.
    #[error("{}: `{asked}` wants credentials, or others: the server answers {status}", owner(place))]
    Refused {
        /// Which it is.
        place: Place,
        /// What was asked for.
        asked: String,
        /// The answer.
        status: u16,
    },
}

fn owner(place: &Place) -> String {
    let of = |name: &String| format!("repository `{name}`");
    place.repository.as_ref().map_or_else(|| "a package source of the base image".to_owned(), of)
}

fn missing(place: &Place) -> String {
    let url = redact_text(&place.url);
    let url = url.trim_end_matches('/');
    match place.suite.as_deref().filter(|suite| !suite.ends_with('/')) {
        Some(suite) => format!("there is no suite `{suite}` at `{url}`"),
        None => format!("there is no package index at `{url}`"),
    }
}

impl Diagnose for SourceError {
    fn exit(&self) -> Exit {
        match self {
            Self::Missing { place: Place { repository: Some(_), .. }, .. } => Exit::Recipe,
            Self::Missing { .. } | Self::Refused { .. } => Exit::Network,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { place: Place { repository: Some(_), suite, .. }, .. } => {
                let what = if suite.is_some() { "suite" } else { "URL" };
                format!("check the {what} and the series that the recipe was told (`--set`): its owner may have nothing for this release")
            }
            Self::Missing { .. } => {
                "its release may have moved to an archive: take a newer base, or map the URL with a mirror in config.toml".to_owned()
            }
            Self::Refused { .. } => {
                "`--repository-auth FILE` names a file with credentials, which only this host uses: `machine HOST login NAME password SECRET`".to_owned()
            }
        })
    }
}

impl Place {
    /// What says that it is there, one of which is enough.
    fn files(&self) -> Vec<String> {
        let url = self.url.trim_end_matches('/');
        match self.suite.as_deref() {
            None => vec![format!("{url}/repodata/repomd.xml")],
            Some(suite) => {
                let directory = match suite.strip_suffix('/') {
                    Some(flat) => flat.trim_start_matches("./").trim_matches('.').to_owned(),
                    None => format!("dists/{suite}"),
                };
                let directory = if directory.is_empty() { String::new() } else { format!("{directory}/") };
                ["InRelease", "Release"].map(|name| format!("{url}/{directory}{name}")).to_vec()
            }
        }
    }

    /// Asks its server; `None` if it is there, or nobody can tell.
    fn wrong(&self, fetcher: &Fetcher) -> Option<SourceError> {
        let mut last = None;
        for file in self.files() {
            let url = Url::parse(&file).ok().filter(|_| !file.contains('$'))?;
            // What else goes wrong, the package manager finds out and tells.
            let status = fetcher.head(&url).ok()?.status;
            let asked = fetcher.asked(&url);
            last = match status {
                404 | 410 => Some(SourceError::Missing { place: self.clone(), asked }),
                401 | 403 => return Some(SourceError::Refused { place: self.clone(), asked, status }),
                _ => return None,
            };
        }
        last
    }
}

/// Looks for a source that is not there, or not for us.
pub(crate) fn find_wrong(places: &[Place], control: &Control) -> Option<SourceError> {
    let options = Options { retries: 0, ..Options::default() };
    let fetcher = Fetcher::new(options, control).ok()?;
    places.iter().find_map(|place| place.wrong(&fetcher))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::testing::http::{Server, Site};

    fn place(url: String, suite: Option<&str>) -> Place {
        Place { repository: Some("db".to_owned()), url, suite: suite.map(str::to_owned) }
    }

    #[test]
    fn what_is_not_there_is_told_by_name() {
        let site = Site::new();
        site.put("/deb/dists/old/Release", b"x".to_vec());
        site.put("/flat/InRelease", b"x".to_vec());
        site.put("/rpm/repodata/repomd.xml", b"x".to_vec());
        let server = Server::http(site.handler());
        let found = |path: &str, suite| find_wrong(&[place(server.url(path), suite)], &Control::none());
        for (path, suite) in
            [("/deb", Some("old")), ("/flat/", Some("./")), ("/flat", Some("/")), ("/rpm/", None)]
        {
            assert!(found(path, suite).is_none(), "{path}");
        }
        let error = found("/deb/", Some("new")).unwrap();
        let expected = format!(
            "repository `db`: there is no suite `new` at `{}` (`{}` is not there)",
            server.url("/deb"),
            server.url("/deb/dists/new/Release")
        );
        assert_eq!((error.to_string(), error.exit()), (expected, Exit::Recipe));
        let error = found("/none", None).unwrap();
        assert!(error.to_string().contains("there is no package index at"), "{error}");
        // Whoever is not there does not say what it has.
        assert!(find_wrong(&[place("http://127.0.0.1:9/x".to_owned(), None)], &Control::none()).is_none());
        assert!(found("/rpm/$basearch", None).is_none());
    }
    /// It fetches from what the image names, and nobody tells it credentials.
    #[test]
    fn what_a_guest_fetches_by_itself_is_asked_for_as_the_guest_would() {
        use crate::distro::Family;
        use crate::mirror::Mirrors;
        use crate::recipe::{Content, RepositoryStep};
        let site = Site::new();
        site.put("/there/repodata/repomd.xml", b"x".to_vec());
        let server = Server::http(site.handler());
        let step = |url: String| RepositoryStep {
            name: "db".to_owned(),
            url,
            suite: None,
            components: Vec::new(),
            key: Content::Text(String::new()),
            fingerprints: vec![String::new()],
            bundle: false,
            module_hotfixes: false,
            modules: std::collections::BTreeMap::new(),
            priority: None,
            in_image: None,
        };
        let probe = |path: &str, more: &str| {
            let url = server.url(path);
            let text = format!("[[mirror]]\nurl = '{url}'\nmirror = '{}'\n{more}", server.url("/there"));
            let control = Control::none().with_mirrors(Mirrors::parse("c", &text).unwrap());
            crate::packages::probe(Family::Suse, &[&step(url)], &control)
        };
        let error = probe("/none", "").unwrap_err();
        assert!(error.to_string().contains("repository `db`: there is no package index at"), "{error}");
        assert_eq!(error.exit(), Exit::Recipe);
        assert!(probe("/none", "in-image = true").is_ok());
    }
}
