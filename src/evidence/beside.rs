//! What the manifest that lies beside an image says of it.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::check::Listens;

/// Bytes of a manifest that are read; a real one has 60 KB.
const LONGEST: u64 = 16 << 20;

/// What the manifest beside an image says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// What an instance listens on; nothing if a manifest does not say, as those of older versions.
    pub listens: Option<Vec<Listens>>,
}

#[derive(Deserialize)]
struct Document {
    listens: Option<Vec<Listens>>,
    recorded: Recorded,
}

#[derive(Deserialize)]
struct Recorded {
    image: File,
}

#[derive(Deserialize)]
struct File {
    size: u64,
}

/// Reads the manifest beside an image. There need not be one, and one of another file (by its size) says nothing.
pub fn beside(image: &Path) -> Beside {
    let mut name = OsString::from(image);
    name.push(".manifest.json");
    read(Path::new(&name), image).unwrap_or_default()
}

fn read(manifest: &Path, image: &Path) -> Option<Beside> {
    // What is no plain file, such as a FIFO, may have no end.
    if !std::fs::symlink_metadata(manifest).ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    std::fs::File::open(manifest).ok()?.take(LONGEST).read_to_end(&mut text).ok()?;
    let document: Document = serde_json::from_slice(&text).ok()?;
    let size = std::fs::metadata(image).ok()?.len();
    (document.recorded.image.size == size).then_some(Beside { listens: document.listens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{ListensOn, Protocol};

    #[test]
    fn only_the_manifest_of_this_very_file_counts() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image.qcow2");
        std::fs::write(&image, [0; 100]).unwrap();
        let manifest = directory.path().join("image.qcow2.manifest.json");
        let listens = Listens { port: 6379, protocol: Protocol::Tcp, on: ListensOn::Loopback };
        for (text, expected) in [
            (
                r#"{"recorded": {"image": {"size": 100}}, "listens": [{"port": 6379, "on": "loopback"}]}"#,
                Some(vec![listens]),
            ),
            (r#"{"recorded": {"image": {"size": 100}}, "listens": []}"#, Some(Vec::new())),
            (r#"{"recorded": {"image": {"size": 100}}}"#, None),
            (r#"{"recorded": {"image": {"size": 101}}, "listens": []}"#, None),
            ("no manifest", None),
        ] {
            std::fs::write(&manifest, text).unwrap();
            assert_eq!(beside(&image).listens, expected, "{text}");
        }
        std::fs::remove_file(&manifest).unwrap();
        assert_eq!(beside(&image), Beside::default());
    }
}
