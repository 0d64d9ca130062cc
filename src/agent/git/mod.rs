//! Agents from git: a mirror in the cache, brought up to date when online, and what a reference means in it.

mod explain;
mod update;

use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::error::AgentError;
use crate::cache::{Cache, FileLock, MirrorPlace};
use crate::control::Control;
use crate::host::git::git;
use crate::host::process;
use crate::host::process::ProcessError;
use crate::recipe::GitSource;

use explain::explain;
use update::update;

/// Names of branches and tags that a message lists.
const LISTED: usize = 8;

/// How often a server that does not answer is asked again, and how long is waited before the first time. The wait doubles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) retries: u32,
    pub(crate) backoff: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { retries: 5, backoff: Duration::from_millis(500) }
    }
}

/// A mirror of a repository that nobody removes while this lives.
#[derive(Debug)]
pub(crate) struct Mirror {
    place: MirrorPlace,
    url: String,
    head: Option<String>,
    _in_use: FileLock,
}

/// What a reference means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The whole hash.
    pub(crate) commit: String,
    /// The name of the branch or tag, without `refs/…/`; `None` for a hash.
    pub(crate) name: Option<String>,
}

impl Mirror {
    /// The mirror of a repository, up to date unless `offline`.
    pub(crate) fn open(
        source: &GitSource,
        cache: &Cache,
        offline: bool,
        patience: Patience,
        control: &Control,
    ) -> Result<Self, AgentError> {
        let url = location(source)?;
        let place = cache.mirror(&url);
        let lock = cache.lock_path(&place.lock());
        if !offline && !is_there_already(&place, source, control)? {
            let _alone = FileLock::exclusive(&lock, "fetching a repository", control)?;
            update(&place, &url, source, cache, patience, control)?;
        }
        let in_use = FileLock::shared(&lock, "fetching a repository", control)?;
        let meta = place
            .meta()
            .ok_or_else(|| AgentError::Offline { missing: format!("a mirror of the repository `{url}`") })?;
        place.touch();
        Ok(Self { place, url, head: meta.head, _in_use: in_use })
    }

    /// What the source's reference means in the mirror.
    pub(crate) fn find(&self, source: &GitSource, control: &Control) -> Result<Found, AgentError> {
        let wanted = match (&source.reference, &self.head) {
            (Some(reference), _) => reference.clone(),
            (None, Some(head)) => head.clone(),
            (None, None) => {
                return Err(AgentError::NoReference {
                    reference: "HEAD".to_owned(),
                    url: self.url.clone(),
                    near: self.near("", control)?,
                });
            }
        };
        for full in [format!("refs/heads/{wanted}"), format!("refs/tags/{wanted}")] {
            if let Some(commit) = self.commit(&full, control)? {
                return Ok(Found { commit, name: Some(wanted) });
            }
        }
        if (is_hash(&wanted) || wanted.starts_with("refs/"))
            && let Some(commit) = self.commit(&wanted, control)?
        {
            return Ok(Found { commit, name: None });
        }
        let near = self.near(&wanted, control)?;
        Err(AgentError::NoReference { reference: wanted, url: self.url.clone(), near })
    }

