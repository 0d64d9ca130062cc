//! The Trove guest agent's code: resolved on this host for the guest's Python and platform, every file hashed and
//! cached, laid out as a whole virtual environment. The guest gets one tar, and needs neither index nor network.
//!
//! ```text
//! <cache>/pip                        pip's own cache
//! <cache>/agents/wheels/SHA256.whl   every wheel ever used, by its hash
//! <cache>/agents/locks/KEY.json      what a request was resolved to, and when
//! <cache>/agents/trees/KEY.tar       finished virtual environments
//! ```
//!
//! A resolution is used again without asking the index when it is younger than ten minutes and came from the same
//! index, and always when offline. An exact version makes no difference: what it depends on may change any day.
//!
//! pip's settings on this host (`PIP_INDEX_URL`, proxies, certificates, `pip.conf`) hold as they are.

mod bundle;
mod error;
mod metadata;
mod pip;
mod resolve;
mod series;
mod spec;
mod store;
#[cfg(test)]
mod tests;
mod venv;
mod wheel;

use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::control::Control;
use crate::digest::Digest;
use crate::distro::{Arch, OsRelease};
use crate::recipe::{AgentCode, AgentStep, Content};

pub use bundle::AgentTree;
pub use error::AgentError;
pub use series::Release;

use pip::{HostEnv, Target};
use spec::Origin;
use store::{Lock, Store};

/// What an unknown guest is taken to have: EL 8's, the oldest of any distribution that is still looked after. With
/// less (manylinux2014 is 2.17) today's wheels of lxml and others would not fit.
const OLDEST_GLIBC: (u32, u32) = (2, 28);

/// An agent, and the guest that it is for.
#[derive(Debug, Clone, Copy)]
pub struct AgentRequest<'a> {
    /// What the plan says.
    pub step: &'a AgentStep,
    /// Minor version of the guest's `/usr/bin/python3` (3.x).
    pub python_minor: u8,
    /// The guest's architecture.
    pub arch: Arch,
    /// The guest's glibc ([`glibc_of`]); `None` takes 2.28, the oldest still looked after.
    pub glibc: Option<(u32, u32)>,
    /// Keeps wheels, resolutions and finished agents.
    pub cache: &'a Cache,
    /// Use what the cache holds and nothing else.
    pub offline: bool,
}

/// A wheel of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFile {
    /// File name of the wheel.
    pub file: String,
    /// Distribution.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the wheel.
    pub sha256: Digest,
    /// Length of the wheel in bytes.
    pub size: u64,
    /// Asked for by name, not only needed by another.
    pub requested: bool,
}

/// What an agent was resolved to: all that decides over what the guest gets of it. Byte code is not in it, since it
/// follows from the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedAgent {
    /// The agent's distribution: `trove`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Minor version of the Python it is for.
    pub python_minor: u8,
    /// Which way of laying wheels out.
    pub layout: u32,
    /// The agent and all it needs, by name.
    pub files: Vec<AgentFile>,
}

/// An agent, ready to be unpacked into a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentBundle {
    /// What it is.
    pub agent: ResolvedAgent,
    /// The same, laid out on this host.
    pub tree: AgentTree,
}

impl AgentBundle {
    /// Not one that pip resolved, but of its form.
    #[cfg(test)]
    pub(crate) fn example(compiled: bool) -> Self {
        let wheel = |name: &str, version: &str, size| AgentFile {
            file: format!("{name}-{version}-py3-none-any.whl"),
            name: name.to_owned(),
            version: version.to_owned(),
            sha256: Digest::of(name.as_bytes()),
            size,
            requested: name == "trove",
        };
        Self {
            agent: ResolvedAgent {
                name: "trove".to_owned(),
                version: "26.0.0".to_owned(),
                python_minor: 11,
                layout: bundle::LAYOUT,
                files: vec![wheel("oslo_log", "8.0.0", 75_000), wheel("trove", "26.0.0", 1_200_000)],
            },
            tree: AgentTree {
                path: "/nonexistent/agent.tar".into(),
                sha256: Digest::of(b"tree"),
                size: 9_000_000,
                size_installed: 10_000_000,
                compiled,
            },
        }
    }
}

