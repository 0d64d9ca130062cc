//! Candlepin's API, as far as a build needs it. Red Hat's own server and Satellite speak it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::control::Control;
use crate::fetch::{self, Call, ClientIdentity, FetchError, Fetcher, Problem, Reply, Url, Verb};

use super::certificate::InstalledProduct;
use super::{Login, Secret, SubscriptionError};

/// Bytes of an answer. Certificates of large organisations have some millions.
const LARGEST: u64 = 64 << 20;
/// Characters of a server's message that are repeated.
const LONGEST_MESSAGE: usize = 500;

type Result<T, E = SubscriptionError> = std::result::Result<T, E>;

/// A server of subscriptions.
#[derive(Debug)]
pub(super) struct Candlepin {
    fetcher: Fetcher,
    server: Url,
    /// What must not be repeated, whoever says it.
    secrets: Vec<Secret>,
}

/// What the system to register is like.
#[derive(Debug, Clone, Default)]
pub(super) struct Consumer {
    /// What it is called there.
    pub(super) name: String,
    /// The kernel's name of its architecture.
    pub(super) arch: String,
    /// The distribution's name, and its version.
    pub(super) distribution: (String, String),
    /// What is installed.
    pub(super) products: Vec<InstalledProduct>,
}

/// A consumer that the server has just made.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    pub(super) uuid: String,
    pub(super) id_cert: Pair,
    #[serde(default)]
    pub(super) owner: Option<Owner>,
    #[serde(default)]
    pub(super) release_ver: Option<Release>,
}

/// A certificate and its key, in PEM.
#[derive(Deserialize)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

/// An organisation.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Owner {
    pub(super) key: String,
}

/// The release that a consumer stays on.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Release {
    #[serde(default)]
    pub(super) release_ver: Option<String>,
}

/// A setting of a repository that the organisation has changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Override {
    pub(super) content_label: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: Option<String>,
}

/// What Candlepin says of an error. Its forms have changed over the years, and Satellite has its own.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    #[serde(default)]
    display_message: Option<String>,
    #[serde(default)]
    errors: Option<Vec<String>>,
    #[serde(default, rename = "error_description")]
    description: Option<String>,
}

impl Candlepin {
    /// A client of the server, with nothing to show yet or a consumer's certificate.
    pub(super) fn new(
        server: &Url,
        options: fetch::Options,
        identity: Option<ClientIdentity>,
        secrets: &[Secret],
        control: &Control,
    ) -> Result<Self> {
        let fetcher = Fetcher::new(fetch::Options { identity, ..options }, control)?;
        Ok(Self { fetcher, server: server.clone(), secrets: secrets.to_vec() })
    }

    /// Whether somebody is there who speaks the language: found out before anything is made there.
    pub(super) fn status(&self) -> Result<()> {
        self.read::<serde_json::Map<_, _>>("ask the server of subscriptions", &["status"]).map(drop)
    }

    /// Keys of the organisations that a user belongs to.
    pub(super) fn organisations(&self, user: &str, password: &Secret) -> Result<Vec<String>> {
        const WHAT: &str = "list organisations";
        let url = self.url(&["users", user, "owners"]);
        let call = Call { login: Some((user, password.reveal())), ..self.call(Verb::Get, &url, WHAT) };
        let owners: Vec<Option<Owner>> = self.parse(WHAT, &self.ask(WHAT, &call)?)?;
        Ok(owners.into_iter().flatten().map(|owner| owner.key).collect())
    }

    /// Registers a system.
    pub(super) fn register(&self, login: &Login, org: &str, consumer: &Consumer) -> Result<Registered> {
        const WHAT: &str = "register the system";
        let mut url = self.url(&["consumers"]);
        url.query_pairs_mut().append_pair("owner", org);
        let mut user = None;
        match login {
            Login::Keys { keys, .. } => {
                let keys: Vec<&str> = keys.iter().map(Secret::reveal).collect();
                url.query_pairs_mut().append_pair("activation_keys", &keys.join(","));
            }
            Login::User { user: name, password, .. } => user = Some((name.as_str(), password.reveal())),
        }
        let body = consumer.json();
        let call = Call { login: user, body: Some(&body), ..self.call(Verb::Post, &url, WHAT) };
        let unsure = |source| SubscriptionError::Unsure {
            server: self.server.to_string(),
            name: consumer.name.clone(),
            source,
        };
        let reply = self.fetcher.call(&call).map_err(|error| match error {
            error if may_have_happened(&error) => unsure(error),
            error => error.into(),
        })?;
        self.parse(WHAT, &self.judge(WHAT, reply)?)
    }

