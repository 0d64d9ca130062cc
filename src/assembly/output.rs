//! The files a build leaves: an image, and the evidence that belongs to it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cache::lock::{self, FileLock};
use crate::cache::{Cache, LockName};
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::{self, Compression, ExportOptions, ExportStats, Policy};
use crate::error::Result;
use crate::evidence::Manifest;

use super::{BuildError, Publication};

/// Where the image and its evidence go.
#[derive(Debug)]
pub(crate) struct Output {
    directory: PathBuf,
    names: Names,
    force: bool,
}

/// What the files of one image are called.
#[derive(Debug, Clone)]
struct Names {
    image: OsString,
    manifest: OsString,
    checksum: OsString,
}

/// An image that nobody has checked yet. It vanishes unless it is published.
#[derive(Debug)]
pub(crate) struct Unverified {
    publication: Publication,
    names: Names,
}

impl Output {
    /// Finds out now whether the files can be published at the end, and mends what a killed build left there.
    pub(crate) fn prepare(
        asked: Option<PathBuf>,
        recipe: &str,
        force: bool,
        control: &Control,
    ) -> Result<Self, BuildError> {
        let image = asked.unwrap_or_else(|| PathBuf::from(format!("{recipe}.qcow2")));
        let absolute = std::path::absolute(&image);
        let absolute = absolute.map_err(|source| BuildError::Output { path: image.clone(), source })?;
        // `..`, `/` and what ends in `/` can only be directories.
        let is_name = !image.as_os_str().as_bytes().ends_with(b"/");
        let (Some(directory), Some(name), true) = (absolute.parent(), absolute.file_name(), is_name) else {
            return Err(BuildError::NotAFile(image));
        };
        let output = Self { directory: directory.to_owned(), names: Names::new(name), force };
        output.begin(control)?;
        Ok(output)
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.directory.join(&self.names.image)
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.directory.join(&self.names.manifest)
    }

    /// Says to others who use this cache that the image is being built, for as long as what is returned lives: a second build of
    /// it would only learn at its end that it was for nothing.
    pub(crate) fn claim(&self, cache: &Cache) -> Result<FileLock> {
        let failed = |source| BuildError::Output { path: self.directory.clone(), source };
        // A directory has more than one path.
        let place = std::fs::metadata(&self.directory).map_err(failed)?;
        let key = format!("{} {} ", place.dev(), place.ino()).into_bytes();
        let key = Digest::of(&[&key, self.names.image.as_bytes()].concat());
        let path = cache.lock_path(&LockName::Output(key));
        match FileLock::try_exclusive(&path)? {
            Some(lock) => Ok(lock),
            None => Err(BuildError::Building { image: self.image(), by: lock::holder(&path) }.into()),
        }
    }

    /// A place for the image until it is published.
    pub(crate) fn begin(&self, control: &Control) -> Result<Unverified, BuildError> {
        let names = self.names.clone();
        let all = vec![names.manifest.clone(), names.checksum.clone(), names.image.clone()];
        let publication = Publication::prepare(&self.directory, all, self.force, control)?;
        Ok(Unverified { publication, names })
    }
}

impl Names {
    fn new(image: &OsStr) -> Self {
        let beside = |suffix: &str| {
            let mut name = image.to_owned();
            name.push(suffix);
            name
        };
        Self { image: image.to_owned(), manifest: beside(".manifest.json"), checksum: beside(".sha256") }
    }
}

impl Unverified {
    pub(crate) fn path(&self) -> PathBuf {
        self.publication.path(&self.names.image)
    }

    /// Flattens `disk` with all its layers into this file.
    pub(crate) fn export(
        &self,
        disk: &Path,
        cache: &Cache,
        compression: Compression,
        control: &Control,
    ) -> Result<ExportStats> {
        let policy = Policy::within(cache.root());
        let source = || disk::open(disk, &policy);
        let file = self.publication.create(&self.names.image)?;
        let out = fs_err::File::from_parts(file, self.path());
        let options = ExportOptions { compression, ..ExportOptions::default() };
        let mut progress = |done, total| control.events.progress("export", done, Some(total));
        Ok(disk::export(&source, &out, &options, &mut progress, &control.cancel)?)
    }

