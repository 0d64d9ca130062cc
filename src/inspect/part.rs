//! The names of sections.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

/// A section of an inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Image format, partitions and file systems.
    Disk,
    /// Operating system and its identity.
    System,
    /// Firmware, boot loader, command line.
    Boot,
    /// Kernels and initial RAM disks.
    Kernels,
    /// The first process.
    Init,
    /// Installed packages.
    Packages,
    /// systemd units.
    Units,
    /// Users, groups, and who may act as another.
    Accounts,
    /// SSH keys and the server's settings.
    Ssh,
    /// cloud-init.
    Cloud,
    /// SELinux.
    Selinux,
    /// AppArmor.
    Apparmor,
    /// Python environments.
    Python,
    /// Container images.
    Containers,
    /// Where the space goes.
    Sizes,
}

impl Part {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 15] = [
        Self::Disk,
        Self::System,
        Self::Boot,
        Self::Kernels,
        Self::Init,
        Self::Packages,
        Self::Units,
        Self::Accounts,
        Self::Ssh,
        Self::Cloud,
        Self::Selinux,
        Self::Apparmor,
        Self::Python,
        Self::Containers,
        Self::Sizes,
    ];

    /// Its name, in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::System => "system",
            Self::Boot => "boot",
            Self::Kernels => "kernels",
            Self::Init => "init",
            Self::Packages => "packages",
            Self::Units => "units",
            Self::Accounts => "accounts",
            Self::Ssh => "ssh",
            Self::Cloud => "cloud",
            Self::Selinux => "selinux",
            Self::Apparmor => "apparmor",
            Self::Python => "python",
            Self::Containers => "containers",
            Self::Sizes => "sizes",
        }
    }

    /// Its heading for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Disk => "Disk",
            Self::System => "System",
            Self::Boot => "Boot",
            Self::Kernels => "Kernels",
            Self::Init => "Init",
            Self::Packages => "Packages",
            Self::Units => "Units",
            Self::Accounts => "Accounts",
            Self::Ssh => "SSH",
            Self::Cloud => "cloud-init",
            Self::Selinux => "SELinux",
            Self::Apparmor => "AppArmor",
            Self::Python => "Python",
            Self::Containers => "Container images",
            Self::Sizes => "Sizes",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No section has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no section `{0}`; there are {all}", all = Part::ALL.map(Part::name).join(", "))]
pub struct UnknownPart(String);

impl FromStr for Part {
    type Err = UnknownPart;

    fn from_str(name: &str) -> Result<Self, UnknownPart> {
        Self::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| UnknownPart(name.to_owned()))
    }
}
