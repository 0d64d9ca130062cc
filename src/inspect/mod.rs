//! Everything about an image at rest, section by section.
//!
//! A section that cannot be read says why, and the others are read all the same. To add one: a line in
//! [`Part`], in [`Inspection`], in [`inspect`] and in `text/`.

mod accounts;
pub(crate) mod apparmor;
pub(crate) mod boot;
mod cloud;
pub(crate) mod containers;
mod grub;
pub(crate) mod init;
mod kernels;
mod loader_entries;
mod packages;
mod page;
mod part;
mod python;
mod search;
pub(crate) mod selinux;
mod shadow;
mod sizes;
mod ssh;
mod system;
#[cfg(test)]
mod testing;
mod text;
mod units;

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::{Layout, Tree};
use crate::error::Failure;
use crate::os::ReadError;
use crate::os::files::show;

pub use accounts::{Accounts, GroupAccount, SudoGrant, UserAccount};
pub use apparmor::{Apparmor, Profile};
pub use boot::{Boot, BootEntry, Firmware};
pub use cloud::{CloudInit, Datasources, DefaultUser, DsIdentify};
pub use containers::{ContainerImage, ContainerStore, Containers};
pub use init::{Init, InitKind};
pub use kernels::{Kernel, Kernels, Ramdisk};
pub use packages::{InstalledPackage, Packages};
pub use page::Style;
pub use part::{Part, UnknownPart};
pub use python::{Interpreter, Python, PythonEnvironment, PythonPackage, VirtualEnvironment};
pub use selinux::{Labels, Selinux};
pub use shadow::{HashScheme, Password};
pub use sizes::{DirectorySize, FileSize, Sizes};
pub use ssh::{AuthorizedKey, AuthorizedKeys, HostKey, PublicKey, Ssh, SshdSetting};
pub use system::{MachineId, Mount, System};
pub use units::Units;

/// Version of the JSON form: it grows when something is taken away or changes its meaning.
pub const VERSION: u32 = 1;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectOptions {
    /// Sections to read; all if empty.
    pub only: Vec<Part>,
    /// How many of the largest directories to tell.
    pub top: usize,
}

impl Default for InspectOptions {
    fn default() -> Self {
        Self { only: Vec::new(), top: sizes::TOP }
    }
}

impl InspectOptions {
    /// Whether a section is wanted.
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// Everything about an image. A section that was not asked for is absent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "What `tib inspect --json` prints")]
pub struct Inspection {
    /// Version of this form; it grows when something is taken away or changes its meaning.
    pub version: u32,
    /// The image file.
    pub image: String,
    /// What could not be read. Empty if all was.
    pub problems: Vec<SectionProblem>,
    /// Why there is no operating system to look at; the sections about it are absent then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_system: Option<String>,
    /// Image format, partitions and file systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Layout>,
    /// Operating system and its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Section<System>>,
    /// How firmware starts it, and with which command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<Section<Boot>>,
    /// Kernels and initial RAM disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernels: Option<Section<Kernels>>,
    /// The first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<Section<Init>>,
    /// Installed packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Section<Packages>>,
    /// systemd units, and init scripts that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Section<Units>>,
    /// Users, groups, and who may act as another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Section<Accounts>>,
    /// SSH keys and the server's settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Section<Ssh>>,
    /// cloud-init; null where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Section<Option<CloudInit>>>,
    /// SELinux; null where it is not configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux: Option<Section<Option<Selinux>>>,
    /// AppArmor; null where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<Section<Option<Apparmor>>>,
    /// Python environments and their packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<Section<Python>>,
    /// Container images kept in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Section<Containers>>,
    /// Where the space goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Section<Sizes>>,
}

/// A section, or why it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "{T}Section")]
pub enum Section<T> {
    /// What was read.
    Read(T),
    /// Nothing could be read.
    Unreadable {
        /// Why.
        unreadable: String,
    },
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SectionProblem {
    /// The section it belongs to.
    pub section: Part,
    /// What and why.
    pub reason: String,
}

/// Reads all sections that are wanted. What cannot be read is told in [`Inspection::problems`].
pub fn inspect(
    tree: &mut dyn Tree,
    image: &Path,
    layout: Option<Layout>,
    options: &InspectOptions,
) -> Inspection {
    let mut inspection = Inspection::without_system(image, None);
    let mut read = Reader { tree, options, problems: Vec::new() };
    inspection.system = read.section(Part::System, system::system);
    inspection.boot = read.section(Part::Boot, |tree| boot::boot(tree, layout.as_ref()));
    inspection.kernels = read.section(Part::Kernels, kernels::kernels);
    inspection.init = read.section(Part::Init, init::init);
    inspection.packages = read.section(Part::Packages, packages::packages);
    inspection.units = read.section(Part::Units, units::units);
    inspection.accounts = read.section(Part::Accounts, accounts::accounts);
    inspection.ssh = read.section(Part::Ssh, ssh::ssh);
    inspection.cloud = read.section(Part::Cloud, cloud::cloud);
    inspection.selinux = read.section(Part::Selinux, selinux::selinux);
    inspection.apparmor = read.section(Part::Apparmor, apparmor::apparmor);
    inspection.python = read.section(Part::Python, python::python);
    inspection.containers = read.section(Part::Containers, containers::containers);
    inspection.sizes = read.section(Part::Sizes, |tree| sizes::sizes(tree, options.top));
    inspection.problems = read.problems;
    inspection.with_disk(layout, options)
}

impl Inspection {
    /// What can be told of an image without its operating system, and why that cannot be read if it was wanted.
    pub fn of_disk(image: &Path, layout: Layout, why: Option<String>, options: &InspectOptions) -> Self {
        Self::without_system(image, why).with_disk(Some(layout), options)
    }

