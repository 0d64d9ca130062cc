//! A system registered with Red Hat's subscriptions for as long as a build needs its repositories.
//!
//! All of it happens on this host, over the API of Candlepin, which Red Hat's own server and Satellite speak: a consumer is
//! made for the guest ([`Registration::enter`]), its entitlement certificates are fetched, and what they list becomes
//! [`EntitledRepository`]s. At the end the consumer is taken back, whatever the end is; a process that is killed leaves a
//! record, by which the next one does it ([`clean_up`]).
//!
//! | module | what it does |
//! |---|---|
//! | `request`, `secret` | what is asked for |
//! | `candlepin` | the server's API |
//! | `certificate` | what certificates say |
//! | `content` | which of it is a repository of this system |
//! | `record` | who is registered where |
//! | `known` | what was found before, for builds that ask nobody |
//!
//! Nothing is ever attached to a consumer: with Simple Content Access there is nothing to attach, and without it the
//! activation key brings what it should.

mod candlepin;
mod certificate;
mod content;
mod error;
mod known;
mod record;
mod request;
mod secret;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::cache::{Cache, WorkDir};
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::{DiskError, Tree};
use crate::distro::OsRelease;
use crate::fetch::{self, ClientIdentity};
use crate::os::files;
use crate::packages::{EntitledRepository, TlsClient};

use candlepin::{Candlepin, Consumer, Pair};
pub use certificate::{ContentSet, Entitlement, InstalledProduct, Malformed, entitlement, products};
use content::System;
pub use error::SubscriptionError;
pub use known::known;
pub use record::clean_up;
use record::{Effort, Kept, Record};
pub use request::{Login, Subscription, baseurl, keys, server};
pub use secret::Secret;

/// Where a host that is RHEL itself keeps authorities of Red Hat's servers.
const HOST_AUTHORITIES: &str = "/etc/rhsm/ca";
/// Where an image keeps the certificates of installed products.
const PRODUCTS: [&str; 2] = ["/etc/pki/product/*.pem", "/etc/pki/product-default/*.pem"];

/// Whether registering makes sense for a system.
pub fn has_subscriptions(os: &OsRelease) -> bool {
    os.id == "rhel"
}

/// The products that are installed in an image. Certificates that cannot be read are left out, as the guest's own tools do.
///
/// # Errors
/// When the image cannot be read.
pub fn installed_products(tree: &mut dyn Tree) -> Result<Vec<InstalledProduct>, DiskError> {
    let mut found = Vec::new();
    for pattern in PRODUCTS {
        for path in files::glob(tree, pattern.as_bytes())? {
            if let Some(pem) = files::read_optional(tree, &path)? {
                found.extend(products(&pem).unwrap_or_default());
            }
        }
    }
    Ok(found)
}

/// A consumer that is registered. It is taken back by [`leave`](Self::leave), or when this is dropped.
#[derive(Debug)]
pub struct Registration {
    repositories: Vec<EntitledRepository>,
    /// The certificates and keys, which go with it.
    work: WorkDir,
    consumer: Option<(Record, Kept)>,
    control: Control,
}

impl Registration {
    /// Registers a system that has the operating system and products of a guest, and finds out what it may read.
    ///
    /// # Errors
    /// [`SubscriptionError`]. Nothing is registered then, or a record of it is left and told of.
    pub fn enter(
        asked: &Subscription,
        os: &OsRelease,
        products: &[InstalledProduct],
        cache: &Cache,
        control: &Control,
    ) -> Result<Self, SubscriptionError> {
        let work = cache.work()?;
        let authorities = authorities(asked, Path::new(HOST_AUTHORITIES))?;
        let mut options = fetch::Options { stall_timeout: asked.patience, ..fetch::Options::default() };
        if !authorities.is_empty() {
            options.roots.push(authorities.clone().into_bytes());
        }
        let secrets = asked.login.secrets();
        let anonymous = Candlepin::new(&asked.server, options.clone(), None, secrets, control)?;
        anonymous.status()?;
        let org = organisation(&anonymous, &asked.login)?;
        let consumer = Consumer {
            name: name(&work),
            arch: os.arch.name().to_owned(),
            distribution: ("Red Hat Enterprise Linux".to_owned(), os.version.clone()),
            products: products.to_vec(),
        };
        let registered = anonymous.register(&asked.login, &org, &consumer)?;
        if !record::is_identifier(&registered.uuid) {
            return Err(SubscriptionError::Answer {
                server: asked.server.to_string(),
                what: "register the system",
                problem: "the id of the consumer is none".to_owned(),
            });
        }
        let record = Record {
            server: asked.server.to_string(),
            uuid: registered.uuid.clone(),
            name: consumer.name.clone(),
            certificate: registered.id_cert.cert.clone(),
            key: registered.id_cert.key.clone(),
            authorities: authorities.clone(),
        };
        let kept = match record.keep(cache) {
            Ok(kept) => kept,
            Err(error) => {
                // What cannot be written down must not stay.
                let _ = record.unregister(Effort::Full, control);
                return Err(error);
            }
        };
        // From here on every way out takes the consumer back.
        let mut registration =
            Self { repositories: Vec::new(), work, consumer: Some((record, kept)), control: control.clone() };
        let identity = ClientIdentity::new(&registered.id_cert.cert, &registered.id_cert.key);
        let known = Candlepin::new(&asked.server, options, Some(identity), secrets, control)?;
        let mut release = registered.release_ver.and_then(|release| release.release_ver);
        if let Some(wanted) = &asked.release {
            known.set_release(&registered.uuid, wanted)?;
            release = Some(wanted.clone());
        }
        let certificates = known.certificates(&registered.uuid)?;
        let org = registered.owner.map_or(org, |owner| owner.key);
        let entitlements = registration.unpack(&certificates, &authorities, &org)?;
        let overrides = known.overrides(&registered.uuid)?;
        let tags: BTreeSet<String> = products.iter().flat_map(|product| product.tags.clone()).collect();
        let system = System { os, tags: &tags, release: release.as_deref().filter(|text| !text.is_empty()) };
        let warn = |text| control.events.warning(text);
        registration.repositories = content::repositories(&entitlements, &overrides, asked, system, warn)?;
        known::keep(asked, os, &registration.repositories, cache, &registration.work)?;
        let ids: Vec<_> = registration.repositories.iter().map(|one| one.id.as_str()).collect();
        control.events.note(format!(
            "registered at `{}` as `{}`; repositories: {}",
            asked.server,
            consumer.name,
            ids.join(", ")
        ));
        Ok(registration)
    }

