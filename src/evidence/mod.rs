//! What is kept beside a finished image: its manifest.

use serde::Serialize;

use crate::disk::{Compression, ExportStats};
use crate::recipe::{Digest, Plan};
use crate::shown;
use crate::source::agent::AgentBundle;
use crate::source::{Base, Origin};
use crate::verify::{Counts, Package, Report};

/// Version of the manifest's format.
pub const VERSION: u32 = 1;

/// Everything a manifest is made of.
#[derive(Debug)]
pub struct ManifestInput<'a, L: Serialize> {
    /// What was carried out.
    pub plan: &'a Plan,
    /// What it started from.
    pub base: &'a Base,
    /// The agent, if any.
    pub agent: Option<&'a AgentBundle>,
    /// Stages and the digests of their layers.
    pub layers: &'a [L],
    /// Packages in the finished image.
    pub packages: &'a [Package],
    /// Outcome of the checks.
    pub report: &'a Report,
    /// The finished file.
    pub export: &'a ExportStats,
    /// How it is compressed.
    pub compression: Compression,
}

/// What an image is made of, for machines: `IMAGE.manifest.json`.
#[derive(Debug)]
pub struct Manifest(String);

#[derive(Serialize)]
struct Document<'a, L: Serialize> {
    version: u32,
    tib: &'static str,
    recipe: RecipePart<'a>,
    os: &'a crate::os::OsRelease,
    base: BasePart<'a>,
    agent: Option<AgentPart<'a>>,
    stages: &'a [L],
    packages: &'a [Package],
    checks: Counts,
    image: ImagePart,
}

#[derive(Serialize)]
struct RecipePart<'a> {
    name: &'a str,
    digest: Digest,
    datastore: Option<&'a str>,
}

#[derive(Serialize)]
struct BasePart<'a> {
    digest: Digest,
    virtual_size: u64,
    origin: &'a Origin,
}

#[derive(Serialize)]
struct AgentPart<'a> {
    name: &'a str,
    version: &'a str,
    files: &'a [crate::source::agent::AgentFile],
}

#[derive(Serialize)]
struct ImagePart {
    sha256: Digest,
    file_size: u64,
    virtual_size: u64,
    format: &'static str,
    compression: Compression,
}

impl Manifest {
    /// Puts the manifest together. Contains no time and no name of the host: equal builds give equal
    /// manifests.
    pub fn new<L: Serialize>(input: &ManifestInput<'_, L>) -> Self {
        let ManifestInput { plan, base, agent, layers, packages, report, export, compression } = *input;
        let document = Document {
            version: VERSION,
            tib: env!("CARGO_PKG_VERSION"),
            recipe: RecipePart {
                name: &plan.recipe,
                digest: plan.recipe_digest,
                datastore: plan.datastore.as_deref(),
            },
            os: &plan.os,
            base: BasePart { digest: base.digest, virtual_size: base.virtual_size, origin: &base.origin },
            agent: agent.map(|agent| AgentPart {
                name: &agent.name,
                version: &agent.version,
                files: &agent.files,
            }),
            stages: layers,
            packages,
            checks: report.counts(),
            image: ImagePart {
                sha256: Digest::from_bytes(export.sha256),
                file_size: export.file_size,
                virtual_size: export.virtual_size,
                format: "qcow2",
                compression,
            },
        };
        // Plain data with text keys always serialises.
        let mut text = shown::json_pretty(&document).unwrap_or_default();
        text.push('\n');
        Self(text)
    }

    /// The text of the file.
    pub fn to_json(&self) -> String {
        self.0.clone()
    }
}