    fn without_system(image: &Path, no_system: Option<String>) -> Self {
        Self {
            version: VERSION,
            image: show(image.as_os_str().as_encoded_bytes()),
            problems: Vec::new(),
            no_system,
            disk: None,
            system: None,
            boot: None,
            kernels: None,
            init: None,
            packages: None,
            units: None,
            accounts: None,
            ssh: None,
            cloud: None,
            selinux: None,
            apparmor: None,
            python: None,
            containers: None,
            sizes: None,
        }
    }

    fn with_disk(mut self, layout: Option<Layout>, options: &InspectOptions) -> Self {
        if let Some(layout) = layout.filter(|_| options.wants(Part::Disk)) {
            for partition in &layout.partitions {
                if let Some(problem) = &partition.problem {
                    let reason = format!("partition {}: {problem}", partition.number);
                    self.problems.push(SectionProblem { section: Part::Disk, reason });
                }
            }
            for volume in &layout.logical_volumes {
                if let Some(problem) = &volume.problem {
                    let reason = format!("{}/{}: {problem}", volume.group, volume.name);
                    self.problems.push(SectionProblem { section: Part::Disk, reason });
                }
            }
            self.disk = Some(layout);
        }
        self
    }
}

struct Reader<'a> {
    tree: &'a mut dyn Tree,
    options: &'a InspectOptions,
    problems: Vec<SectionProblem>,
}

impl Reader<'_> {
    fn section<T>(
        &mut self,
        part: Part,
        read: impl FnOnce(&mut dyn Tree) -> Result<T, ReadError>,
    ) -> Option<Section<T>> {
        if !self.options.wants(part) {
            return None;
        }
        Some(match read(self.tree) {
            Ok(value) => Section::Read(value),
            Err(error) => {
                let reason = Failure::from(error).to_string();
                self.problems.push(SectionProblem { section: part, reason: reason.clone() });
                Section::Unreadable { unreadable: reason }
            }
        })
    }
}

/// The JSON Schema of [`Inspection`].
pub fn schema() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Inspection>()
        .to_value()
}

/// Every parser behind the sections, for fuzzing.
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn parse_any(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let variables = grub::environment(&text);
    grub::GrubConfig::parse(&text).default_entry(&variables);
    loader_entries::parse(&text, String::new(), String::new(), &variables);
    kernels::banner(bytes);
    crate::os::Presets::parse(bytes).of(text.lines().last().unwrap_or_default());
    crate::os::UnitFile::parse(bytes).words("Install", "WantedBy");
    accounts::any_text(bytes);
    apparmor::any_text(bytes);
    cloud::any_text(bytes);
    containers::any_text(bytes);
    python::any_text(bytes);
    selinux::any_text(bytes);
    ssh::any_text(bytes);
}

#[cfg(test)]
mod tests;