    /// The repositories that are on for the system. Their files are there while this lives.
    pub fn repositories(&self) -> &[EntitledRepository] {
        &self.repositories
    }

    /// What decides over the packages that a guest gets from the repositories by itself: where they are.
    ///
    /// # Panics
    /// Never: texts always serialise.
    pub fn digest(&self) -> Digest {
        let places: Vec<_> = self.repositories.iter().map(|one| (&one.id, &one.url)).collect();
        Digest::of(&serde_json::to_vec(&places).expect("texts always serialise"))
    }

    /// Takes the consumer back. If the server does not let it go, a warning says so, and the next run tries again.
    pub fn leave(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some((record, kept)) = self.consumer.take() else { return };
        let effort = if self.control.cancel.is_raised() { Effort::Hurried } else { Effort::Full };
        match record.unregister(effort, &self.control) {
            Ok(()) => kept.forget(),
            Err(error) => self.control.events.warning(format!(
                "`{}` is still registered at `{}`: {}; the next run of tib unregisters it, by `{}`",
                record.name,
                record.server,
                crate::error::Failure::from(error),
                kept.path().display()
            )),
        }
    }

    /// Reads the certificates, and writes those that list content where programs find them.
    fn unpack(
        &self,
        certificates: &[Pair],
        authorities: &str,
        org: &str,
    ) -> Result<Vec<(Entitlement, TlsClient)>, SubscriptionError> {
        let directory = self.work.path();
        let bundle = (!authorities.is_empty()).then(|| directory.join("authorities.pem"));
        if let Some(path) = &bundle {
            write_private(path, authorities)?;
        }
        let mut entitlements = Vec::new();
        for (number, pair) in certificates.iter().enumerate() {
            let entitlement = entitlement(pair.cert.as_bytes()).map_err(|source| {
                let what = format!("entitlement certificate {} of {}", number + 1, certificates.len());
                SubscriptionError::Certificate { what, source }
            })?;
            let client = TlsClient {
                certificate: directory.join(format!("entitlement-{number}.pem")),
                key: directory.join(format!("entitlement-{number}-key.pem")),
                authorities: bundle.clone(),
            };
            write_private(&client.certificate, &pair.cert)?;
            write_private(&client.key, &pair.key)?;
            entitlements.push((entitlement, client));
        }
        match entitlements.iter().any(|(entitlement, _)| !entitlement.content.is_empty()) {
            true => Ok(entitlements),
            false => Err(SubscriptionError::NoContent { org: org.to_owned() }),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end();
    }
}

/// The organisation to register with.
fn organisation(server: &Candlepin, login: &Login) -> Result<String, SubscriptionError> {
    let (user, password) = match login {
        Login::Keys { org, .. } | Login::User { org: Some(org), .. } => return Ok(org.clone()),
        Login::User { user, password, org: None } => (user, password),
    };
    let mut all = server.organisations(user, password)?;
    match all.len() {
        1 => Ok(all.remove(0)),
        _ => Err(SubscriptionError::Organisation(all)),
    }
}

/// What the consumer is called: nothing of this host, and nothing twice at the same time.
fn name(work: &WorkDir) -> String {
    let unique = format!("{} {}", work.path().display(), crate::clock::now());
    format!("tib-build-{}", Digest::of(unique.as_bytes()).short())
}

/// Authorities that are trusted beside the system's, in PEM: those that were given, and those of a host that is RHEL itself.
fn authorities(asked: &Subscription, of_host: &Path) -> Result<String, SubscriptionError> {
    let wrong =
        |problem: &str| SubscriptionError::Setting { what: "the authority", problem: problem.to_owned() };
    let given = std::str::from_utf8(&asked.authorities).map_err(|_| wrong("is no PEM"))?;
    if !given.is_empty() && !given.contains("-----BEGIN CERTIFICATE-----") {
        return Err(wrong("holds no certificate in PEM"));
    }
    let mut text = given.to_owned();
    for entry in fs_err::read_dir(of_host).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "pem")
            && let Ok(more) = fs_err::read_to_string(&path)
        {
            text.push('\n');
            text.push_str(&more);
        }
    }
    Ok(text)
}

fn write_private(path: &Path, text: &str) -> Result<(), SubscriptionError> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(SubscriptionError::io("create", path))?;
    file.write_all(text.as_bytes()).map_err(SubscriptionError::io("write", path))
}
