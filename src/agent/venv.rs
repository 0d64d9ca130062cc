//! The virtual environment being laid out: where each file goes, who brought it, and what must not clash.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::error::AgentError;
use super::metadata::EntryPoint;
use crate::digest::{Digest, Hasher, HashingWriter};

/// Bytes all wheels together may unpack to.
const MOST_BYTES: u64 = 4 << 30;
/// Longest path of a virtual environment: kernels before 5.1 cut `#!` lines at 127 bytes.
const LONGEST: usize = 100;

/// A file that was laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) sha256: Digest,
    pub(crate) size: u64,
}

/// A virtual environment below a staging directory.
#[derive(Debug)]
pub(crate) struct Venv {
    staging: PathBuf,
    path: String,
    minor: u8,
    files: BTreeMap<String, (String, Placed)>,
    directories: BTreeSet<String>,
    room: u64,
}

impl Venv {
    /// Starts an environment that the guest will see as `path`, a plain absolute path.
    pub(crate) fn new(staging: &Path, path: &str, minor: u8) -> Result<Self, AgentError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let parts: Vec<_> = path.split('/').collect();
        let good = path.len() <= LONGEST
            && parts.len() > 1
            && parts[0].is_empty()
            && parts[1..].iter().all(|part| !matches!(*part, "" | "." | "..") && part.chars().all(plain));
        if !good {
            return Err(AgentError::Source {
                wanted: path.to_owned(),
                problem: format!(
                    "a virtual environment needs a plain absolute path of at most {LONGEST} bytes"
                ),
            });
        }
        let mut venv = Self {
            staging: staging.to_owned(),
            path: path.to_owned(),
            minor,
            files: BTreeMap::new(),
            directories: BTreeSet::new(),
            room: MOST_BYTES,
        };
        let root = venv.root();
        fs::create_dir_all(&root).map_err(AgentError::io("create", &root))?;
        let owner = "the virtual environment";
        let config = format!("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.{minor}\n");
        venv.place(owner, "pyvenv.cfg", false, &mut config.as_bytes(), u64::MAX)?;
        let python = format!("bin/python3.{minor}");
        let links = [
            ("bin/python3", "/usr/bin/python3"),
            ("bin/python", "python3"),
            (python.as_str(), "python3"),
            // Where distributions look for compiled modules in lib64.
            ("lib64", "lib"),
        ];
        for (link, target) in links {
            venv.claim(owner, link)?;
            let link = root.join(link);
            fs::os::unix::fs::symlink(target, &link).map_err(AgentError::io("create", &link))?;
        }
        let site = root.join(venv.site());
        fs::create_dir_all(&site).map_err(AgentError::io("create", &site))?;
        Ok(venv)
    }

    /// The environment on this host.
    pub(crate) fn root(&self) -> PathBuf {
        self.staging.join(self.path.trim_start_matches('/'))
    }

    /// Minor version of its Python.
    pub(crate) fn minor(&self) -> u8 {
        self.minor
    }

    /// Where modules go, relative to the environment.
    pub(crate) fn site(&self) -> String {
        format!("lib/python3.{}/site-packages", self.minor)
    }

    /// Where C headers of `dist` go, relative to the environment.
    pub(crate) fn headers(&self, dist: &str) -> String {
        format!("include/site/python3.{}/{dist}", self.minor)
    }

    /// The line that starts a script with the guest's interpreter.
    pub(crate) fn shebang(&self) -> String {
        format!("#!{}/bin/python3", self.path)
    }

    /// A path as RECORD has it: relative to where modules go.
    pub(crate) fn in_record(&self, path: &str) -> String {
        match path.strip_prefix(&format!("{}/", self.site())) {
            Some(inside) => inside.to_owned(),
            None => format!("../../../{path}"),
        }
    }

    /// Whether a module or package exists.
    pub(crate) fn has_module(&self, module: &str) -> bool {
        let stem = format!("{}/{}", self.site(), module.replace('.', "/"));
        let compiled = format!("{stem}.");
        self.files.contains_key(&format!("{stem}.py"))
            || self.files.contains_key(&format!("{stem}/__init__.py"))
            || self
                .files
                .range(compiled.clone()..)
                .next()
                .is_some_and(|(path, _)| path.starts_with(&compiled) && path.ends_with(".so"))
    }

    /// Writes the file `path` (relative to the environment), at most `limit` bytes of it, for `owner`.
    ///
    /// The same file twice is fine when it has the same content, as some namespace packages have it.
    pub(crate) fn place(
        &mut self,
        owner: &str,
        path: &str,
        executable: bool,
        content: &mut dyn Read,
        limit: u64,
    ) -> Result<Placed, AgentError> {
        if self.files.contains_key(path) {
            let mut hasher = Hasher::default();
            let size = copy(content, &mut hasher, limit.min(self.room))
                .map_err(|problem| problem.into_error(owner, path, &self.root()))?;
            let placed = Placed { sha256: hasher.finish(), size };
            return match &self.files[path] {
                (_, before) if *before == placed => Ok(placed),
                (first, _) => Err(conflict(path, first, owner)),
            };
        }
        self.claim(owner, path)?;
        let target = self.root().join(path);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(if executable { 0o755 } else { 0o644 })
            .open(&target)
            .map_err(AgentError::io("create", &target))?;
        let mut writer = HashingWriter::new(&mut file);
        let size = copy(content, &mut writer, limit.min(self.room))
            .map_err(|problem| problem.into_error(owner, path, &target))?;
        let placed = Placed { sha256: writer.finish().1, size };
        self.room -= size;
        self.files.insert(path.to_owned(), (owner.to_owned(), placed));
        Ok(placed)
    }

    /// Writes the command of an entry point, as pip would.
    pub(crate) fn place_command(
        &mut self,
        owner: &str,
        entry: &EntryPoint,
    ) -> Result<(String, Placed), AgentError> {
        let (module, object) = (&entry.module, &entry.object);
        let import = object.split('.').next().unwrap_or(object);
        let script = format!(
            "{}\n# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom {module} import {import}\nif __name__ == '__main__':\n    \
             sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit({object}())\n",
            self.shebang()
        );
        let path = format!("bin/{}", entry.command);
        let placed = self.place(owner, &path, true, &mut script.as_bytes(), u64::MAX)?;
        Ok((path, placed))
    }

    /// Reserves a path, and makes its directories.
    fn claim(&mut self, owner: &str, path: &str) -> Result<(), AgentError> {
        if let Some((first, _)) = self.files.get(path) {
            return Err(conflict(path, first, owner));
        }
        if self.directories.contains(path) {
            return Err(conflict(path, "a directory of another distribution", owner));
        }
        for (index, _) in path.match_indices('/') {
            let parent = &path[..index];
            if let Some((first, _)) = self.files.get(parent) {
                return Err(conflict(parent, first, owner));
            }
            if self.directories.insert(parent.to_owned()) {
                let directory = self.root().join(parent);
                fs::create_dir_all(&directory).map_err(AgentError::io("create", &directory))?;
            }
        }
        // A link, or the file that is going to be written: what it holds replaces this.
        let nothing = Placed { sha256: Digest::from_bytes([0; 32]), size: 0 };
        self.files.insert(path.to_owned(), (owner.to_owned(), nothing));
        Ok(())
    }
}

