//! Asking the index: which wheels make up the agent for this guest.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::error::AgentError;
use super::metadata::{WheelName, canonical};
use super::pip::{Complaint, Failed, HostEnv, Pip, Target};
use super::spec::{Origin, copy_tree, hash_file};
use super::store::{Lock, Store};
use super::{AgentFile, AgentRequest};
use crate::cache::Bucket;
use crate::cache::WorkDir;
use crate::control::Control;
use crate::recipe::Content;

/// Distributions that may have to be built from source for one agent.
const MOST_BUILDS: usize = 30;

/// One resolution, on its way.
pub(crate) struct Resolver<'a> {
    pub(crate) request: &'a AgentRequest<'a>,
    pub(crate) origin: &'a Origin,
    pub(crate) target: Target,
    pub(crate) env: &'a HostEnv,
    pub(crate) control: &'a Control,
}

/// What the check found unsatisfied.
#[derive(Deserialize)]
struct Unsatisfied {
    requirer: String,
    requirement: String,
    have: Option<String>,
}

/// The directories of one resolution.
struct Desk<'a> {
    pip: Pip<'a>,
    work: WorkDir,
    /// Wheels built on this host, which pip looks into before the index.
    built: PathBuf,
    constraints: Option<PathBuf>,
}

impl Resolver<'_> {
    /// Resolves online, and takes the wheels into the store.
    pub(crate) fn run(&self, store: &Store) -> Result<Lock, AgentError> {
        let pip = Pip::find(
            self.env,
            self.request.cache.directory(Bucket::Pip),
            self.target,
            &self.control.cancel,
        )?;
        let work = self.request.cache.work()?;
        let built = self.directory(work.path(), "built")?;
        let constraints = self.constraints(work.path())?;
        let desk = Desk { pip, work, built, constraints };
        let (top, name) = self.top(&desk)?;
        let extra = &self.request.step.extra;
        let wheels = self.download_all(&desk, &top, extra)?;
        let (mut files, requires): (Vec<_>, Vec<_>) = store.take(&wheels)?.into_iter().unzip();
        for file in &mut files {
            let name_of = |text: &String| canonical(requirement_name(text));
            let this = canonical(&file.name);
            file.requested = this == canonical(&name) || extra.iter().any(|text| name_of(text) == this);
        }
        self.check(&desk, &name, &files, &requires)?;
        let top = files.iter().find(|file| canonical(&file.name) == canonical(&name)).cloned();
        let top =
            top.ok_or_else(|| AgentError::Pip { action: format!("download {name}"), tail: Vec::new() })?;
        Ok(Lock::new(top.name, top.version, files, self.env))
    }

    /// What to ask pip for (a requirement or a wheel), and the distribution's name.
    fn top(&self, desk: &Desk<'_>) -> Result<(String, String), AgentError> {
        let wheel = match self.origin {
            Origin::Index { version: Some(version) } => {
                return Ok((Origin::requirement(Some(version)), Origin::requirement(None)));
            }
            // Settled first and by itself: else pip would go back to ever older agents when a dependency of
            // the newest cannot be had, and nobody would know why.
            Origin::Index { version: None } => {
                let version = self.newest(desk)?;
                self.control
                    .events
                    .note(format!("the newest agent for Python 3.{} is {version}", self.target.minor));
                return Ok((Origin::requirement(Some(&version)), Origin::requirement(None)));
            }
            Origin::Wheel(path) => path.clone(),
            Origin::Sdist(path) => self.build(desk, path, &path.display().to_string())?,
            Origin::Tree(path) => {
                let copy = self.directory(desk.work.path(), "source")?;
                copy_tree(path, &copy, &self.control.cancel)?;
                self.build(desk, &copy, &path.display().to_string())?
            }
        };
        let name = wheel_name(&wheel)?.name;
        Ok((wheel.display().to_string(), name))
    }

    fn newest(&self, desk: &Desk<'_>) -> Result<String, AgentError> {
        let name = Origin::requirement(None);
        let dest = self.directory(desk.work.path(), "newest")?;
        let mut arguments = vec!["--only-binary=:all:".to_owned(), "--no-deps".to_owned()];
        arguments.extend(desk.constraint_arguments());
        arguments.push(name.clone());
        let wheel = match desk.pip.download(&arguments, &dest, self.control) {
            Ok(()) => only_file(&dest)?,
            Err(Failed::Complaint(complaint)) if complaint.unmatched.is_some() => {
                self.build_missing(desk, &name, complaint)?
            }
            Err(failed) => return Err(self.explain(failed, &format!("look up {name}"))),
        };
        Ok(wheel_name(&wheel)?.version)
    }

    /// Downloads `top` and all it needs as wheels; what has none is built, one after the other.
    fn download_all(&self, desk: &Desk<'_>, top: &str, extra: &[String]) -> Result<PathBuf, AgentError> {
        let wheels = self.directory(desk.work.path(), "wheels")?;
        let mut arguments = vec!["--only-binary=:all:".to_owned()];
        arguments.extend(["--find-links".to_owned(), desk.built.display().to_string()]);
        arguments.extend(desk.constraint_arguments());
        arguments.push(top.to_owned());
        arguments.extend_from_slice(extra);
        let mut built: Vec<String> = Vec::new();
        loop {
            match desk.pip.download(&arguments, &wheels, self.control) {
                Ok(()) => return Ok(wheels),
                Err(Failed::Complaint(complaint)) => {
                    let requirement = complaint.unmatched.clone();
                    match requirement.filter(|wanted| !complaint.network && !built.contains(wanted)) {
                        Some(wanted) if built.len() < MOST_BUILDS => {
                            self.build_missing(desk, &wanted, complaint)?;
                            built.push(wanted);
                        }
                        _ => {
                            return Err(self.explain(Failed::Complaint(complaint), &format!("resolve {top}")));
                        }
                    }
                }
                Err(failed) => return Err(self.explain(failed, &format!("resolve {top}"))),
            }
        }
    }

    /// Fetches the source of something that has no wheel, and builds one if that gives a pure one.
    fn build_missing(
        &self,
        desk: &Desk<'_>,
        requirement: &str,
        wheels: Box<Complaint>,
    ) -> Result<PathBuf, AgentError> {
        let sources = self.directory(desk.work.path(), "sources")?;
        let mut arguments = vec!["--no-deps".to_owned()];
        arguments.push(format!("--no-binary={}", requirement_name(requirement)));
        arguments.extend(desk.constraint_arguments());
        arguments.push(requirement.to_owned());
        match desk.pip.download(&arguments, &sources, self.control) {
            Ok(()) => {}
            // There is no source either: what was said about the wheels is the better story.
            Err(Failed::Complaint(complaint)) if complaint.unmatched.is_some() => {
                let better =
                    if wheels.available.len() + wheels.other_python.len() > 0 { wheels } else { complaint };
                return Err(self.explain(Failed::Complaint(better), &format!("find {requirement}")));
            }
            Err(Failed::Complaint(complaint)) if !complaint.network => {
                return Err(self.no_wheel(
                    requirement,
                    "its source cannot be prepared on this host",
                    complaint.tail,
                ));
            }
            Err(failed) => return Err(self.explain(failed, &format!("find {requirement}"))),
        }
        self.build(desk, &only_file(&sources)?, requirement)
    }

    /// Builds a wheel on this host; only a pure one is for the guest, too.
    fn build(&self, desk: &Desk<'_>, source: &Path, what: &str) -> Result<PathBuf, AgentError> {
        self.control
            .events
            .warning(format!("{what} is built from source on this host, which runs its build script"));
        let fresh = self.directory(desk.work.path(), "fresh")?;
        match desk.pip.build(source, &fresh, self.control) {
            Ok(()) => {}
            Err(Failed::Complaint(complaint)) if !complaint.network => {
                return Err(self.no_wheel(what, "building it on this host failed", complaint.tail));
            }
            Err(failed) => return Err(self.explain(failed, &format!("build {what}"))),
        }
        let wheel = only_file(&fresh)?;
        if !wheel_name(&wheel)?.is_pure() {
            return Err(self.no_wheel(
                what,
                "it holds compiled code, which cannot be built for the guest here",
                Vec::new(),
            ));
        }
        let kept = desk.built.join(wheel.file_name().unwrap_or_default());
        fs::rename(&wheel, &kept).map_err(AgentError::io("rename", &wheel))?;
        Ok(kept)
    }

    /// Checks every requirement of every wheel, by the guest's environment markers.
    fn check(
        &self,
        desk: &Desk<'_>,
        name: &str,
        files: &[AgentFile],
        requires: &[Vec<String>],
    ) -> Result<(), AgentError> {
        let dists: Vec<_> = files
            .iter()
            .zip(requires)
            .map(|(file, requires)| {
                serde_json::json!({ "name": file.name, "version": file.version, "requires": requires })
            })
            .collect();
        let mut roots = vec![name.to_owned()];
        roots.extend_from_slice(&self.request.step.extra);
        let path = desk.work.path().join("bundle.json");
        let bundle = serde_json::json!({ "roots": roots, "dists": dists });
        fs::write(&path, bundle.to_string()).map_err(AgentError::io("write", &path))?;
        let action = "check the requirements";
        let out = desk.pip.check(&path, self.control).map_err(|failed| self.explain(failed, action))?;
        let problems: Vec<Unsatisfied> = serde_json::from_slice(&out)
            .map_err(|error| AgentError::Pip { action: action.to_owned(), tail: vec![error.to_string()] })?;
        match problems.into_iter().next() {
            None => Ok(()),
            Some(Unsatisfied { requirer, requirement, have }) => {
                Err(AgentError::Unsatisfied { requirer, requirement, have })
            }
        }
    }

    fn explain(&self, failed: Failed, action: &str) -> AgentError {
        let complaint = match failed {
            Failed::Error(error) => return error,
            Failed::Complaint(complaint) => complaint,
        };
        let (guest, action) = (self.target.minor, action.to_owned());
        if complaint.network {
            return AgentError::Network { action, tail: complaint.tail };
        }
        if let Some(needs) = complaint.wheel_needs {
            let (name, version) = match self.origin {
                Origin::Wheel(path) => match wheel_name(path) {
                    Ok(wheel) => (wheel.name, wheel.version),
                    Err(error) => return error,
                },
                _ => (self.request.step.source.to_string(), "as given".to_owned()),
            };
            return AgentError::NeedsPython { name, version, needs, guest, fits: None };
        }
        let Some(requirement) = complaint.unmatched else {
            return AgentError::Pip { action, tail: complaint.tail };
        };
        let wanted = requirement.split_once("==").map(|(_, version)| version.trim_start_matches('='));
        // pip lists what it passed over without saying of which project; so only the agent's own are believed.
        let agents = requirement_name(&requirement) == Origin::requirement(None);
        let passed_over = complaint.other_python.iter().filter(|_| agents);
        let other = match wanted {
            Some(wanted) => passed_over.clone().find(|(version, _)| version == wanted),
            None => passed_over.clone().next_back().filter(|_| complaint.available.is_empty()),
        };
        if let Some((version, needs)) = other.cloned() {
            let fits = complaint.available.into_iter().rfind(|version| is_final(version));
            let name = requirement_name(&requirement).to_owned();
            return AgentError::NeedsPython { name, version, needs, guest, fits };
        }
        AgentError::NoSuchVersion { requirement, available: complaint.available }
    }

    fn no_wheel(&self, requirement: &str, reason: &str, tail: Vec<String>) -> AgentError {
        AgentError::NoWheel {
            requirement: requirement.to_owned(),
            guest: self.target.minor,
            platform: self.target.platforms().swap_remove(0),
            reason: reason.to_owned(),
            tail,
        }
    }

    /// An empty directory in the working directory.
    fn directory(&self, work: &Path, name: &str) -> Result<PathBuf, AgentError> {
        let path = work.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(AgentError::io("remove", &path))?;
        }
        fs::create_dir(&path).map_err(AgentError::io("create", &path))?;
        Ok(path)
    }

    /// The constraints, as the plan knows them, in a file for pip.
    fn constraints(&self, work: &Path) -> Result<Option<PathBuf>, AgentError> {
        let copy = work.join("constraints.txt");
        match &self.request.step.constraints {
            // A person gives a file for it.
            None | Some(Content::Url(_)) => return Ok(None),
            Some(Content::Text(text)) => fs::write(&copy, text).map_err(AgentError::io("write", &copy))?,
            Some(Content::Host { path, sha256, .. }) => {
                fs::copy(path, &copy).map_err(AgentError::io("read", path))?;
                if hash_file(&copy)?.0 != *sha256 {
                    return Err(AgentError::Changed { path: path.clone() });
                }
            }
        }
        Ok(Some(copy))
    }
}

