//! The files a build leaves: written under temporary names, renamed when everything is right.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cancel::Cancel;
use crate::disk::{self, Compression, ExportOptions, ExportStats, Policy};
use crate::error::Result;
use crate::event::Events;
use crate::evidence::Manifest;
use crate::recipe::Digest;
use crate::source::Cache;

use super::BuildError;

/// How the names of files begin that are not finished.
const TEMPORARY: &str = ".tib-";

/// Where the image and its evidence go.
#[derive(Debug)]
pub(super) struct Output {
    image: PathBuf,
    directory: PathBuf,
    force: bool,
}

/// An image that nobody has checked yet. It vanishes unless it is published.
#[derive(Debug)]
pub(super) struct Unverified {
    file: NamedTempFile,
}

impl Output {
    /// Finds out now whether the files can be written at the end, and removes what a killed build left there.
    pub(super) fn prepare(asked: Option<PathBuf>, recipe: &str, force: bool) -> Result<Self, BuildError> {
        let image = asked.unwrap_or_else(|| PathBuf::from(format!("{recipe}.qcow2")));
        let failed = |source| BuildError::Output { path: image.clone(), source };
        let image = std::path::absolute(&image).map_err(failed)?;
        let directory = image.parent().map(Path::to_owned).unwrap_or_default();
        let output = Self { image, directory, force };
        for path in [output.image.clone(), output.manifest(), output.checksum()] {
            match path.metadata() {
                Ok(found) if !found.is_file() => return Err(BuildError::NotAFile(path)),
                Ok(_) if !force => return Err(BuildError::Exists(path)),
                _ => {}
            }
        }
        sweep(&output.directory);
        output.temporary()?;
        Ok(output)
    }

    pub(super) fn image(&self) -> &Path {
        &self.image
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.beside("manifest.json")
    }

    fn checksum(&self) -> PathBuf {
        self.beside("sha256")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.image.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }

    pub(super) fn temporary(&self) -> Result<Unverified, BuildError> {
        // The error names the temporary file, which means nothing to anybody.
        let failed = |error: std::io::Error| BuildError::Output {
            path: self.directory.clone(),
            source: error.kind().into(),
        };
        let file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(&self.directory)
            .map_err(failed)?;
        // Tells the next build that somebody still writes it. Not every file system can; then nothing is swept.
        let _ = file.as_file().try_lock();
        Ok(Unverified { file })
    }

    /// Gives the image and its evidence their names. The evidence of an older image goes first, so that no image
    /// is ever beside evidence of another.
    pub(super) fn publish(
        &self,
        image: Unverified,
        exported: &ExportStats,
        manifest: &Manifest,
    ) -> Result<(), BuildError> {
        let name = self.image.file_name().unwrap_or_default().to_string_lossy();
        let sum = format!("{}  {name}\n", Digest::from_bytes(exported.sha256));
        let evidence =
            [(self.manifest(), self.staged(&manifest.to_json())?), (self.checksum(), self.staged(&sum)?)];
        let failed = |source| BuildError::Output { path: self.image.clone(), source };
        if self.force {
            for (path, _) in &evidence {
                match fs_err::remove_file(path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
            }
            image.file.persist(&self.image).map_err(|error| failed(error.error))?;
        } else {
            // Somebody may have made the file while we were building.
            image.file.persist_noclobber(&self.image).map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => BuildError::Exists(self.image.clone()),
                _ => failed(error.error),
            })?;
        }
        for (path, file) in evidence {
            file.persist(&path).map_err(|error| BuildError::Output { path, source: error.error })?;
        }
        fs_err::File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(failed)
    }

    fn staged(&self, text: &str) -> Result<NamedTempFile, BuildError> {
        let mut file = self.temporary()?.file;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all());
        written.map_err(|source| BuildError::Output { path: self.directory.clone(), source })?;
        Ok(file)
    }
}

/// Removes unfinished files that no living build holds.
fn sweep(directory: &Path) {
    for entry in fs_err::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            continue;
        }
        let abandoned = fs_err::File::open(entry.path()).is_ok_and(|file| file.file().try_lock().is_ok());
        if abandoned {
            // If it cannot be removed, it stays: it is in nobody's way.
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

impl Unverified {
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Flattens `disk` with all its layers into this file.
    pub(super) fn export(
        &self,
        disk: &Path,
        cache: &Cache,
        compression: Compression,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<ExportStats> {
        let policy = Policy::within(cache.root());
        let source = || disk::open(disk, &policy);
        let failed = |source| BuildError::Output { path: self.path().to_owned(), source };
        let out = fs_err::OpenOptions::new().read(true).write(true).open(self.path()).map_err(failed)?;
        let options = ExportOptions { compression, ..ExportOptions::default() };
        let mut progress = |done, total| events.progress("export", done, Some(total));
        let stats = disk::export(&source, &out, &options, &mut progress, cancel)?;
        out.sync_all().map_err(failed)?;
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_existing_image_needs_force_and_a_missing_directory_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("a.qcow2");
        fs_err::write(&image, "precious").unwrap();
        let error = Output::prepare(Some(image.clone()), "x", false).unwrap_err();
        assert!(matches!(error, BuildError::Exists(_)));
        assert!(Output::prepare(Some(image.clone()), "x", true).is_ok());
        let missing = Output::prepare(Some(dir.path().join("no/a.qcow2")), "x", false).unwrap_err();
        assert!(matches!(missing, BuildError::Output { .. }));
        for place in [dir.path(), Path::new("/dev/null")] {
            assert!(matches!(Output::prepare(Some(place.into()), "x", true), Err(BuildError::NotAFile(_))));
        }
        assert_eq!(names(dir.path()), ["a.qcow2"], "trying leaves nothing behind");
        assert_eq!(fs_err::read(&image).unwrap(), b"precious");
    }

    #[test]
    fn the_evidence_of_another_image_is_not_overwritten_unasked() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("a.qcow2.sha256"), "precious").unwrap();
        let error = Output::prepare(Some(dir.path().join("a.qcow2")), "x", false).unwrap_err();
        assert!(matches!(error, BuildError::Exists(path) if path.ends_with("a.qcow2.sha256")));
    }

    #[test]
    fn what_a_killed_build_left_is_swept_and_what_a_living_one_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join(".tib-dead"), "half an image").unwrap();
        let output = Output::prepare(Some(dir.path().join("a.qcow2")), "x", false).unwrap();
        assert_eq!(names(dir.path()), Vec::<String>::new());
        let living = output.temporary().unwrap();
        Output::prepare(Some(dir.path().join("b.qcow2")), "x", false).unwrap();
        assert!(living.path().exists());
    }
}
