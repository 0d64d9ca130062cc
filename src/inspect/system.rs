//! Which operating system it is, and what makes this installation different from another.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::{DiskError, FileKind, Tree};
use crate::distro::parse_fields;
use crate::os::ReadError;
use crate::os::files::{base_name, optional, read_optional, show};
use crate::os::release::{DetectError, architecture};

/// Operating system and its identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct System {
    /// For people: `Debian GNU/Linux 12 (bookworm)`.
    pub pretty_name: Option<String>,
    /// `ID` of os-release: `debian`.
    pub id: Option<String>,
    /// `ID_LIKE`: what it derives from, nearest first.
    pub id_like: Vec<String>,
    /// `VERSION_ID`: `12`.
    pub version: Option<String>,
    /// The version with its point release, where another file has it: `12.15`.
    pub full_version: Option<String>,
    /// `VERSION_CODENAME`: `bookworm`.
    pub codename: Option<String>,
    /// `VARIANT` or `VARIANT_ID`: `Cloud Edition`.
    pub variant: Option<String>,
    /// `BUILD_ID`, `IMAGE_ID` and `IMAGE_VERSION`, as far as there are any.
    pub build: Option<String>,
    /// `CPE_NAME`, by which vulnerabilities are looked up.
    pub cpe_name: Option<String>,
    /// `SUPPORT_END`: a date.
    pub support_end: Option<String>,
    /// `HOME_URL`.
    pub home_url: Option<String>,
    /// `BUG_REPORT_URL`.
    pub bug_report_url: Option<String>,
    /// Processor that its shell is for, such as `x86_64`.
    pub architecture: Option<String>,
    /// `/etc/hostname`.
    pub hostname: Option<String>,
    /// `/etc/machine-id`: whether instances would share it.
    pub machine_id: MachineId,
    /// Such as `Etc/UTC`.
    pub timezone: Option<String>,
    /// `LANG`, such as `C.UTF-8`.
    pub locale: Option<String>,
    /// What `/etc/fstab` mounts.
    pub mounts: Vec<Mount>,
}

/// State of `/etc/machine-id`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MachineId {
    /// No file: made at boot.
    #[default]
    Missing,
    /// An empty file: made at boot, which is not taken for the first one.
    Empty,
    /// Made at boot, which is taken for the first one.
    Uninitialized,
    /// All instances would share it.
    Set,
}

/// A line of `/etc/fstab`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Mount {
    /// What is mounted: `UUID=…`, a device, `tmpfs`.
    pub source: String,
    /// Where.
    pub path: String,
    /// Kind of file system.
    pub kind: String,
    /// How.
    pub options: String,
}

pub(crate) fn system(tree: &mut dyn Tree) -> Result<System, ReadError> {
    let mut fields = BTreeMap::new();
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(text) = read_optional(tree, path.as_bytes())? {
            fields = parse_fields(&String::from_utf8_lossy(&text));
            break;
        }
    }
    let get = |key: &str| fields.get(key).filter(|value| !value.is_empty()).cloned();
    let build: Vec<String> =
        ["BUILD_ID", "IMAGE_ID", "IMAGE_VERSION"].iter().filter_map(|key| get(key)).collect();
    Ok(System {
        pretty_name: get("PRETTY_NAME").or_else(|| get("NAME")),
        id: get("ID"),
        id_like: get("ID_LIKE").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        version: get("VERSION_ID"),
        full_version: full_version(tree)?,
        codename: get("VERSION_CODENAME"),
        variant: get("VARIANT").or_else(|| get("VARIANT_ID")),
        build: (!build.is_empty()).then(|| build.join(" ")),
        cpe_name: get("CPE_NAME"),
        support_end: get("SUPPORT_END"),
        home_url: get("HOME_URL"),
        bug_report_url: get("BUG_REPORT_URL"),
        architecture: machine(tree)?,
        hostname: first_line(tree, "/etc/hostname")?,
        machine_id: machine_id(tree)?,
        timezone: timezone(tree)?,
        locale: locale(tree)?,
        mounts: mounts(tree)?,
    })
}

/// The first line with something in it.
fn first_line(tree: &mut dyn Tree, path: &str) -> Result<Option<String>, ReadError> {
    let text = read_optional(tree, path.as_bytes())?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(line.map(str::to_owned))
}

/// Debian's file holds nothing but the version; Red Hat's a sentence with one in it.
fn full_version(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    for path in ["/etc/debian_version", "/etc/redhat-release"] {
        if let Some(line) = first_line(tree, path)? {
            let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
            return Ok(line.split_whitespace().find(is_version).map(str::to_owned));
        }
    }
    Ok(None)
}

