//! Where the agent's code comes from, and the fingerprint of what a person's own directory holds.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::error::AgentError;
use super::git::{Mirror, Patience};
use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::control::Control;
use crate::digest::{Digest, Hasher};
use crate::recipe::{AgentCode, AgentStep, GitSource};

/// The distribution that Trove is on PyPI.
const TROVE: &str = "trove";
/// Files in one source tree; more is not a source tree but somebody's home directory.
const MOST_FILES: usize = 100_000;

/// Where the agent's code comes from, with what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The index, in a version or the newest.
    Index { version: Option<String> },
    /// A commit of a repository, which is in the cache.
    Git {
        repository: GitSource,
        commit: String,
        /// The commit and the tag before it: what its version is made of.
        described: String,
    },
    /// A source tree.
    Tree(PathBuf),
    /// A wheel.
    Wheel(PathBuf),
    /// A source distribution.
    Sdist(PathBuf),
}

impl Origin {
    /// Looks at what is there where a step takes the agent from. What is in a repository has been settled before.
    pub(crate) fn of_step(step: &AgentStep, cache: &Cache, control: &Control) -> Result<Self, AgentError> {
        let AgentCode::Git(repository) = &step.source else { return Self::find(&step.source) };
        let mirror = Mirror::open(repository, cache, true, Patience::default(), control)?;
        let commit = match &step.commit {
            Some(commit) => commit.clone(),
            None => mirror.find(repository, control)?.commit,
        };
        let described = mirror.describe(&commit, control)?;
        Ok(Self::Git { repository: repository.clone(), commit, described })
    }

    /// Looks at what is there where a plan takes the agent from.
    pub(crate) fn find(code: &AgentCode) -> Result<Self, AgentError> {
        let refuse =
            |problem: &str| AgentError::Source { wanted: code.to_string(), problem: problem.to_owned() };
        let path = match code {
            AgentCode::Pypi { version } => return Ok(Self::Index { version: version.clone() }),
            AgentCode::Path(path) => path,
            AgentCode::Git(_) => return Err(refuse("its commit is not known yet")),
        };
        let path = std::path::absolute(path).map_err(|error| refuse(&error.to_string()))?;
        // `wanted` names it already.
        std::fs::metadata(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => refuse("there is no such file or directory"),
            _ => refuse(&error.to_string()),
        })?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            let project =
                ["pyproject.toml", "setup.py", "setup.cfg"].iter().any(|file| path.join(file).is_file());
            return if project {
                Ok(Self::Tree(path))
            } else {
                Err(refuse("the directory has no pyproject.toml, setup.py or setup.cfg"))
            };
        }
        match name.as_str() {
            name if name.ends_with(".whl") => Ok(Self::Wheel(path)),
            name if name.ends_with(".tar.gz") => Ok(Self::Sdist(path)),
            _ => Err(refuse("the file is neither a .whl nor a .tar.gz")),
        }
    }

    /// pip's requirement, where the origin is the index.
    pub(crate) fn requirement(version: Option<&str>) -> String {
        version.map_or(TROVE.to_owned(), |version| format!("{TROVE}=={version}"))
    }

    /// What identifies the origin: the version asked for, or the content of the person's own files.
    pub(crate) fn fingerprint(&self, cancel: &Cancel) -> Result<String, AgentError> {
        Ok(match self {
            Self::Index { version } => Self::requirement(version.as_deref()),
            Self::Git { commit, described, .. } => format!("git {commit} {described}"),
            Self::Wheel(file) | Self::Sdist(file) => format!("file {}", hash_file(file)?.0),
            Self::Tree(root) => {
                let mut hash = Hasher::default();
                for entry in walk(root)? {
                    cancel.check()?;
                    let path = root.join(&entry);
                    // Of a repository only what decides the version counts: the commit and the tags.
                    let text = entry.to_string_lossy();
                    let git = text.starts_with(".git/");
                    if git
                        && !(text == ".git/HEAD"
                            || text == ".git/packed-refs"
                            || text.starts_with(".git/refs/"))
                    {
                        continue;
                    }
                    let content = if path.is_symlink() {
                        let target = fs::read_link(&path).map_err(AgentError::io("read", &path))?;
                        Digest::of(target.as_os_str().as_encoded_bytes())
                    } else {
                        hash_file(&path)?.0
                    };
                    hash.update(format!("{content} {text}\n"));
                }
                format!("tree {}", hash.finish())
            }
        })
    }
}

