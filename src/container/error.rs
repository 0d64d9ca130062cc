//! What can go wrong with container images.

use std::io;
use std::path::{Path, PathBuf};

use crate::cache::CacheError;
use crate::cancel::Cancelled;
use crate::digest::Digest;
use crate::error::{Diagnose, Exit, io_exit};
use crate::fetch::{FetchError, Problem};

/// A container image could not be had, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The registry did not deliver.
    #[error("cannot get container image {image}")]
    Fetch {
        /// The image.
        image: String,
        /// Why.
        source: FetchError,
    },
    /// The registry does not let us have it.
    #[error("registry {registry} refuses container image {image}: {reason}")]
    Refused {
        /// The registry.
        registry: String,
        /// The image.
        image: String,
        /// What it said, and what it was told.
        reason: String,
        /// A program that knows passwords for it, which tib does not run.
        helper: Option<String>,
    },
    /// The registry has had enough of us.
    #[error("registry {registry} lets nobody have more for now (429) of container image {image}")]
    RateLimited {
        /// The registry.
        registry: String,
        /// The image.
        image: String,
    },
    /// There is no such image.
    #[error("there is no container image {image}{}", of(known))]
    Missing {
        /// The image.
        image: String,
        /// What there is in its place.
        known: Vec<String>,
    },
    /// A layout or archive holds several images, and nobody said which one is meant.
    #[error("`{place}` holds several container images: {}", known.join(", "))]
    Several {
        /// The layout or archive.
        place: String,
        /// The images.
        known: Vec<String>,
    },
    /// There is none for the guest's architecture.
    #[error("container image {image} is not for {wanted}, but for {}", found.join(", "))]
    Architecture {
        /// The image.
        image: String,
        /// The guest's.
        wanted: String,
        /// What there is.
        found: Vec<String>,
    },
    /// Bytes are not what a digest says.
    #[error(
        "{what} of container image {image} is not what it should be: sha256:{found} instead of sha256:{expected}"
    )]
    WrongDigest {
        /// The image.
        image: String,
        /// Which part of it.
        what: String,
        /// What it should have.
        expected: Digest,
        /// What it has.
        found: Digest,
    },
    /// It is of a kind that docker could not be given.
    #[error("container image {image} cannot be embedded: {reason}")]
    Unsupported {
        /// The image.
        image: String,
        /// What it is.
        reason: String,
    },
    /// Its description makes no sense.
    #[error("{what} of container image {image} makes no sense: {reason}")]
    Malformed {
        /// The image.
        image: String,
        /// What makes no sense.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A layout or archive of this host cannot be read.
    #[error("cannot read container images from `{}`: {reason}", path.display())]
    Source {
        /// The layout or archive.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is not in the cache, and no connection may be opened.
    #[error("container image {image} is not in the cache, and the build is offline")]
    Offline {
        /// The image.
        image: String,
    },
    /// What lies in the cache is damaged.
    #[error("{what} of container image {image} is damaged in the cache and has been removed")]
    Damaged {
        /// The image.
        image: String,
        /// Which part.
        what: String,
    },
    /// A file with logins cannot be understood.
    #[error("cannot read logins of registries from `{}`: {reason}", path.display())]
    Logins {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn of(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; there are: {}", known.join(", ")) }
}

impl ContainerError {
    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// What becomes of an error of the network.
    pub(crate) fn fetch(registry: &str, image: &str, source: FetchError) -> Self {
        let (registry, image) = (registry.to_owned(), image.to_owned());
        match source {
            FetchError::Cancelled(cancelled) => cancelled.into(),
            FetchError::Failed { ref tried, .. }
                if tried.iter().any(|t| matches!(t.problem, Problem::Status { code: 429, .. })) =>
            {
                Self::RateLimited { registry, image }
            }
            source => Self::Fetch { image, source },
        }
    }
}

impl Diagnose for ContainerError {
    fn exit(&self) -> Exit {
        match self {
            Self::Fetch { source, .. } => source.exit(),
            Self::Refused { .. } | Self::RateLimited { .. } | Self::Offline { .. } => Exit::Network,
            Self::Missing { .. }
            | Self::Several { .. }
            | Self::Architecture { .. }
            | Self::Unsupported { .. }
            | Self::Logins { .. }
            | Self::Source { .. } => Exit::Usage,
            Self::WrongDigest { .. } | Self::Malformed { .. } | Self::Damaged { .. } => Exit::Integrity,
            Self::Io { source, .. } => io_exit(source, Exit::Host),
            Self::Cache(error) => error.exit(),
            Self::Cancelled(_) => Exit::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Fetch { source: FetchError::Failed { tried, .. }, .. }
                if tried.iter().any(|t| matches!(t.problem, Problem::Connect(_) | Problem::Tls(_))) =>
            {
                "check the registry's name and the proxy (https_proxy, no_proxy); only registries of this host (localhost, \
                 127.0.0.1) are asked without TLS, others need a certificate that this host trusts (SSL_CERT_FILE)"
            }
            Self::Fetch { source, .. } => return source.hint(),
            Self::Refused { helper: Some(helper), .. } => {
                return Some(format!(
                    "the login is kept by `{helper}`, which tib does not run: write one into a file with \
                     `podman login --authfile FILE`, and name that in REGISTRY_AUTH_FILE"
                ));
            }
            Self::Refused { .. } => {
                "check the name: registries say the same of images that are not there; for one that needs a login, let \
                 `docker login` or `podman login` write it (~/.docker/config.json, REGISTRY_AUTH_FILE)"
            }
            Self::RateLimited { .. } => {
                "wait, or log in (`docker login`), which Docker Hub allows more; or take the image from another registry \
                 with `NAME=docker://…`. What has arrived is kept"
            }
            Self::Missing { known, .. } if known.is_empty() => "check the name and the tag",
            Self::Missing { .. } | Self::Several { .. } => "name one of them behind the path, `oci:DIR:TAG`",
            Self::Architecture { .. } => "take an image, or a tag, that is made for the guest's architecture",
            Self::WrongDigest { .. } => {
                "nothing of it was kept; if it happens again, the registry or something on the way changes it"
            }
            Self::Unsupported { .. } => "take an image that docker or podman can pull and save today",
            Self::Malformed { .. } => "report it to where the image comes from",
            Self::Source { .. } => {
                "give what `skopeo copy` writes as `oci:DIR` or `docker-archive:FILE`, or what `docker save` does"
            }
            Self::Offline { .. } => "build once without `--offline`",
            Self::Damaged { .. } => "run the command again, which fetches it anew",
            Self::Logins { .. } => "correct the file, or name another one in REGISTRY_AUTH_FILE",
            Self::Cache(error) => return error.hint(),
            Self::Io { .. } | Self::Cancelled(_) => return None,
        };
        Some(hint.to_owned())
    }
}