fn conflict(path: &str, first: &str, second: &str) -> AgentError {
    AgentError::Conflict { path: path.to_owned(), first: first.to_owned(), second: second.to_owned() }
}

enum Problem {
    TooLong,
    Read(std::io::Error),
    Write(std::io::Error),
}

impl Problem {
    fn into_error(self, owner: &str, path: &str, target: &Path) -> AgentError {
        match self {
            Self::TooLong => AgentError::wheel(owner, format!("`{path}` is longer than it may be")),
            Self::Read(error) => AgentError::wheel(owner, format!("`{path}` cannot be unpacked: {error}")),
            Self::Write(source) => AgentError::Io { action: "write", path: target.to_owned(), source },
        }
    }
}

/// Copies at most `limit` bytes, keeping apart whose fault an error is.
fn copy(from: &mut dyn Read, to: &mut dyn Write, limit: u64) -> Result<u64, Problem> {
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Problem::Read(error)),
        };
        total += read as u64;
        if total > limit {
            return Err(Problem::TooLong);
        }
        to.write_all(&buffer[..read]).map_err(Problem::Write)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn venv() -> (tempfile::TempDir, Venv) {
        let staging = tempfile::tempdir().unwrap();
        let venv = Venv::new(staging.path(), "/opt/venv", 11).unwrap();
        (staging, venv)
    }

    #[test]
    fn the_same_file_twice_must_be_the_same() {
        let (_staging, mut venv) = venv();
        let mut put =
            |owner, path, text: &str| venv.place(owner, path, false, &mut text.as_bytes(), 100).map(drop);
        put("a", "lib/x/y.py", "1").unwrap();
        put("b", "lib/x/y.py", "1").unwrap();
        for (path, text) in [
            ("lib/x/y.py", "2"),
            ("lib/x", "a file where a directory is"),
            ("lib/x/y.py/z", "a directory where a file is"),
            ("lib64/x", "through the link"),
            ("lib64", ""),
            ("bin/python3", ""),
            ("pyvenv.cfg", ""),
        ] {
            let error = put("c", path, text).unwrap_err();
            assert!(matches!(error, AgentError::Conflict { .. }), "{path}: {error}");
        }
    }

    #[test]
    fn nothing_grows_past_its_limit() {
        let (_staging, mut venv) = venv();
        let error = venv.place("a", "x", false, &mut std::io::repeat(0), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "wheel `a` is refused: `x` is longer than it may be");
    }

    #[test]
    fn environments_have_plain_paths() {
        let staging = tempfile::tempdir().unwrap();
        for bad in ["opt/venv", "/", "/opt/../etc", "/opt//x", "/opt/a b", "/opt/x\ny", &"/x".repeat(60)] {
            assert!(Venv::new(staging.path(), bad, 11).is_err(), "{bad}");
        }
    }

    #[test]
    fn modules_are_found_as_file_package_or_extension() {
        let (_staging, mut venv) = venv();
        let site = venv.site();
        for path in ["a/__init__.py", "a/b.py", "a/c.cpython-311-x86_64-linux-gnu.so"] {
            venv.place("x", &format!("{site}/{path}"), false, &mut &b""[..], 0).unwrap();
        }
        for (module, found) in [("a", true), ("a.b", true), ("a.c", true), ("a.d", false), ("b", false)] {
            assert_eq!(venv.has_module(module), found, "{module}");
        }
    }
}
