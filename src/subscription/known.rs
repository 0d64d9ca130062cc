//! Which repositories a subscription opened before: for builds that ask nobody, and so cannot register.

use serde::{Deserialize, Serialize};

use crate::cache::{Bucket, Cache, WorkDir};
use crate::digest::Digest;
use crate::distro::OsRelease;
use crate::packages::EntitledRepository;

use super::{Login, Subscription, SubscriptionError};

/// What is kept of a repository: nothing that opens it.
#[derive(Serialize, Deserialize)]
struct Known {
    id: String,
    name: String,
    url: String,
    gpg_keys: Vec<String>,
}

/// The repositories that an earlier build found for the same subscription and system, without what opens them. `None` if there was none.
pub fn known(asked: &Subscription, os: &OsRelease, cache: &Cache) -> Option<Vec<EntitledRepository>> {
    let known: Vec<Known> = cache.read_note(Bucket::Entitled, &key(asked, os))?;
    let of = |Known { id, name, url, gpg_keys }| EntitledRepository { id, name, url, gpg_keys, client: None };
    Some(known.into_iter().map(of).collect())
}

/// Keeps them for [`known`].
pub(super) fn keep(
    asked: &Subscription,
    os: &OsRelease,
    repositories: &[EntitledRepository],
    cache: &Cache,
    work: &WorkDir,
) -> Result<(), SubscriptionError> {
    let directory = cache.directory(Bucket::Entitled);
    fs_err::create_dir_all(&directory).map_err(SubscriptionError::io("create", directory))?;
    let of = |repository: &EntitledRepository| {
        let EntitledRepository { id, name, url, gpg_keys, client: _ } = repository.clone();
        Known { id, name, url, gpg_keys }
    };
    let known: Vec<_> = repositories.iter().map(of).collect();
    Ok(cache.write_note(work, Bucket::Entitled, &key(asked, os), &known)?)
}

/// What decides over them, as far as that is known here, and no secret.
fn key(asked: &Subscription, os: &OsRelease) -> String {
    let Subscription { server, baseurl, login, release, repositories, authorities: _, patience: _ } = asked;
    let who = match login {
        Login::Keys { org, .. } => (Some(org), None),
        Login::User { user, org, .. } => (org.as_ref(), Some(user)),
    };
    let all = (server.as_str(), baseurl.as_str(), who, release, repositories, os.label(), os.arch);
    Digest::of(&serde_json::to_vec(&all).unwrap_or_default()).to_string()
}
