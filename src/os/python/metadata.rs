//! What installed Python distributions say of themselves.

use std::str::FromStr;

use pep440_rs::Version;

use super::requirement::{Requirement, normalized};
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{escape, is_directory, join, names, read_optional};

/// An installed distribution.
#[derive(Debug, Clone)]
pub(crate) struct Distribution {
    /// Normalised name.
    pub(crate) name: String,
    /// As it is written.
    pub(crate) written: String,
    /// `None` for a version from before PEP 440, which fits whatever is asked.
    pub(crate) version: Option<Version>,
    pub(crate) requires: Vec<Requirement>,
}

/// The distributions in a directory such as `site-packages`.
pub(crate) fn distributions(tree: &mut dyn Tree, directory: &[u8]) -> Result<Vec<Distribution>, ReadError> {
    let mut found = Vec::new();
    for path in metadata_files(tree, directory)? {
        // What an interrupted removal left, which Python takes for nothing.
        let Some(text) = read_optional(tree, &path)?.filter(|text| !text.trim_ascii().is_empty()) else {
            continue;
        };
        found.push(parse(&text).map_err(|reason| ReadError::malformed(&path, reason))?);
    }
    Ok(found)
}

/// Where the distributions in a directory have their METADATA, whether it is there or not.
pub(crate) fn metadata_files(tree: &mut dyn Tree, directory: &[u8]) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut found = Vec::new();
    for name in names(tree, directory)? {
        // pip moves what it removes to such a name first.
        if name.starts_with(b"~") {
            continue;
        }
        let path = join(directory, &name);
        if name.ends_with(b".dist-info") {
            found.push(join(&path, b"METADATA"));
        } else if name.ends_with(b".egg-info") {
            found.push(if is_directory(tree, &path)? { join(&path, b"PKG-INFO") } else { path });
        }
    }
    Ok(found)
}

/// The fields of a METADATA file's header, with their names in lower case.
pub(crate) fn fields(text: &str) -> impl Iterator<Item = (String, &str)> {
    let lines = text.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
}

/// Reads the header of a METADATA file.
pub(crate) fn parse(text: &[u8]) -> Result<Distribution, String> {
    let text = String::from_utf8_lossy(text);
    let (mut name, mut version, mut requires) = (None, None, Vec::new());
    for (field, value) in fields(&text) {
        let wrong = |what: &str| format!("`{}` is no {what}", escape(value));
        match field.as_str() {
            "name" => name = Some(normalized(value).ok_or_else(|| wrong("name of a distribution"))?),
            "version" => version = Some(value),
            "requires-dist" => {
                let found = Requirement::parse(value).or_else(|| Requirement::of_any_version(value));
                requires.push(found.ok_or_else(|| wrong("requirement"))?);
            }
            _ => {}
        }
    }
    let written = version.filter(|version| !version.is_empty()).ok_or("it says no version")?;
    Ok(Distribution {
        name: name.ok_or("it says no name")?,
        version: Version::from_str(written).ok(),
        written: escape(written),
        requires,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_header_counts() {
        let text = b"Metadata-Version: 2.1\nName: Oslo.Config\nVersion: 9.1\nRequires-Dist: stevedore (>=1.20)\nRequires-Dist: x ; extra == 'test'\n\nName: not-this\n";
        let found = parse(text).unwrap();
        assert_eq!((found.name.as_str(), found.requires.len()), ("oslo-config", 2));
        let old = parse(b"Name: distro-info\nVersion: 1.1build1\nRequires-Dist: pytz (>dev)\n").unwrap();
        assert_eq!(
            (old.written.as_str(), old.version, old.requires[0].name.as_str()),
            ("1.1build1", None, "pytz")
        );
        for bad in ["", "Name: a\n", "Version: 1\n", "Name: a\nVersion: 1\nRequires-Dist: é >=\n"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_pip_leaves_behind_is_nothing() {
        let good = "Name: a\nVersion: 1\n";
        let mut tree = crate::os::testing::MemTree::new()
            .file("/s/a-1.dist-info/METADATA", good)
            .file("/s/~-1.dist-info/METADATA", good)
            .dir("/s/b-1.dist-info")
            .file("/s/c-1.dist-info/METADATA", "")
            .link("/s/d-1.dist-info/METADATA", "gone")
            .link("/s/e.egg-info", "gone");
        let found = distributions(&mut tree, b"/s").unwrap();
        assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(distributions(&mut tree.broken("/s/a-1.dist-info"), b"/s").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
