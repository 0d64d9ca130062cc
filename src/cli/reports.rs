//! Reports of checks as files.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{Diagnose, Exit, Result, io_exit, without_path};
use crate::rename::same_file;
use crate::report::Report;

use super::is_stream;

#[derive(Debug, thiserror::Error)]
#[error("cannot write the {what} report `{path}`")]
struct ReportError {
    what: &'static str,
    path: String,
    source: std::io::Error,
}

impl Diagnose for ReportError {
    fn exit(&self) -> Exit {
        io_exit(&self.source, Exit::Usage)
    }

    fn hint(&self) -> Option<String> {
        Some(match self.source.kind() {
            ErrorKind::NotFound => "make the directory first, or name a file elsewhere".to_owned(),
            _ if self.exit() == Exit::Space => {
                "make room on that file system, or name a file elsewhere".to_owned()
            }
            _ => "name a file in a directory that you may write to".to_owned(),
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a report would replace `{0}`, which this command reads or writes itself")]
struct TakenError(String);

impl Diagnose for TakenError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("give each report a file of its own".to_owned())
    }
}

/// Where reports go.
pub(super) struct Reports<'a> {
    pub(super) junit: Option<&'a Path>,
    pub(super) html: Option<&'a Path>,
}

impl Reports<'_> {
    /// Reports replace what has their name, but never what they are about, or `read`. That they can be written is tried now:
    /// what they tell may take long to find out.
    pub(super) fn check<'a>(&self, read: &(impl Iterator<Item = &'a Path> + Clone)) -> Result<()> {
        let absolute = |path: &Path| std::path::absolute(path).ok();
        let reports: Vec<&Path> = [self.junit, self.html].into_iter().flatten().collect();
        for report in reports.iter().filter(|path| !is_stream(path)) {
            let is_read = read.clone().any(|path| same_file(path, report));
            let twice = reports.iter().filter(|other| absolute(other) == absolute(report)).count() > 1;
            if is_read || twice {
                return Err(TakenError(report.display().to_string()).into());
            }
        }
        for (what, path) in [("JUnit", self.junit), ("HTML", self.html)] {
            if let Some(path) = path.filter(|path| !is_stream(path)) {
                try_to_write(what, path)?;
            }
        }
        Ok(())
    }

    /// Writes them.
    pub(super) fn write(&self, report: &Report) -> Result<()> {
        if let Some(path) = self.junit {
            write("JUnit", path, &report.to_junit()?)?;
        }
        if let Some(path) = self.html {
            write("HTML", path, &report.to_html()?)?;
        }
        Ok(())
    }
}

/// Fails if a report could not get this name.
fn try_to_write(what: &'static str, path: &Path) -> Result<(), ReportError> {
    let failed = |source| ReportError { what, path: path.display().to_string(), source };
    if path.is_dir() {
        return Err(failed(ErrorKind::IsADirectory.into()));
    }
    temporary(path).map(drop).map_err(failed)
}

/// A file beside `path` that is gone unless it gets its name.
fn temporary(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    tempfile::Builder::new()
        .prefix(".tib-report-")
        .permissions(PermissionsExt::from_mode(0o644))
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .map_err(without_path)
}

/// Writes a report under a temporary name beside `path`, so that nobody ever sees half of one. A pipe or a device is
/// written to as it is.
fn write(what: &'static str, path: &Path, text: &str) -> Result<(), ReportError> {
    let failed = |source| ReportError { what, path: path.display().to_string(), source };
    if is_stream(path) {
        let mut stream = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        return stream.write_all(text.as_bytes()).map_err(failed);
    }
    let mut file = temporary(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
