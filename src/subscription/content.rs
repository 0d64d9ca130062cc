//! From what entitlements give access to, to the repositories of one system.

use std::collections::{BTreeMap, BTreeSet};

use crate::distro::OsRelease;
use crate::fetch::Url;
use crate::packages::{EntitledRepository, TlsClient};

use super::candlepin::Override;
use super::certificate::{ContentSet, Entitlement};
use super::{Subscription, SubscriptionError};

/// Whose content it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct System<'a> {
    pub(super) os: &'a OsRelease,
    /// Tags of the products that are installed in it.
    pub(super) tags: &'a BTreeSet<String>,
    /// The release that the server lets it stay on.
    pub(super) release: Option<&'a str>,
}

impl System<'_> {
    /// What repositories call the release.
    fn release(&self) -> String {
        match (self.release, self.os.release()) {
            (Some(release), _) => release.to_owned(),
            (None, "7") => "7Server".to_owned(),
            (None, release) => release.to_owned(),
        }
    }

    /// Whether content is for what is installed. An image without product certificates counts as plain RHEL.
    fn takes(&self, content: &ContentSet) -> bool {
        let (release, arch) = (self.os.release(), self.os.arch);
        let plain = [format!("rhel-{release}"), format!("rhel-{release}-{arch}")];
        let has = |tag: &String| {
            if self.tags.is_empty() { plain.contains(tag) } else { self.tags.contains(tag) }
        };
        content.kind.eq_ignore_ascii_case("yum")
            && content.path.is_some()
            && content.required_tags.iter().flatten().all(has)
    }
}

/// Repositories that are on for a system, sorted by id. `warn` is told what was asked for and is not done.
///
/// # Errors
/// When none is, or one that was asked for is not there.
pub(super) fn repositories(
    entitlements: &[(Entitlement, TlsClient)],
    overrides: &[Override],
    asked: &Subscription,
    system: System<'_>,
    mut warn: impl FnMut(String),
) -> Result<Vec<EntitledRepository>, SubscriptionError> {
    let mut content: BTreeMap<String, (&ContentSet, &TlsClient)> = BTreeMap::new();
    // What is of the whole organisation first, so that a subscription's own replaces it.
    let (general, own): (Vec<_>, Vec<_>) =
        entitlements.iter().partition(|(entitlement, _)| entitlement.organisation_level);
    for (entitlement, client) in general.into_iter().chain(own) {
        for set in entitlement.content.iter().filter(|set| system.takes(set)) {
            content.insert(id(&set.label), (set, client));
        }
    }
    for name in &asked.repositories {
        if !content.contains_key(name) {
            return Err(SubscriptionError::NoRepository {
                name: name.clone(),
                similar: similar(name, content.keys()),
            });
        }
    }
    let mut found = Vec::new();
    for (id, (set, client)) in &content {
        let setting = |wanted: &str| {
            let of_it =
                overrides.iter().filter(|one| self::id(&one.content_label) == *id && one.name == wanted);
            of_it.filter_map(|one| one.value.as_deref()).next_back()
        };
        let default = set.enabled.unwrap_or(true);
        let is_on = setting("enabled").map_or(default, |value| !matches!(value, "0" | "false" | "no"));
        if !is_on && !asked.repositories.contains(id) {
            continue;
        }
        for check in ["gpgcheck", "sslverify"] {
            if setting(check).is_some_and(|value| matches!(value, "0" | "false" | "no")) {
                warn(format!("the organisation switches `{check}` of `{id}` off, which tib does not do"));
            }
        }
        let path = setting("baseurl").or(set.path.as_deref()).unwrap_or_default();
        let url = join(&asked.baseurl, &expand(path, system))
            .ok_or_else(|| SubscriptionError::NoRepository { name: id.clone(), similar: None })?;
        let keys = setting("gpgkey").or(set.gpg_url.as_deref()).unwrap_or_default();
        found.push(EntitledRepository {
            id: id.clone(),
            name: line(setting("name").unwrap_or(&set.name)),
            url,
            gpg_keys: keys
                .split([',', ' ', '\n'])
                .map(str::trim)
                .filter(|key| !key.is_empty() && !matches!(*key, "http://" | "https://"))
                .filter_map(|key| join(&asked.baseurl, &expand(key, system)))
                .collect(),
            client: Some((*client).clone()),
        });
    }
    if found.is_empty() {
        let system = format!("{} on {}", system.os.pretty, system.os.arch);
        return Err(SubscriptionError::NothingOn { system, available: content.into_keys().collect() });
    }
    Ok(found)
}

/// A label as an id: as `subscription-manager` writes it.
fn id(label: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    label.chars().map(|c| if allowed(c) { c } else { '-' }).collect()
}

/// Names may be anything, and stand on a line of their own.
fn line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn expand(text: &str, system: System<'_>) -> String {
    text.trim().replace("$releasever", &system.release()).replace("$basearch", system.os.arch.name())
}

/// A place below a base, or a URL. `None` for what is neither.
fn join(base: &Url, text: &str) -> Option<String> {
    let url = if text.contains("://") {
        text.parse().ok()?
    } else {
        base.join(text.trim_start_matches('/')).ok()?
    };
    let url: Url = url;
    matches!(url.scheme(), "https" | "http" | "file").then(|| String::from(url))
}

fn similar<'a>(name: &str, all: impl Iterator<Item = &'a String>) -> Option<String> {
    let scored = all.map(|other| (strsim::jaro_winkler(name, other), other));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 > 0.85).then(|| best.1.clone())
}