    /// Lets the consumer stay on a minor release.
    pub(super) fn set_release(&self, uuid: &str, release: &str) -> Result<()> {
        const WHAT: &str = "set the release";
        let url = self.url(&["consumers", uuid]);
        let body = json!({ "releaseVer": release }).to_string();
        let call = Call { body: Some(&body), ..self.call(Verb::Put, &url, WHAT) };
        self.ask(WHAT, &call).map(drop)
    }

    /// All certificates that give access to content.
    pub(super) fn certificates(&self, uuid: &str) -> Result<Vec<Pair>> {
        self.read("fetch entitlement certificates", &["consumers", uuid, "certificates"])
    }

    /// What the organisation has changed in its repositories.
    pub(super) fn overrides(&self, uuid: &str) -> Result<Vec<Override>> {
        self.read("fetch settings of repositories", &["consumers", uuid, "content_overrides"])
    }

    /// Takes the consumer back. One that is gone already is gone.
    pub(super) fn unregister(&self, uuid: &str) -> Result<()> {
        const WHAT: &str = "unregister the system";
        let url = self.url(&["consumers", uuid]);
        let reply = self.fetcher.call(&self.call(Verb::Delete, &url, WHAT))?;
        if reply.status == 410 { Ok(()) } else { self.judge(WHAT, reply).map(drop) }
    }

    fn read<T: DeserializeOwned>(&self, what: &'static str, path: &[&str]) -> Result<T> {
        let url = self.url(path);
        self.parse(what, &self.ask(what, &self.call(Verb::Get, &url, what))?)
    }

    fn ask(&self, what: &'static str, call: &Call<'_>) -> Result<Reply> {
        let reply = self.fetcher.call(call)?;
        self.judge(what, reply)
    }

    fn call<'a>(&self, verb: Verb, url: &'a Url, what: &'a str) -> Call<'a> {
        Call { verb, url, what, body: None, login: None, limit: LARGEST }
    }

    /// Turns every status that is no success into an error.
    fn judge(&self, what: &'static str, reply: Reply) -> Result<Reply> {
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let complaint: Complaint = serde_json::from_slice(&reply.bytes).unwrap_or_default();
        let message = complaint
            .display_message
            .or_else(|| complaint.errors.map(|errors| errors.join(" ")))
            .or(complaint.description)
            .map(|message| message.chars().take(LONGEST_MESSAGE).collect::<String>());
        // The key that is wrong is often quoted.
        let message = message.map(|text| self.secrets.iter().fold(text, |text, secret| secret.redact(&text)));
        Err(SubscriptionError::Refused {
            what,
            server: self.server.to_string(),
            status: reply.status,
            message,
        })
    }

    fn parse<T: DeserializeOwned>(&self, what: &'static str, reply: &Reply) -> Result<T> {
        serde_json::from_slice(&reply.bytes).map_err(|error| SubscriptionError::Answer {
            server: self.server.to_string(),
            what,
            // The text itself may hold keys.
            problem: format!("{:?} at line {}, column {}", error.classify(), error.line(), error.column()),
        })
    }

    /// A resource of the server.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// Whether the server may have done what it was asked.
fn may_have_happened(error: &FetchError) -> bool {
    let FetchError::Failed { tried, .. } = error else { return matches!(error, FetchError::Cancelled(_)) };
    tried.iter().any(|tried| match &tried.problem {
        Problem::Stalled(_) | Problem::Broken(_) | Problem::TooLarge { .. } => true,
        Problem::Status { code, .. } => !matches!(code, 429 | 503),
        _ => false,
    })
}

impl Consumer {
    /// What a client tells of a system. It is enough for the server to decide which content fits.
    fn json(&self) -> String {
        let products = self.products.iter().map(|product| {
            json!({
                "productId": product.id, "productName": product.name,
                "version": product.version, "arch": product.arch,
            })
        });
        let tags: std::collections::BTreeSet<_> =
            self.products.iter().flat_map(|product| &product.tags).collect();
        json!({
            "type": "system",
            "name": self.name,
            "facts": {
                "uname.machine": self.arch,
                "lscpu.architecture": self.arch,
                "distribution.name": self.distribution.0,
                "distribution.version": self.distribution.1,
                "network.hostname": self.name,
                "cpu.cpu_socket(s)": "1",
                "virt.is_guest": "true",
                "virt.host_type": "kvm",
                // What version of entitlement certificates is understood.
                "system.certificate_version": "3.2",
            },
            "installedProducts": products.collect::<Vec<_>>(),
            "contentTags": tags,
        })
        .to_string()
    }
}