    /// Gives the image and its evidence their names.
    pub(crate) fn publish(
        self,
        exported: &ExportStats,
        manifest: &Manifest,
        control: &Control,
    ) -> Result<(), BuildError> {
        let Self { publication, names } = self;
        publication.write(&names.manifest, manifest.to_json().as_bytes())?;
        publication.write(&names.checksum, &checksum_line(exported.sha256, &names.image))?;
        publication.publish(control)
    }
}

/// The line that `sha256sum` writes for a file, and `sha256sum -c` reads.
fn checksum_line(sha256: Digest, name: &OsStr) -> Vec<u8> {
    let digest = sha256.to_string().into_bytes();
    let escaped: Vec<u8> = name
        .as_bytes()
        .iter()
        .flat_map(|byte| match byte {
            b'\\' => b"\\\\".to_vec(),
            b'\n' => b"\\n".to_vec(),
            b'\r' => b"\\r".to_vec(),
            byte => vec![*byte],
        })
        .collect();
    // A line with escapes begins with a backslash. A single dash would mean standard input.
    let (mark, place) =
        (if escaped == name.as_bytes() { "" } else { "\\" }, if name == "-" { "./" } else { "" });
    [mark.as_bytes(), &digest, b"  ", place.as_bytes(), &escaped, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn prepare(path: impl Into<PathBuf>, force: bool) -> Result<Output, BuildError> {
        Output::prepare(Some(path.into()), "x", force, &Control::none())
    }

    #[test]
    fn an_existing_image_needs_force_and_a_missing_directory_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("a.qcow2");
        fs_err::write(&image, "precious").unwrap();
        assert!(matches!(prepare(&image, false), Err(BuildError::Exists(path)) if path == image));
        assert_eq!(prepare(&image, true).unwrap().image(), image);
        let missing = prepare(dir.path().join("no/a.qcow2"), false).unwrap_err();
        assert!(matches!(missing, BuildError::Output { .. }));
        for place in
            [dir.path().to_owned(), dir.path().join("new/"), "/".into(), "..".into(), "/dev/null".into()]
        {
            assert!(matches!(prepare(&place, true), Err(BuildError::NotAFile(_))), "{}", place.display());
        }
        let names: Vec<_> = fs_err::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["a.qcow2"], "trying leaves nothing behind");
        assert_eq!(fs_err::read(&image).unwrap(), b"precious");
    }

    #[test]
    fn the_evidence_of_another_image_is_not_overwritten_unasked() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("a.qcow2.sha256"), "precious").unwrap();
        let error = prepare(dir.path().join("a.qcow2"), false).unwrap_err();
        assert!(matches!(error, BuildError::Exists(path) if path.ends_with("a.qcow2.sha256")));
    }

    #[test]
    fn sha256sum_finds_files_of_any_name() {
        let names: [&[u8]; 9] =
            [b"a.qcow2", b"-", b"*a", b" a ", b"a\nb", b"a\\b", b"a\rb", b"\\", b"\xff\xfe"];
        for name in names {
            let dir = tempfile::tempdir().unwrap();
            let name = OsStr::from_bytes(name);
            fs_err::write(dir.path().join(name), "content").unwrap();
            let line = checksum_line(Digest::of(b"content"), name);
            fs_err::write(dir.path().join("list"), line).unwrap();
            let mut check = Command::new("sha256sum");
            let status =
                check.args(["--check", "--strict", "list"]).current_dir(dir.path()).output().unwrap();
            assert!(status.status.success(), "{name:?}: {status:?}");
            fs_err::write(dir.path().join(name), "other").unwrap();
            assert!(!check.output().unwrap().status.success(), "{name:?}");
        }
    }
}
