//! What is kept beside a finished image: its manifest.

use serde::Serialize;

mod beside;

use crate::agent;
use crate::agent::{AgentFile, ResolvedAgent};
use crate::cache::Origin;
use crate::check::{Check, Listens};
use crate::digest::Digest;
use crate::disk::{Compression, ExportStats};
use crate::distro::OsRelease;
use crate::os::Package;
use crate::recipe::{ArtifactSource, ArtifactStep, Container, ContainerSource, Content, IdentityRule, Plan};
use crate::report::{Counts, Report};
use crate::shown;

pub use beside::{Beside, beside};

/// Version of the manifest's format.
pub const VERSION: u32 = 1;

/// Everything a manifest is made of.
#[derive(Debug)]
pub struct ManifestInput<'a> {
    /// What was carried out.
    pub plan: &'a Plan,
    /// SHA-256 of the disk's file it started from.
    pub base: Digest,
    /// The size of that disk in bytes.
    pub base_size: u64,
    /// Where it came from.
    pub origin: &'a Origin,
    /// The agent, if any.
    pub agent: Option<&'a ResolvedAgent>,
    /// The package that is the agent, if it comes as one.
    pub agent_package: Option<&'a str>,
    /// The stages, in order.
    pub stages: Vec<StageDigest<'a>>,
    /// Packages in the finished image.
    pub packages: &'a [Package],
    /// Outcome of the checks.
    pub report: &'a Report,
    /// The finished file.
    pub export: &'a ExportStats,
    /// How it is compressed.
    pub compression: Compression,
}

/// A stage, and the digest over everything that went into it.
#[derive(Debug, Serialize)]
pub struct StageDigest<'a> {
    /// Its name.
    pub stage: &'a str,
    /// The digest that names its layer.
    pub digest: Digest,
}

/// What an image is made of, for machines: `IMAGE.manifest.json`.
#[derive(Debug)]
pub struct Manifest(String);

/// Everything but `recorded` is the same for equal builds.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    tib: &'static str,
    recipe: RecipePart<'a>,
    os: &'a OsRelease,
    base: BasePart,
    agent: Option<AgentPart<'a>>,
    /// Files that a person has brought.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<ArtifactPart<'a>>,
    /// False where the licence of an artifact does not let the image be passed on.
    #[serde(skip_serializing_if = "is_true")]
    redistributable: bool,
    /// Container images of databases that are in the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<ContainerPart<'a>>,
    stages: Vec<StageDigest<'a>>,
    packages: &'a [Package],
    checks: Counts,
    /// What an instance listens on, as far as the recipe says.
    listens: Vec<Listens>,
    /// What sealing took out because the recipe says so.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    identities: &'a [IdentityRule],
    image: ImagePart,
    recorded: Recorded<'a>,
}

#[derive(Serialize)]
struct RecipePart<'a> {
    name: &'a str,
    digest: Digest,
    datastore: Option<&'a str>,
}

#[derive(Serialize)]
struct BasePart {
    digest: Digest,
    virtual_size: u64,
}

#[derive(Serialize)]
struct AgentPart<'a> {
    name: &'a str,
    version: &'a str,
    /// The release of OpenStack that this version belongs to, if it is one of Trove's that is known.
    release: Option<&'static str>,
    /// As `--agent` takes it; of code on the host only that it is that.
    source: String,
    /// Of a repository of git.
    commit: Option<&'a str>,
    /// SHA-256 of what the requirements were constrained by.
    constraints: Option<Digest>,
    /// SHA-256 of the list that took the place of its own requirements.
    requirements: Option<Digest>,
    files: Vec<WheelPart<'a>>,
}

impl<'a> AgentPart<'a> {
    /// Code that was resolved.
    fn of(agent: &'a ResolvedAgent, plan: &'a Plan) -> Self {
        let digest = |content: &Option<Content>| match content {
            Some(Content::Host { sha256, .. }) => Some(*sha256),
            Some(Content::Text(text)) => Some(Digest::of(text.as_bytes())),
            None | Some(Content::Url(_)) => None,
        };
        let step = plan.agent();
        Self {
            name: &agent.name,
            version: &agent.version,
            release: agent.release(),
            source: step.map_or_else(String::new, |step| step.source.anywhere().to_string()),
            commit: step.and_then(|step| step.commit.as_deref()),
            constraints: step.and_then(|step| digest(&step.constraints)),
            requirements: step.and_then(|step| digest(&step.requirements)),
            files: agent.files.iter().map(WheelPart::of).collect(),
        }
    }