impl Desk<'_> {
    fn constraint_arguments(&self) -> Vec<String> {
        let path = self.constraints.as_ref().map(|path| path.display().to_string());
        path.map_or_else(Vec::new, |path| vec!["--constraint".to_owned(), path])
    }
}

/// The name at the start of a requirement.
fn requirement_name(requirement: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let text = requirement.trim();
    text.find(|c| !plain(c)).map_or(text, |end| &text[..end])
}

/// Not a pre-release.
fn is_final(version: &str) -> bool {
    !version.replace("post", "").chars().any(|c| c.is_ascii_alphabetic())
}

fn wheel_name(path: &Path) -> Result<WheelName, AgentError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    WheelName::parse(&file).ok_or_else(|| AgentError::wheel(&file, "its file name is not a wheel's"))
}

/// The one file that pip put into a directory that was empty.
fn only_file(directory: &Path) -> Result<PathBuf, AgentError> {
    let mut entries = fs::read_dir(directory).map_err(AgentError::io("read", directory))?;
    match (entries.next(), entries.next()) {
        (Some(Ok(entry)), None) => Ok(entry.path()),
        (Some(Err(error)), _) => Err(AgentError::io("read", directory)(error)),
        _ => Err(AgentError::Pip { action: "deliver exactly one file".to_owned(), tail: Vec::new() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_in_requirements() {
        for (text, name) in
            [("redis", "redis"), ("a.b-c_d>=1,<2", "a.b-c_d"), ("x[y]==1", "x"), (" z ; a", "z")]
        {
            assert_eq!(requirement_name(text), name);
        }
        for (version, last) in [("1.0", true), ("1.0.post1", true), ("26.0.0.0rc1", false), ("1.dev2", false)]
        {
            assert_eq!(is_final(version), last, "{version}");
        }
    }
}
