//! What a plan leaves open until a build begins: the commit that a branch is now, and the constraints of its release.

use std::path::PathBuf;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::error::AgentError;
use super::git::{Found, Mirror, Patience};
use super::series::{self, Release};
use super::store::{Store, write_json};
use crate::cache::Cache;
use crate::control::Control;
use crate::digest::Digest;
use crate::fetch::{FetchError, Fetcher, Options, Url};
use crate::recipe::{AgentCode, AgentStep, ConstraintsFrom, ConstraintsUrl, Content, GitSource};

/// Bytes of a file of constraints. OpenStack's have 30 KiB.
const LARGEST: u64 = 4 << 20;

/// How an agent is settled.
#[derive(Debug, Clone, Copy)]
pub struct Settling<'a> {
    /// Keeps mirrors and constraints.
    pub cache: &'a Cache,
    /// Use what the cache holds and nothing else.
    pub offline: bool,
    /// The control plane's release.
    pub target: Option<Release>,
}

/// Puts into `step` what is found now: the commit, and constraints as a file in the cache. Returns what is likely to go wrong.
///
/// # Errors
/// [`AgentError`].
pub fn settle(
    step: &mut AgentStep,
    with: &Settling<'_>,
    control: &Control,
) -> Result<Vec<String>, AgentError> {
    settle_with(step, with, Patience::default(), control)
}

pub(crate) fn settle_with(
    step: &mut AgentStep,
    with: &Settling<'_>,
    patience: Patience,
    control: &Control,
) -> Result<Vec<String>, AgentError> {
    let mut warnings = Vec::new();
    let source = step.source.clone();
    let mut known = Known { series: None, mirror: None };
    match &source {
        AgentCode::Git(git) => {
            let mirror = Mirror::open(git, with.cache, with.offline, patience, control)?;
            let found = mirror.find(git, control)?;
            known.series = series_of(&mirror, &found, control)?;
            step.commit = Some(found.commit);
            known.mirror = Some(git.clone());
        }
        AgentCode::Pypi { version: Some(version) } => known.series = series::of_version(version),
        AgentCode::Pypi { version: None } | AgentCode::Path(_) => {}
    }
    if let (Some(target), Some(series)) = (with.target, &known.series) {
        warnings.extend(target.misfit_of(series, &step.source.to_string()));
    }
    let found = match step.constraints_from.clone() {
        None => return Ok(warnings),
        Some(ConstraintsFrom::Url(url)) => from_url(&url, with, control)?,
        Some(ConstraintsFrom::Auto { base, asked }) => {
            let series =
                known.series.clone().or_else(|| with.target.map(|target| target.number().to_owned()));
            // A release that somebody names for the control plane is no reason to constrain an agent of another kind.
            match series.filter(|_| known.series.is_some() || asked) {
                Some(series) => of_series(&base, &series, &known, with, patience, control)?,
                None if asked => return Err(AgentError::NoSeries { wanted: step.source.to_string() }),
                None => {
                    step.constraints_from = None;
                    control.events.note(format!(
                        "of which release `{}` is cannot be told, so its requirements are not constrained",
                        step.source
                    ));
                    return Ok(warnings);
                }
            }
        }
    };
    step.constraints_from =
        Some(ConstraintsFrom::Url(ConstraintsUrl { url: found.0, sha256: Some(found.1) }));
    step.constraints = Some(found.2);
    Ok(warnings)
}

/// What is known of an agent before it is resolved.
struct Known {
    /// The release of OpenStack as its files are called after it: `2026.1`, `zed`, `master`.
    series: Option<String>,
    /// The repository, if it comes from one.
    mirror: Option<GitSource>,
}

/// Constraints: where they are from, their digest, and the file in the cache.
type Kept = (String, Digest, Content);

/// The release that a commit belongs to: by the name of its branch or tag, or by what its own tree says of the branch it is for.
/// Only trees of OpenStack's say that, and only for those a branch `master` means anything.
fn series_of(mirror: &Mirror, found: &Found, control: &Control) -> Result<Option<String>, AgentError> {
    let Some(review) = mirror.file(&found.commit, ".gitreview", control)? else { return Ok(None) };
    let branch =
        review.lines().find_map(|line| line.trim().strip_prefix("defaultbranch").map(str::trim_start));
    let branch = branch.and_then(|rest| rest.strip_prefix('=')).map(str::trim);
    let by_name = found.name.as_deref().and_then(series::of_reference);
    Ok(by_name.or_else(|| series::of_reference(branch.unwrap_or("master"))))
}

/// The constraints of a release: from where all of them are, or else from the repository `requirements` beside the agent's.
fn of_series(
    base: &str,
    series: &str,
    known: &Known,
    with: &Settling<'_>,
    patience: Patience,
    control: &Control,
) -> Result<Kept, AgentError> {
    let url = format!("{}/{series}", base.trim_end_matches('/'));
    let first = match from_url(&ConstraintsUrl { url, sha256: None }, with, control) {
        Err(error @ (AgentError::Constraints { .. } | AgentError::Offline { .. })) => error,
        other => return other,
    };
    let Some(requirements) = known.mirror.as_ref().and_then(beside) else { return Err(first) };
    let Ok(mirror) = Mirror::open(&requirements, with.cache, with.offline, patience, control) else {
        return Err(first);
    };
    for branch in [format!("stable/{series}"), format!("unmaintained/{series}"), series.to_owned()] {
        let source = GitSource { reference: Some(branch.clone()), ..requirements.clone() };
        let Ok(found) = mirror.find(&source, control) else { continue };
        if let Some(text) = mirror.file(&found.commit, "upper-constraints.txt", control)? {
            let from = format!("git:{}@{branch}", requirements.repository.as_deref().unwrap_or_default());
            return keep(&from, text.as_bytes(), None, with.cache);
        }
    }
    Err(first)
}

