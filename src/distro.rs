//! What operating system a base image holds, as far as recipes and the engine care.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Distributions that share a package manager and file layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Debian, Ubuntu: dpkg and apt.
    Debian,
    /// Fedora, CentOS, Rocky, Alma, RHEL: rpm and dnf (yum on 7).
    Rhel,
    /// openSUSE, SLES: rpm and zypper.
    Suse,
}

impl Family {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Rhel => "rhel",
            Self::Suse => "suse",
        }
    }

    /// The family that os-release names by `ID` or, failing that, `ID_LIKE`.
    pub fn of(os_release: &str) -> Option<Self> {
        let fields = parse_fields(os_release);
        let ids = ["ID", "ID_LIKE"].into_iter().filter_map(|key| fields.get(key));
        ids.flat_map(|ids| ids.split_whitespace()).find_map(family_of)
    }
}

/// Processor architecture, by the kernel's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Arch {
    /// 64-bit x86 (`amd64` at Debian's).
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM (`arm64` at Debian's).
    #[serde(rename = "aarch64")]
    Aarch64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The architecture of this host, if tib knows it.
    pub fn host() -> Option<Self> {
        Self::parse(std::env::consts::ARCH)
    }

    /// Reads the kernel's or Debian's name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a base image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsRelease {
    /// `ID` of os-release: `debian`, `ubuntu`, `rocky`, …
    pub id: String,
    /// `VERSION_ID`: `12`, `24.04`, `9.4`.
    pub version: String,
    /// `VERSION_CODENAME` where there is one: `bookworm`.
    pub codename: Option<String>,
    /// `PRETTY_NAME`, for people.
    pub pretty: String,
    /// The package world it belongs to.
    pub family: Family,
    /// Processor architecture.
    pub arch: Arch,
    /// Minor version of the guest's `/usr/bin/python3` (3.x), if it has one.
    pub python_minor: Option<u8>,
}

impl OsRelease {
    /// Major version, or all of `version` where distributions number releases `YY.MM` (Ubuntu, openSUSE).
    pub fn release(&self) -> &str {
        match self.id.as_str() {
            "ubuntu" | "opensuse-leap" => &self.version,
            _ => self.version.split('.').next().unwrap_or(&self.version),
        }
    }

    /// Short name such as `debian-12` or `ubuntu-24.04`.
    pub fn label(&self) -> String {
        format!("{}-{}", self.id, self.release())
    }

    /// Reads the text of `/etc/os-release`. Returns `None` when it names no family tib knows.
    pub fn parse(text: &str, arch: Arch, python_minor: Option<u8>) -> Option<Self> {
        let fields = parse_fields(text);
        let get = |key: &str| fields.get(key).cloned();
        let id = get("ID")?;
        let family = Family::of(text)?;
        let version = get("VERSION_ID").unwrap_or_default();
        Some(Self {
            pretty: get("PRETTY_NAME").unwrap_or_else(|| format!("{id} {version}")),
            codename: get("VERSION_CODENAME"),
            id,
            version,
            family,
            arch,
            python_minor,
        })
    }
}

fn family_of(id: &str) -> Option<Family> {
    match id {
        "debian" | "ubuntu" => Some(Family::Debian),
        "fedora" | "rhel" | "centos" | "rocky" | "almalinux" => Some(Family::Rhel),
        "suse" | "opensuse" | "opensuse-leap" | "sles" => Some(Family::Suse),
        _ => None,
    }
}

/// The assignments of a file in the form of os-release.
pub(crate) fn parse_fields(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        .collect()
}

/// Labels of the operating systems for which plans are tested without an image.
pub const WELL_KNOWN: [&str; 19] = [
    "debian-11",
    "debian-12",
    "debian-13",
    "ubuntu-22.04",
    "ubuntu-24.04",
    "rocky-8",
    "rocky-9",
    "rocky-10",
    "almalinux-8",
    "almalinux-9",
    "almalinux-10",
    "rhel-8",
    "rhel-9",
    "rhel-10",
    "centos-8",
    "centos-9",
    "centos-10",
    "fedora-43",
    "fedora-44",
];

/// The facts about one of [`WELL_KNOWN`].
pub fn well_known(label: &str) -> Option<OsRelease> {
    let (id, version) = label.rsplit_once('-')?;
    let (codename, family, python_minor) = match (id, version) {
        ("debian", "11") => (Some("bullseye"), Family::Debian, 9),
        ("debian", "12") => (Some("bookworm"), Family::Debian, 11),
        ("debian", "13") => (Some("trixie"), Family::Debian, 13),
        ("ubuntu", "22.04") => (Some("jammy"), Family::Debian, 10),
        ("ubuntu", "24.04") => (Some("noble"), Family::Debian, 12),
        ("rocky" | "almalinux" | "rhel" | "centos", "8") => (None, Family::Rhel, 6),
        ("rocky" | "almalinux" | "rhel" | "centos", "9") => (None, Family::Rhel, 9),
        ("rocky" | "almalinux" | "rhel" | "centos", "10") => (None, Family::Rhel, 12),
        ("fedora", "43" | "44") => (None, Family::Rhel, 14),
        _ => return None,
    };
    Some(OsRelease {
        id: id.to_owned(),
        version: version.to_owned(),
        codename: codename.map(str::to_owned),
        pretty: label.to_owned(),
        family,
        arch: Arch::X86_64,
        python_minor: Some(python_minor),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_files() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        let rocky =
            "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n";
        let mint = "ID=linuxmint\nID_LIKE='ubuntu debian'\nVERSION_ID=22\n";
        for (text, label, family) in [
            (debian, "debian-12", Family::Debian),
            (rocky, "rocky-9", Family::Rhel),
            (mint, "linuxmint-22", Family::Debian),
        ] {
            let os = OsRelease::parse(text, Arch::X86_64, None).unwrap();
            assert_eq!((os.label().as_str(), os.family), (label, family));
        }
        assert_eq!(OsRelease::parse("ID=plan9\n", Arch::X86_64, None), None);
        assert_eq!(OsRelease::parse("", Arch::X86_64, None), None);
    }

    #[test]
    fn well_known_labels_round_trip() {
        for label in WELL_KNOWN {
            assert_eq!(well_known(label).unwrap().label(), label);
        }
        assert_eq!(well_known("debian"), None);
    }
}
