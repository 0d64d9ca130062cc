//! What dnf answers: packages that it chose, packages that go, and what it refuses.

use std::path::PathBuf;

use serde::Deserialize;

use super::Resolved;
use super::error::{DnfError, Fault};
use super::host::Refused;
use crate::digest::Digest;
use crate::fetch::redact_text;
use crate::mirror::Replaced;

/// A package that goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Removed {
    pub(crate) name: String,
    version: String,
    arch: String,
    /// It came as a dependency, and nothing needs it any more.
    pub(crate) unneeded: bool,
}

impl Removed {
    /// As rpm knows one package, even where others have its name.
    pub(crate) fn full_name(&self) -> String {
        let version = self.version.rsplit(':').next().unwrap_or(&self.version);
        format!("{}-{version}.{}", self.name, self.arch)
    }
}

/// What dnf answers to a request to install.
#[derive(Debug, Deserialize)]
pub(crate) struct Installed {
    pub(crate) files: Vec<Chosen>,
    pub(crate) present: Vec<String>,
    pub(crate) replaced: Vec<String>,
}

/// A package that dnf chose.
#[derive(Debug, Deserialize)]
pub(crate) struct Chosen {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) arch: String,
    pub(crate) digest: String,
    /// What its repository knows it by, if that is no SHA-256: `sha1-…`.
    pub(crate) alias: Option<String>,
    pub(crate) size: u64,
    pub(crate) installed_size: u64,
    pub(crate) url: String,
    pub(crate) repository: String,
    pub(crate) path: PathBuf,
    pub(crate) fetched: bool,
    pub(crate) requested: bool,
    pub(crate) new: bool,
    pub(crate) beside: bool,
}

/// What dnf answers to a request to remove.
#[derive(Deserialize)]
pub(crate) struct Removal {
    pub(crate) removed: Vec<Removed>,
}

/// What it answers when all metadata is there.
#[derive(Deserialize)]
pub(crate) struct Loaded {
    #[allow(dead_code, reason = "it tells this answer from a refusal")]
    packages: u64,
}

impl Chosen {
    /// The package as a build knows it.
    pub(crate) fn resolved(self, digest: Digest, replaced: &Replaced) -> Resolved {
        Resolved {
            name: self.name,
            version: self.version,
            arch: self.arch,
            digest,
            size: self.size,
            source: redact_text(&replaced.original(&self.url)),
            repository: Some(self.repository),
            installed_size: self.installed_size,
            requested: self.requested,
            new: self.new,
        }
    }
}

/// What dnf refuses, as an error.
pub(crate) fn refusal(doing: &'static str, refused: Refused) -> DnfError {
    let Refused { kind, message, lines, unknown } = refused;
    let message = redact_text(&message);
    let mut lines: Vec<String> =
        lines.iter().map(|line| redact_text(line.trim())).filter(|line| !line.is_empty()).collect();
    // Each attempt says the same.
    lines.dedup();
    match kind.as_str() {
        "unknown" => DnfError::Unknown { unknown },
        "missing" => DnfError::Missing { files: lines },
        "base" | "checksum" => DnfError::Base(message),
        "virtual" => {
            let names: Vec<_> = unknown.iter().map(|package| format!("`{}`", package.name)).collect();
            let others: Vec<_> =
                unknown.iter().flat_map(|package| &package.similar).map(|n| format!("`{n}`")).collect();
            DnfError::Contradiction {
                summary: format!(
                    "{} is no package, only a name that {} provides",
                    names.join(", "),
                    others.join(", ")
                ),
                details: Vec::new(),
                hint: format!("write {}, which is what dnf takes for it", others.join(", ")),
            }
        }
        "dependencies" => {
            let reason = problem(&lines).unwrap_or(&message).to_owned();
            DnfError::Failed { doing, reason, fault: Fault::Dependencies, lines }
        }
        _ => {
            let all: Vec<&str> =
                std::iter::once(message.as_str()).chain(lines.iter().map(String::as_str)).collect();
            let fault = Fault::of(&all);
            let reason = match (kind.as_str(), lines.first()) {
                // The message names the repository, and the line says what happened there.
                ("repository", Some(line)) => format!("{message}: {line}"),
                (_, Some(line)) => line.clone(),
                (_, None) => message,
            };
            DnfError::Failed { doing, reason, fault, lines }
        }
    }
}

/// The line of the solver's that says most.
pub(crate) fn problem(lines: &[String]) -> Option<&str> {
    let first = lines.iter().map(|line| line.trim()).find(|line| !line.is_empty())?;
    Some(first.strip_prefix("Problem: ").unwrap_or(first))
}