/// SHA-256 and length of a file.
pub(crate) fn hash_file(path: &Path) -> Result<(Digest, u64), AgentError> {
    let file = fs::File::open(path).map_err(AgentError::io("open", path))?;
    Digest::of_reader(file).map_err(AgentError::io("read", path))
}

/// Copies a source tree, so that a build writes nothing (egg-info, AUTHORS, ChangeLog, build/) into the original.
pub(crate) fn copy_tree(from: &Path, to: &Path, cancel: &Cancel) -> Result<(), AgentError> {
    for entry in walk(from)? {
        cancel.check()?;
        let (source, target) = (from.join(&entry), to.join(&entry));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(AgentError::io("create", parent))?;
        }
        if source.is_symlink() {
            let link = fs::read_link(&source).map_err(AgentError::io("read", &source))?;
            fs::os::unix::fs::symlink(link, &target).map_err(AgentError::io("create", &target))?;
        } else {
            fs::copy(&source, &target).map_err(AgentError::io("copy", &source))?;
        }
    }
    Ok(())
}

/// Files and links below `root`, sorted, without what tools leave in a source tree.
fn walk(root: &Path) -> Result<Vec<PathBuf>, AgentError> {
    const LEFTOVERS: [&str; 9] = [
        "__pycache__",
        ".tox",
        ".nox",
        ".venv",
        ".eggs",
        ".stestr",
        ".mypy_cache",
        ".pytest_cache",
        "node_modules",
    ];
    let mut found = Vec::new();
    let mut queue = vec![PathBuf::new()];
    while let Some(directory) = queue.pop() {
        let path = root.join(&directory);
        for entry in fs::read_dir(&path).map_err(AgentError::io("read", &path))? {
            let entry = entry.map_err(AgentError::io("read", &path))?;
            let name = entry.file_name();
            let relative = directory.join(&name);
            let kind = entry.file_type().map_err(AgentError::io("read", &path))?;
            if kind.is_dir() {
                // A stale build/lib would put files into the wheel that the source no longer has.
                let stale = relative.starts_with("build/lib")
                    || relative.to_string_lossy().starts_with("build/bdist");
                if !stale && !LEFTOVERS.iter().any(|leftover| name == *leftover) {
                    queue.push(relative);
                }
            } else if kind.is_file() || kind.is_symlink() {
                found.push(relative);
            }
            if found.len() > MOST_FILES {
                return Err(AgentError::Source {
                    wanted: format!("path:{}", root.display()),
                    problem: format!("the directory holds more than {MOST_FILES} files"),
                });
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_decides() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("a.whl"), "").unwrap();
        fs::write(root.join("a.tar.gz"), "").unwrap();
        fs::write(root.join("a.txt"), "").unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        fs::create_dir(root.join("tree")).unwrap();
        fs::write(root.join("tree/setup.cfg"), "").unwrap();
        let path = |name: &str| format!("path:{}", root.join(name).display());
        let good = [
            ("pypi".to_owned(), Origin::Index { version: None }),
            ("pypi:26.0.0".to_owned(), Origin::Index { version: Some("26.0.0".to_owned()) }),
            (path("a.whl"), Origin::Wheel(root.join("a.whl"))),
            (path("a.tar.gz"), Origin::Sdist(root.join("a.tar.gz"))),
            (path("tree"), Origin::Tree(root.join("tree"))),
        ];
        for (text, origin) in good {
            assert_eq!(Origin::find(&text.parse().unwrap()).unwrap(), origin);
        }
        for bad in [path("a.txt"), path("empty"), path("missing")] {
            let found = Origin::find(&bad.parse().unwrap());
            assert!(matches!(found, Err(AgentError::Source { .. })), "{bad}");
        }
    }

    #[test]
    fn a_trees_fingerprint_follows_its_content_and_commit() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join(".git/objects")).unwrap();
        fs::write(root.join("setup.cfg"), "").unwrap();
        fs::write(root.join(".git/HEAD"), "1").unwrap();
        let print = || Origin::Tree(root.to_owned()).fingerprint(&Cancel::new()).unwrap();
        let first = print();
        fs::create_dir(root.join("__pycache__")).unwrap();
        fs::write(root.join("__pycache__/x.pyc"), "x").unwrap();
        fs::write(root.join(".git/objects/x"), "x").unwrap();
        assert_eq!(print(), first, "caches and packed objects do not count");
        fs::write(root.join(".git/HEAD"), "2").unwrap();
        let second = print();
        assert_ne!(second, first);
        fs::write(root.join("a.py"), "x").unwrap();
        assert_ne!(print(), second);
    }
}
