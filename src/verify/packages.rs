//! The package database of an image.

use serde::Serialize;

use super::look::{join, names, read_optional};
use super::{VerifyError, rpm};
use crate::disk::Tree;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// Its name, without architecture.
    pub name: String,
    /// Its full version, epoch included.
    pub version: String,
    /// Its architecture, by the package manager's name.
    pub arch: String,
    /// How many bytes its files take, as it says itself; absent if it does not say.
    /// Not part of a manifest, which it would only make longer.
    #[serde(skip)]
    pub installed_size: Option<u64>,
}

/// The installed packages, sorted by name.
///
/// # Errors
/// [`VerifyError::Unsupported`] for an image without a package database, and for an RPM database that was being
/// changed; [`VerifyError::Malformed`] for a damaged one, [`VerifyError::Disk`].
pub fn packages(tree: &mut dyn Tree) -> Result<Vec<Package>, VerifyError> {
    const STATUS: &[u8] = b"/var/lib/dpkg/status";
    const PARTS: &[u8] = b"/var/lib/dpkg/status.d";
    let mut found = Vec::new();
    let mut any = false;
    if let Some(text) = read_optional(tree, STATUS)? {
        any = true;
        found = parse_dpkg(&text).map_err(|reason| VerifyError::malformed(STATUS, reason))?;
    }
    // Images made without running dpkg keep one stanza a file, without a Status field.
    for name in names(tree, PARTS)? {
        let path = join(PARTS, &name);
        if name.ends_with(b".md5sums") {
            continue;
        }
        if let Some(text) = read_optional(tree, &path)? {
            any = true;
            found.extend(parse_dpkg(&text).map_err(|reason| VerifyError::malformed(&path, reason))?);
        }
    }
    if !any {
        found = rpm::packages(tree)?.ok_or_else(|| VerifyError::Unsupported {
            what: "the installed packages",
            reason: "the image has neither a dpkg nor an RPM database".to_owned(),
        })?;
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Reads dpkg's database. Packages that are not fully installed (configuration files only, half configured)
/// are left out.
///
/// # Errors
/// What is wrong with the text, for a person.
#[doc(hidden)]
pub fn parse_dpkg(text: &[u8]) -> Result<Vec<Package>, String> {
    let mut packages = Vec::new();
    let text = String::from_utf8_lossy(text);
    let mut stanza = Stanza::default();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            packages.extend(std::mem::take(&mut stanza).finish(number)?);
        } else if !line.starts_with([' ', '\t']) {
            let (field, value) =
                line.split_once(':').ok_or_else(|| format!("line {} is not a field", number + 1))?;
            stanza.set(field, value.trim());
        }
    }
    packages.extend(stanza.finish(text.lines().count())?);
    Ok(packages)
}

#[derive(Default)]
struct Stanza {
    seen: bool,
    name: Option<String>,
    version: Option<String>,
    arch: Option<String>,
    status: Option<String>,
    size: Option<String>,
}

impl Stanza {
    fn set(&mut self, field: &str, value: &str) {
        self.seen = true;
        let slot = match field.to_ascii_lowercase().as_str() {
            "package" => &mut self.name,
            "version" => &mut self.version,
            "architecture" => &mut self.arch,
            "status" => &mut self.status,
            "installed-size" => &mut self.size,
            _ => return,
        };
        *slot = Some(value.to_owned());
    }