fn machine(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    match architecture(tree) {
        Ok(arch) => Ok(Some(arch.name().to_owned())),
        Err(DetectError::NoPrograms) => Ok(None),
        Err(DetectError::Disk(error)) => Err(error.into()),
        Err(DetectError::UnknownArchitecture(what)) => Ok(Some(format!("unknown: {what}"))),
        Err(other) => Ok(Some(other.to_string())),
    }
}

fn machine_id(tree: &mut dyn Tree) -> Result<MachineId, ReadError> {
    let Some(text) = read_optional(tree, b"/etc/machine-id")? else { return Ok(MachineId::Missing) };
    Ok(match text.trim_ascii() {
        b"" => MachineId::Empty,
        b"uninitialized" => MachineId::Uninitialized,
        _ => MachineId::Set,
    })
}

fn timezone(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    if let Some(stat) = optional(tree.lstat(b"/etc/localtime"))?
        && stat.kind == FileKind::Symlink
    {
        let target = show(&tree.read_link(b"/etc/localtime")?);
        if let Some((_, zone)) = target.split_once("zoneinfo/") {
            return Ok(Some(zone.to_owned()));
        }
    }
    first_line(tree, "/etc/timezone")
}

fn locale(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    for path in ["/etc/locale.conf", "/etc/default/locale"] {
        if let Some(text) = read_optional(tree, path.as_bytes())? {
            let fields = parse_fields(&String::from_utf8_lossy(&text));
            if let Some(lang) = fields.get("LANG") {
                return Ok(Some(lang.clone()));
            }
        }
    }
    Ok(None)
}

fn mounts(tree: &mut dyn Tree) -> Result<Vec<Mount>, ReadError> {
    let text = read_optional(tree, b"/etc/fstab")?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    Ok(lines
        .filter_map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (source, path, kind) = (words.next()?, words.next()?, words.next()?);
            let options = words.next().unwrap_or_else(|| "defaults".to_owned());
            Some(Mount { source, path, kind, options })
        })
        .collect())
}

/// What `/sbin/init` and the like lead to, as far as links can be followed.
pub(crate) fn program(tree: &mut dyn Tree, path: &str) -> Result<Option<(String, String)>, DiskError> {
    let real = optional(tree.canonicalize(path.as_bytes()))?;
    Ok(real.map(|real| (show(&real), show(base_name(&real)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    fn read(tree: &MemTree) -> System {
        system(&mut tree.clone()).unwrap()
    }

    #[test]
    fn machine_ids() {
        let with = |text: &str| read(&MemTree::new().file("/etc/machine-id", text)).machine_id;
        assert_eq!(read(&MemTree::new()).machine_id, MachineId::Missing);
        assert_eq!(with("\n"), MachineId::Empty);
        assert_eq!(with("uninitialized\n"), MachineId::Uninitialized);
        assert_eq!(with("0123456789abcdef0123456789abcdef\n"), MachineId::Set);
    }

    #[test]
    fn other_places() {
        let found = read(
            &MemTree::new()
                .file(
                    "/usr/lib/os-release",
                    "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n\
                     CPE_NAME=\"cpe:/o:rocky:rocky:9::baseos\"\nVARIANT_ID=cloud\nIMAGE_ID=a\nIMAGE_VERSION=7\nBUILD_ID=\n",
                )
                .file("/etc/redhat-release", "Rocky Linux release 9.4 (Blue Onyx)\n")
                .file("/etc/timezone", "Europe/Berlin\n")
                .file("/etc/locale.conf", "LANG=\"C.UTF-8\"\n")
                .file("/etc/hostname", "# set by nobody\n\n")
                .program("/bin/sh", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x08\0".as_slice())
                .file("/etc/fstab", "tmpfs /tmp tmpfs\nshort /x\n"),
        );
        assert_eq!(found.pretty_name.as_deref(), Some("Rocky Linux"));
        assert_eq!(found.id_like, ["rhel", "centos", "fedora"]);
        assert_eq!((found.version.as_deref(), found.full_version.as_deref()), (Some("9.4"), Some("9.4")));
        assert_eq!((found.variant.as_deref(), found.build.as_deref()), (Some("cloud"), Some("a 7")));
        assert_eq!(found.timezone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(found.locale.as_deref(), Some("C.UTF-8"));
        assert_eq!(found.hostname, None);
        assert_eq!(found.architecture.as_deref(), Some("unknown: ELF machine 8"));
        assert_eq!(found.mounts.len(), 1);
        assert_eq!(found.mounts[0].options, "defaults");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for path in ["/etc/os-release", "/etc/fstab", "/etc/machine-id", "/bin/sh"] {
            let tree = MemTree::new().file(path, "x").broken(path);
            assert!(system(&mut tree.clone()).is_err(), "{path}");
        }
    }
}
