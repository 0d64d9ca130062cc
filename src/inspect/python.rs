//! Python: interpreters, the distribution's packages, virtual environments.

use schemars::JsonSchema;
use serde::Serialize;

use super::search::search;
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{base_name, escape, glob, join, names, optional, read_optional, show};
use crate::os::python::environment::{Settings, system_directories};
use crate::os::python::metadata::{fields, metadata_files};
use crate::os::python::requirement::normalized;

/// Where people put virtual environments.
const ROOTS: [&str; 6] = ["/opt", "/usr/local", "/home", "/root", "/srv", "/var/lib"];

/// What there is of Python.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Python {
    /// The interpreters in `/usr/bin` and `/usr/local/bin`.
    pub interpreters: Vec<Interpreter>,
    /// The environments with packages: the distribution's first.
    pub environments: Vec<PythonEnvironment>,
}

/// An interpreter.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Interpreter {
    /// Its program.
    pub path: String,
    /// Its version by the program's name, such as `3.11`.
    pub version: String,
}

/// A set of packages that are imported together.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PythonEnvironment {
    /// The directory of a virtual environment; of the distribution's packages otherwise.
    pub path: String,
    /// What a virtual environment was made from; none for the distribution's packages.
    #[serde(rename = "virtual")]
    pub venv: Option<VirtualEnvironment>,
    /// The packages by name.
    pub packages: Vec<PythonPackage>,
    /// Packages whose description cannot be read, and why.
    pub unreadable: Vec<String>,
}

/// What a virtual environment was made from.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct VirtualEnvironment {
    /// Version of its Python.
    pub version: String,
    /// The interpreter it was made with, or the directory that is in.
    pub base: Option<String>,
    /// Whether the distribution's packages are seen in it.
    pub system_packages: bool,
    /// Whether its own `bin/python` leads to a program.
    pub usable: bool,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PythonPackage {
    /// Its name, normalised: lower case, dashes.
    pub name: String,
    /// Its version, as it says.
    pub version: String,
    /// Whether it is imported from where somebody works on it.
    pub editable: bool,
}

/// Looks for Python. Virtual environments are looked for in `/opt`, `/usr/local`, `/home`, `/root`, `/srv` and
/// `/var/lib`, ten levels deep, containers left out.
///
/// # Errors
/// [`ReadError::Malformed`] for an environment that says no version, [`ReadError::Disk`].
pub(crate) fn python(tree: &mut dyn Tree) -> Result<Python, ReadError> {
    let interpreters = interpreters(tree)?;
    let mut directories = Vec::new();
    for interpreter in &interpreters {
        for directory in system_directories(tree, &interpreter.version)? {
            // Before and after /usr is merged, one directory may have two names.
            let real = tree.canonicalize(&directory)?;
            if !directories.contains(&real) {
                directories.push(real);
            }
        }
    }
    let mut environments = Vec::new();
    for directory in directories {
        let (packages, unreadable) = packages(tree, &directory)?;
        if !packages.is_empty() || !unreadable.is_empty() {
            environments.push(PythonEnvironment { path: show(&directory), venv: None, packages, unreadable });
        }
    }
    for root in virtual_environments(tree)? {
        environments.push(virtual_environment(tree, &root)?);
    }
    Ok(Python { interpreters, environments })
}

/// Programs called `pythonX.Y`; links to them by other names are left out.
fn interpreters(tree: &mut dyn Tree) -> Result<Vec<Interpreter>, ReadError> {
    let mut found = Vec::new();
    for pattern in ["/usr/bin/python?.*", "/usr/local/bin/python?.*"] {
        for path in glob(tree, pattern.as_bytes())? {
            let name = String::from_utf8_lossy(base_name(&path)).into_owned();
            let version = name.trim_start_matches("python");
            let numbers = version.split_once('.').is_some_and(|(major, minor)| {
                [major, minor].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
            });
            let file = optional(tree.stat(&path))?.is_some_and(|stat| stat.kind == FileKind::File);
            if numbers && file {
                found.push(Interpreter { path: show(&path), version: version.to_owned() });
            }
        }
    }
    Ok(found)
}