    /// A package, which is among the others as well.
    fn of_package(package: &'a Package) -> Self {
        Self {
            name: &package.name,
            version: &package.version,
            release: agent::release_of_package(&package.version),
            source: "package".to_owned(),
            commit: None,
            constraints: None,
            requirements: None,
            files: Vec::new(),
        }
    }
}

fn is_true(value: &bool) -> bool {
    *value
}

#[derive(Serialize)]
struct ArtifactPart<'a> {
    name: &'a str,
    sha256: Digest,
    size: u64,
    /// A URL without what may be secret in it, or that it was a file of the host.
    source: String,
    license: Option<&'a str>,
}

impl<'a> ArtifactPart<'a> {
    fn of(step: &'a ArtifactStep) -> Option<Self> {
        let found = step.found.as_ref()?;
        let source = match &found.source {
            ArtifactSource::File(_) => "file".to_owned(),
            ArtifactSource::Url(_) => found.source.shown(),
        };
        let license = step.license.as_deref();
        Some(Self { name: &step.name, sha256: found.sha256, size: found.size, source, license })
    }
}

#[derive(Serialize)]
struct ContainerPart<'a> {
    name: &'a str,
    /// A registry's image, or what kind of file of the host it was.
    source: String,
    digest: Option<Digest>,
    id: Digest,
}

impl<'a> ContainerPart<'a> {
    fn of(container: &'a Container) -> Self {
        let Container { name, source, digest, id, .. } = container;
        let source = match source {
            ContainerSource::Registry(_) => source.to_string(),
            ContainerSource::OciLayout(_) => "oci".to_owned(),
            ContainerSource::DockerArchive(_) => "docker-archive".to_owned(),
        };
        Self { name, source, digest: *digest, id: *id }
    }
}

#[derive(Serialize)]
struct WheelPart<'a> {
    file: &'a str,
    name: &'a str,
    version: &'a str,
    sha256: Digest,
    size: u64,
}

impl<'a> WheelPart<'a> {
    fn of(wheel: &'a AgentFile) -> Self {
        let AgentFile { file, name, version, sha256, size, .. } = wheel;
        Self { file, name, version, sha256: *sha256, size: *size }
    }
}

#[derive(Serialize)]
struct ImagePart {
    format: &'static str,
    compression: Compression,
    virtual_size: u64,
    /// Glance's: GiB, and MiB.
    min_disk: u64,
    min_ram: u64,
}

/// What another build of the same may say differently: which way its base came here and when, and the file it made,
/// which holds times of files written in the guest.
#[derive(Serialize)]
struct Recorded<'a> {
    origin: &'a Origin,
    image: FilePart,
}

#[derive(Serialize)]
struct FilePart {
    sha256: Digest,
    size: u64,
}

impl Manifest {
    /// Puts the manifest together. What depends on the moment or the host is in `recorded` alone.
    ///
    /// # Panics
    /// Never: plain data with text keys always serialises.
    pub fn new(input: ManifestInput<'_>) -> Self {
        let ManifestInput { plan, agent, stages, packages, report, export, .. } = input;
        let document = Document {
            version: VERSION,
            tib: env!("CARGO_PKG_VERSION"),
            recipe: RecipePart {
                name: &plan.recipe,
                digest: plan.recipe_digest,
                datastore: plan.datastore.as_deref(),
            },
            os: &plan.os,
            base: BasePart { digest: input.base, virtual_size: input.base_size },
            agent: agent.map(|agent| AgentPart::of(agent, plan)).or_else(|| {
                let name = input.agent_package?;
                packages.iter().find(|package| package.name == name).map(AgentPart::of_package)
            }),
            artifacts: plan.artifacts().filter_map(ArtifactPart::of).collect(),
            redistributable: plan.is_redistributable(),
            containers: plan.containers().iter().map(ContainerPart::of).collect(),
            stages,
            packages,
            checks: report.counts(),
            listens: plan.checks.iter().filter_map(listens).collect(),
            identities: &plan.identities,
            image: ImagePart {
                format: "qcow2",
                compression: input.compression,
                virtual_size: export.virtual_size,
                min_disk: plan.min_disk_gib(export.virtual_size),
                min_ram: plan.min_ram_mib(),
            },
            recorded: Recorded {
                origin: input.origin,
                image: FilePart { sha256: export.sha256, size: export.file_size },
            },
        };
        let text = shown::json_pretty(&document).expect("plain data always serialises");
        Self(text + "\n")
    }

    /// The text of the file.
    pub fn to_json(&self) -> String {
        self.0.clone()
    }
}

fn listens(check: &Check) -> Option<Listens> {
    match check {
        Check::Listens(listens) => Some(*listens),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
