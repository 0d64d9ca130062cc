//! What is asked for: whose subscription, of which server, and which of its repositories.

use std::time::Duration;

use crate::fetch::Url;

use super::{Secret, SubscriptionError};

/// Red Hat's own server.
const RED_HAT: &str = "https://subscription.rhsm.redhat.com/subscription";
/// What has the packages of its customers.
const CDN: &str = "https://cdn.redhat.com/";
/// Where a server answers, unless its URL says so.
const PREFIX: &str = "/subscription";

/// A subscription that a build uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Where to register.
    pub server: Url,
    /// What content lies below. Ends with a slash.
    pub baseurl: Url,
    /// Who registers.
    pub login: Login,
    /// The minor release to stay on, such as `9.4`.
    pub release: Option<String>,
    /// Repositories to use besides those that are on by default.
    pub repositories: Vec<String>,
    /// Authorities in PEM that servers are trusted by, besides the system's.
    pub authorities: Vec<u8>,
    /// How long the server may take for an answer.
    pub patience: Duration,
}

/// Who registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Whoever has keys of an organisation.
    Keys {
        /// The organisation.
        org: String,
        /// The keys; one at least.
        keys: Vec<Secret>,
    },
    /// A user.
    User {
        /// Their name.
        user: String,
        /// Their password.
        password: Secret,
        /// The organisation; `None` if they belong to one only.
        org: Option<String>,
    },
}

impl Login {
    pub(super) fn secrets(&self) -> &[Secret] {
        match self {
            Self::Keys { keys, .. } => keys,
            Self::User { password, .. } => std::slice::from_ref(password),
        }
    }
}

impl Subscription {
    /// How long a server may take by default: some register slowly.
    pub const PATIENCE: Duration = Duration::from_secs(180);

    /// Red Hat's own server and content, for `login`.
    ///
    /// # Panics
    /// Never: the URLs are written down here.
    pub fn new(login: Login) -> Self {
        Self {
            server: RED_HAT.parse().expect("it is a URL"),
            baseurl: CDN.parse().expect("it is a URL"),
            login,
            release: None,
            repositories: Vec::new(),
            authorities: Vec::new(),
            patience: Self::PATIENCE,
        }
    }
}

/// Reads a server as `subscription-manager` does: `HOST[:PORT][/PREFIX]`, or a URL.
///
/// # Errors
/// [`SubscriptionError::Setting`] if it is none, or would be asked without TLS.
pub fn server(text: &str) -> Result<Url, SubscriptionError> {
    let mut url = https("the server", text)?;
    if url.path() == "/" {
        url.set_path(PREFIX);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Reads the base of content in the same way.
///
/// # Errors
/// [`SubscriptionError::Setting`] if it is none, or would be asked without TLS.
pub fn baseurl(text: &str) -> Result<Url, SubscriptionError> {
    let mut url = https("the base URL", text)?;
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn https(what: &'static str, text: &str) -> Result<Url, SubscriptionError> {
    let wrong = |problem: &str| SubscriptionError::Setting { what, problem: problem.to_owned() };
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url: Url = full.parse().map_err(|_| wrong("is no host and no URL"))?;
    if url.scheme() != "https" {
        return Err(wrong("must be asked by https: keys and certificates go there"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong("may have a host, a port and a path, and no more"));
    }
    Ok(url)
}

/// The keys in a text: one on a line, or separated by commas.
pub fn keys(text: &str) -> Vec<Secret> {
    text.split([',', '\n']).map(str::trim).filter(|key| !key.is_empty()).map(Secret::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts_or_urls() {
        let cases = [
            ("subscription.rhsm.redhat.com", "https://subscription.rhsm.redhat.com/subscription"),
            ("satellite.example.org:8443/rhsm", "https://satellite.example.org:8443/rhsm"),
            ("https://satellite.example.org/rhsm/", "https://satellite.example.org/rhsm"),
            (" sat.example.org:443 ", "https://sat.example.org/subscription"),
        ];
        for (text, expected) in cases {
            assert_eq!(server(text).unwrap().as_str(), expected, "{text}");
        }
        assert_eq!(baseurl("cdn.redhat.com").unwrap().as_str(), CDN);
        assert_eq!(baseurl("https://sat/pulp/content").unwrap().as_str(), "https://sat/pulp/content/");
        for text in ["", "http://sat.example.org", "ftp://x", "https://u:p@sat", "sat?x=1", "a b"] {
            let error = server(text).unwrap_err().to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn keys_are_on_lines_or_between_commas() {
        let found = keys("one, two\n\nthree\n");
        assert_eq!(found, ["one", "two", "three"].map(Secret::new));
        assert!(keys(" \n,").is_empty());
    }
}