/// `https://opendev.org/openstack/requirements` of `https://opendev.org/openstack/trove`.
fn beside(agent: &GitSource) -> Option<GitSource> {
    let url = agent.repository.as_deref()?.trim_end_matches('/');
    let (parent, name) = url.rsplit_once('/')?;
    let suffix = if name.ends_with(".git") { ".git" } else { "" };
    Some(GitSource { repository: Some(format!("{parent}/requirements{suffix}")), reference: None })
}

/// What was fetched from a URL, for builds without a connection.
#[derive(Serialize, Deserialize)]
struct Note {
    url: String,
    sha256: Digest,
}

fn from_url(wanted: &ConstraintsUrl, with: &Settling<'_>, control: &Control) -> Result<Kept, AgentError> {
    let store = Store::open(with.cache)?;
    let note = store.constraints_note(&wanted.url);
    // Bytes that are asked for by their digest need not be asked for twice.
    let known = wanted.sha256.or_else(|| {
        let note: Note = serde_json::from_slice(&fs::read(&note).ok()?).ok()?;
        Some(note.sha256).filter(|_| with.offline)
    });
    if let Some(digest) = known
        && let Some(content) = kept(&store.constraints(digest), digest)?
    {
        return Ok((wanted.url.clone(), digest, content));
    }
    if with.offline {
        return Err(AgentError::Offline { missing: format!("the constraints {}", wanted.url) });
    }
    let failed = |error: FetchError| match error {
        FetchError::Cancelled(cancelled) => AgentError::Cancelled(cancelled),
        source => AgentError::Constraints { url: wanted.url.clone(), source: Box::new(source) },
    };
    let url: Url = wanted
        .url
        .parse()
        .map_err(|_| AgentError::Source { wanted: wanted.url.clone(), problem: "it is no URL".to_owned() })?;
    control.events.note(format!("fetching the constraints {}", wanted.url));
    let fetcher = Fetcher::new(Options::default(), control).map_err(failed)?;
    let small = fetcher.small(&[url], LARGEST).map_err(failed)?;
    let found = keep(&wanted.url, &small.bytes, wanted.sha256, with.cache)?;
    write_json(&note, &Note { url: wanted.url.clone(), sha256: found.1 })?;
    Ok(found)
}

/// The file in the cache, if it holds what its name says.
fn kept(path: &PathBuf, digest: Digest) -> Result<Option<Content>, AgentError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AgentError::io("read", path)(error)),
    };
    let size = bytes.len() as u64;
    Ok((Digest::of(&bytes) == digest).then(|| Content::Host { path: path.clone(), sha256: digest, size }))
}

/// Takes constraints into the cache. They come from elsewhere and say versions, and nothing else: pip would take an index and
/// further files from them.
fn keep(from: &str, bytes: &[u8], expected: Option<Digest>, cache: &Cache) -> Result<Kept, AgentError> {
    let sha256 = Digest::of(bytes);
    let refuse = |problem: String| AgentError::BadConstraints { url: from.to_owned(), problem };
    if let Some(expected) = expected.filter(|expected| *expected != sha256) {
        return Err(refuse(format!("their SHA-256 is {sha256} instead of {expected}")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("they are not UTF-8".to_owned()))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !name || line.contains("://") || line.contains(" --") || !line.contains(['=', '<', '>', '~', '!'])
        {
            return Err(refuse(format!("line {} names no version of a distribution", number + 1)));
        }
    }
    let store = Store::open(cache)?;
    let path = store.constraints(sha256);
    store.write(&path, bytes)?;
    Ok((from.to_owned(), sha256, Content::Host { path, sha256, size: bytes.len() as u64 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_of_requirements_lies_beside() {
        for (agent, expected) in [
            ("https://h.example/openstack/trove", "https://h.example/openstack/requirements"),
            ("/srv/trove.git", "/srv/requirements.git"),
            ("ssh://git@h.example/trove/", "ssh://git@h.example/requirements"),
        ] {
            let source = GitSource { repository: Some(agent.to_owned()), reference: None };
            assert_eq!(beside(&source).unwrap().repository.as_deref(), Some(expected));
        }
    }

    #[test]
    fn constraints_from_elsewhere_say_versions_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path().to_owned())).unwrap();
        let keep = |text: &str| keep("https://h.example/c", text.as_bytes(), None, &cache);
        let good = "# these\n\noslo.log===5.0.0;python_version>='3.10'\nsix==1.16.0 # old\n";
        let (_, digest, content) = keep(good).unwrap();
        assert_eq!(digest, Digest::of(good.as_bytes()));
        let Content::Host { path, .. } = content else { panic!("a file") };
        assert_eq!(fs::read_to_string(path).unwrap(), good);
        for bad in [
            "--index-url https://evil.example/\n",
            "a==1\n-r /etc/passwd\n",
            "a @ https://evil.example/a.whl\n",
            "a==1 --hash=sha256:0\n",
            "<html>\n",
            "not found\n",
        ] {
            assert!(matches!(keep(bad), Err(AgentError::BadConstraints { .. })), "{bad}");
        }
    }
}