    /// The text of a file in a commit; `None` if it has none of that name.
    pub(crate) fn file(
        &self,
        commit: &str,
        path: &str,
        control: &Control,
    ) -> Result<Option<String>, AgentError> {
        match self.read(&["cat-file", "blob", &format!("{commit}:{path}")], control) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(ProcessError::Failed { .. }) => Ok(None),
            Err(error) => Err(explain(error, &self.url, "read a file of")),
        }
    }

    /// The commit and the tag before it, in words: what a version is made of.
    pub(crate) fn describe(&self, commit: &str, control: &Control) -> Result<String, AgentError> {
        let out = self.read(&["describe", "--tags", "--long", "--always", "--abbrev=40", commit], control);
        let out = out.map_err(|error| explain(error, &self.url, "describe a commit of"))?;
        Ok(String::from_utf8_lossy(&out).trim().to_owned())
    }

    /// Checks a commit out into `target`, which is to be made. It is a repository of its own that borrows the mirror's objects:
    /// what builds it may ask git for its version and for the list of its files.
    pub(crate) fn check_out(&self, commit: &str, target: &Path, control: &Control) -> Result<(), AgentError> {
        let failed = |error| explain(error, &self.url, "check out a commit of");
        let mut clone = git(&["file"]);
        clone.args(["clone", "--quiet", "--shared", "--no-checkout", "--template=", "--"]);
        clone.arg(self.place.repository()).arg(target);
        process::run(&mut clone, control).map_err(failed)?;
        let mut checkout = git(&[]);
        checkout.arg("-C").arg(target).args(["checkout", "--quiet", "--detach", commit, "--"]);
        process::run(&mut checkout, control).map_err(failed)?;
        Ok(())
    }

    fn commit(&self, name: &str, control: &Control) -> Result<Option<String>, AgentError> {
        let peeled = format!("{name}^{{commit}}");
        match self.read(&["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled], control) {
            Ok(bytes) => {
                Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|text| is_hash(text)))
            }
            Err(ProcessError::Failed { .. }) => Ok(None),
            Err(error) => Err(explain(error, &self.url, "look up a name in")),
        }
    }

    fn read(&self, arguments: &[&str], control: &Control) -> Result<Vec<u8>, ProcessError> {
        process::run(git(&[]).arg("--git-dir").arg(self.place.repository()).args(arguments), control)
    }

    /// Names of branches and tags that come nearest to one that there is not.
    fn near(&self, wanted: &str, control: &Control) -> Result<Vec<String>, AgentError> {
        let names =
            self.read(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags"], control);
        let names = names.map_err(|error| explain(error, &self.url, "list the branches of"))?;
        Ok(nearest(wanted, String::from_utf8_lossy(&names).lines()))
    }
}

/// The nearest of some names: a branch may have got another prefix (`unmaintained/`), or be a tag by now (`-eol`).
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let last = wanted.rsplit('/').next().unwrap_or(wanted);
    let mut ranked: Vec<_> = names
        .map(|name| {
            let holds = !last.is_empty() && name.contains(last);
            (!holds, strsim::damerau_levenshtein(wanted, name), name)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(LISTED).map(|(_, _, name)| name.to_owned()).collect()
}

/// What git is told: the URL, or the absolute path on this host.
fn location(source: &GitSource) -> Result<String, AgentError> {
    let url = source.repository.clone().unwrap_or_default();
    if url.contains("://") {
        return Ok(url);
    }
    let path = fs::canonicalize(&url).map_err(AgentError::io("find", Path::new(&url)))?;
    path.to_str().map(str::to_owned).ok_or_else(|| AgentError::Source {
        wanted: format!("git:{url}"),
        problem: "its path is not UTF-8".to_owned(),
    })
}

fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A commit that is asked for by its hash and is in the mirror cannot be another one tomorrow.
fn is_there_already(place: &MirrorPlace, source: &GitSource, control: &Control) -> Result<bool, AgentError> {
    let Some(hash) = source.reference.as_deref().filter(|name| is_hash(name)) else { return Ok(false) };
    if place.meta().is_none() {
        return Ok(false);
    }
    let mut command = git(&[]);
    command.arg("--git-dir").arg(place.repository()).args(["cat-file", "-e", &format!("{hash}^{{commit}}")]);
    match process::run(&mut command, control) {
        Ok(_) => Ok(true),
        Err(ProcessError::Failed { .. }) => Ok(false),
        Err(error) => Err(explain(error, "the mirror", "look into")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_near_to_one_that_is_gone() {
        let names = ["master", "stable/2026.1", "unmaintained/2023.1", "25.0.0", "zed-eol"];
        let first = |wanted: &str| nearest(wanted, names.into_iter())[0].clone();
        assert_eq!(first("stable/2023.1"), "unmaintained/2023.1");
        assert_eq!(first("stable/zed"), "zed-eol");
        assert_eq!(first("stable/2026"), "stable/2026.1");
        assert_eq!(first("mastr"), "master");
    }
}