/// The glibc of an operating system, where it is known.
pub fn glibc_of(os: &OsRelease) -> Option<(u32, u32)> {
    let minor = match (os.id.as_str(), os.release()) {
        ("debian", "11") => 31,
        ("debian", "12") => 36,
        ("debian", "13") => 41,
        ("ubuntu", "22.04") => 35,
        ("ubuntu", "24.04") => 39,
        ("rhel" | "centos" | "rocky" | "almalinux", "8") => 28,
        ("rhel" | "centos" | "rocky" | "almalinux", "9") => 34,
        ("rhel" | "centos" | "rocky" | "almalinux", "10") => 39,
        ("fedora", "43") => 42,
        _ => return None,
    };
    Some((2, minor))
}

/// Whether a source can be an agent: for a path, whether something of the right kind is there.
///
/// # Errors
/// [`AgentError::Source`].
pub fn check_source(source: &AgentCode) -> Result<(), AgentError> {
    Origin::find(source).map(drop)
}

/// Resolves an agent, and lays it out as a tar in the cache.
///
/// # Errors
/// [`AgentError`]; nothing half done stays in the cache.
pub fn resolve(request: &AgentRequest<'_>, control: &Control) -> Result<AgentBundle, AgentError> {
    resolve_in(request, &HostEnv::default(), control)
}

fn resolve_in(
    request: &AgentRequest<'_>,
    env: &HostEnv,
    control: &Control,
) -> Result<AgentBundle, AgentError> {
    let step = request.step;
    if let Some(option) = step.extra.iter().find(|text| text.trim_start().starts_with('-')) {
        return Err(AgentError::Source {
            wanted: option.clone(),
            problem: "an extra requirement cannot be an option".to_owned(),
        });
    }
    let origin = Origin::find(&step.source)?;
    let store = Store::open(request.cache)?;
    let key = key(request, &origin, &control.cancel)?;
    let target = Target {
        minor: request.python_minor,
        arch: request.arch,
        glibc: request.glibc.unwrap_or(OLDEST_GLIBC),
    };
    let lock = match store.lock(key) {
        Some(lock) if request.offline => {
            let missing = store.missing(&lock);
            if !missing.is_empty() {
                return Err(AgentError::Offline { missing: missing.join(", ") });
            }
            lock
        }
        None if request.offline => {
            let missing = format!(
                "a resolution of agent `{}` for Python 3.{} on {}",
                step.source, target.minor, target.arch
            );
            return Err(AgentError::Offline { missing });
        }
        Some(lock) if lock.is_fresh(env) && store.missing(&lock).is_empty() => lock,
        _ => {
            let resolver = resolve::Resolver { request, origin: &origin, target, env, control };
            let lock = resolver.run(&store)?;
            store.save_lock(key, &lock)?;
            lock
        }
    };
    let tree = bundle::tree(request, &store, &lock, env, control)?;
    let Lock { name, version, files, .. } = lock;
    let (python_minor, layout) = (request.python_minor, bundle::LAYOUT);
    Ok(AgentBundle { agent: ResolvedAgent { name, version, python_minor, layout, files }, tree })
}

/// What a resolution is kept under: everything that was asked for, and nothing of how it was answered.
fn key(request: &AgentRequest<'_>, origin: &Origin, cancel: &Cancel) -> Result<Digest, AgentError> {
    let constraints = match &request.step.constraints {
        None | Some(Content::Url(_)) => String::new(),
        Some(Content::Text(text)) => Digest::of(text.as_bytes()).to_string(),
        Some(Content::Host { sha256, .. }) => sha256.to_string(),
    };
    let asked = serde_json::json!({
        "origin": origin.fingerprint(cancel)?,
        "extra": request.step.extra,
        "constraints": constraints,
        "python": request.python_minor,
        "arch": request.arch,
        "glibc": request.glibc.unwrap_or(OLDEST_GLIBC),
    });
    Ok(Digest::of(asked.to_string().as_bytes()))
}