fn virtual_environments(tree: &mut dyn Tree) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut found = Vec::new();
    search(tree, &ROOTS, &mut |tree, path, stat| {
        if stat.kind != FileKind::Directory {
            return Ok(false);
        }
        let own = tree.exists(&join(path, b"pyvenv.cfg"))?;
        if own {
            found.push(path.to_vec());
        }
        Ok(!own)
    })?;
    Ok(found)
}

fn virtual_environment(tree: &mut dyn Tree, root: &[u8]) -> Result<PythonEnvironment, ReadError> {
    let settings = Settings::read(tree, root)?;
    let (mut all, mut unreadable) = (Vec::new(), Vec::new());
    let mut seen = Vec::new();
    for lib in ["lib", "lib64"] {
        let site = join(root, format!("{lib}/python{}/site-packages", settings.short()).as_bytes());
        // `lib64` is most often a link to `lib`.
        let Some(real) = optional(tree.canonicalize(&site))? else { continue };
        if seen.contains(&real) {
            continue;
        }
        let (found, wrong) = packages(tree, &real)?;
        all.extend(found);
        unreadable.extend(wrong);
        seen.push(real);
    }
    all.sort();
    let python = optional(tree.stat(&join(root, b"bin/python")))?;
    let venv = VirtualEnvironment {
        version: settings.full(),
        base: settings.base.as_deref().map(escape),
        system_packages: settings.system,
        usable: python.is_some_and(|stat| stat.kind == FileKind::File && stat.mode & 0o111 != 0),
    };
    Ok(PythonEnvironment { path: show(root), venv: Some(venv), packages: all, unreadable })
}

/// The packages in a directory such as `site-packages`, sorted, and what could not be read.
fn packages(tree: &mut dyn Tree, directory: &[u8]) -> Result<(Vec<PythonPackage>, Vec<String>), ReadError> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for path in metadata_files(tree, directory)? {
        let editable = match path.strip_suffix(b"METADATA") {
            Some(parent) => is_editable(tree, &join(parent, b"direct_url.json"))?,
            None => false,
        };
        match read_optional(tree, &path)?.map(|text| package(&text, editable)) {
            Some(Ok(package)) => found.push(package),
            Some(Err(reason)) => unreadable.push(format!("{}: {reason}", show(&path))),
            None => unreadable.push(format!("{}: it does not exist", show(&path))),
        }
    }
    for name in names(tree, directory)?.iter().filter(|name| name.ends_with(b".egg-link")) {
        let path = join(directory, name);
        match linked(tree, &path)? {
            Some(package) => found.push(package),
            None => unreadable.push(format!("{}: it leads to no package", show(&path))),
        }
    }
    found.sort();
    found.dedup();
    Ok((found, unreadable))
}

fn package(text: &[u8], editable: bool) -> Result<PythonPackage, &'static str> {
    let text = String::from_utf8_lossy(text);
    let get = |field: &str| fields(&text).find(|(name, _)| name == field).map(|(_, value)| value.to_owned());
    let name = get("name").ok_or("it says no name")?;
    let version = get("version").filter(|version| !version.is_empty()).ok_or("it says no version")?;
    let name = normalized(&name).ok_or("its name is none")?;
    Ok(PythonPackage { name, version: escape(&version), editable })
}

/// PEP 610: an installer leaves behind where a package comes from.
fn is_editable(tree: &mut dyn Tree, path: &[u8]) -> Result<bool, ReadError> {
    let Some(text) = read_optional(tree, path)? else { return Ok(false) };
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| ReadError::malformed(path, error.to_string()))?;
    Ok(value["dir_info"]["editable"] == true)
}

/// What older tools leave of an editable package: a file with the directory of its sources.
fn linked(tree: &mut dyn Tree, path: &[u8]) -> Result<Option<PythonPackage>, ReadError> {
    let text = read_optional(tree, path)?.unwrap_or_default();
    let directory = text.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii();
    if !directory.starts_with(b"/") {
        return Ok(None);
    }
    for path in metadata_files(tree, directory)? {
        if let Some(text) = read_optional(tree, &path)?
            && let Ok(package) = package(&text, true)
        {
            return Ok(Some(package));
        }
    }
    Ok(None)
}

/// For the fuzzer: reads any text as METADATA and as `pyvenv.cfg`.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn any_text(text: &[u8]) {
    let _ = package(text, false);
    let _ = Settings::parse(text);
}

#[cfg(test)]
#[path = "python_tests.rs"]
mod tests;