    fn finish(self, line: usize) -> Result<Option<Package>, String> {
        if !self.seen {
            return Ok(None);
        }
        let name =
            self.name.ok_or_else(|| format!("the stanza that ends at line {line} names no package"))?;
        let state = self.status.as_deref().map(|status| status.split_whitespace().nth(2));
        match state {
            Some(Some("installed")) | None => {
                let version = self.version.ok_or_else(|| format!("package {name} has no version"))?;
                // In KiB.
                let size = self.size.and_then(|size| size.parse::<u64>().ok()?.checked_mul(1024));
                let arch = self.arch.unwrap_or_default();
                Ok(Some(Package { name, version, arch, installed_size: size }))
            }
            Some(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::MemTree;
    use super::*;

    const STATUS: &str = "\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.2.13.dfsg-1
Description: compression library
 Package: not-a-package
 .
 more

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: bash
Status: install ok installed
Priority: required
Architecture: amd64
Version: 5.2.15-2+b7

Package: half
Status: install ok half-configured
Architecture: all
Version: 2
";

    fn lines(packages: &[Package]) -> Vec<String> {
        packages.iter().map(|p| format!("{} {} {}", p.name, p.version, p.arch)).collect()
    }

    #[test]
    fn only_what_is_fully_installed_counts() {
        let mut tree = MemTree::new().file("/var/lib/dpkg/status", STATUS);
        let found = packages(&mut tree).unwrap();
        assert_eq!(lines(&found), ["bash 5.2.15-2+b7 amd64", "zlib1g 1:1.2.13.dfsg-1 amd64"]);
    }

    #[test]
    fn one_stanza_a_file() {
        let mut tree = MemTree::new()
            .file("/var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a\nArchitecture: all\n")
            .file("/var/lib/dpkg/status.d/tzdata.md5sums", "abc  usr/share/zoneinfo/UTC\n");
        assert_eq!(lines(&packages(&mut tree).unwrap()), ["tzdata 2024a all"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (tree, expected) in [
            (MemTree::new(), "neither a dpkg nor an RPM database"),
            (MemTree::new().file("/var/lib/rpm/rpmdb.sqlite", ""), "this RPM database is empty"),
            (MemTree::new().file("/var/lib/dpkg/status", "garbage"), "line 1 is not a field"),
            (MemTree::new().file("/var/lib/dpkg/status", "Version: 1\n"), "names no package"),
            (MemTree::new().file("/var/lib/dpkg/status", "Package: a\n"), "has no version"),
            (MemTree::new().file("/var/lib/dpkg/status", STATUS).broken("/var/lib/dpkg"), "bad block"),
            (MemTree::new().link("/var/lib/dpkg/status", "status"), "loop"),
        ] {
            let error = packages(&mut tree.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn dpkg_query_says_the_same() {
        let Ok(host) = fs_err::read("/var/lib/dpkg/status") else {
            return; // Not a Debian host: there is nothing to compare with.
        };
        for status in [STATUS.as_bytes().to_vec(), host] {
            let directory = tempfile::tempdir().unwrap();
            fs_err::write(directory.path().join("status"), &status).unwrap();
            let output = std::process::Command::new("dpkg-query")
                .arg(format!("--admindir={}", directory.path().display()))
                .args([
                    "-W",
                    "-f",
                    "${db:Status-Status} ${Package} ${Version} ${Architecture} ${Installed-Size}\n",
                ])
                .output()
                .unwrap();
            let output = String::from_utf8(output.stdout).unwrap();
            let mut expected: Vec<_> =
                output.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
            expected.sort_unstable();
            let packages = parse_dpkg(&status).unwrap();
            let sizes = packages
                .iter()
                .map(|p| p.installed_size.map_or(String::new(), |size| (size / 1024).to_string()));
            let mut found: Vec<_> = lines(&packages)
                .into_iter()
                .zip(sizes)
                .map(|(line, size)| format!("{line} {size}"))
                .collect();
            found.sort_unstable();
            assert!(!expected.is_empty());
            assert_eq!(found, expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = parse_dpkg(&bytes);
        }

        #[test]
        fn any_stanza_like_text_is_survived(text in "((Package|Version|Status|X)?:? ?[a-z:\\n ]{0,8}\\n){0,20}") {
            if let Ok(packages) = parse_dpkg(text.as_bytes()) {
                prop_assert!(packages.len() <= text.matches("Package").count());
            }
        }
    }
}
