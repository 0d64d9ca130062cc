//! Whether there is a guest agent and where its code comes from, as `--agent` and recipes say it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

use super::RecipeError;

/// Whether there is a guest agent, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSource {
    /// No agent.
    None,
    /// This code, in a virtual environment of its own.
    Code(AgentCode),
    /// A package of the distribution.
    Package(AgentPackage),
}

/// Where a guest agent's code comes from. As text it is what `--agent` takes: `pypi`, `pypi:26.0.0`, `git:…`, `path:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentCode {
    /// The Python package index.
    Pypi {
        /// Which release; the newest that the guest's Python can run if `None`.
        version: Option<String>,
    },
    /// A repository of git.
    Git(GitSource),
    /// A source tree, sdist or wheel on the host.
    Path(PathBuf),
}

/// A repository of git, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// Its URL, or a path of the host; `None`: the one that the recipe names.
    pub repository: Option<String>,
    /// A branch, a tag, a whole commit hash or a full name such as `refs/changes/…`; `None`: what the repository shows first.
    pub reference: Option<String>,
}

/// An agent that the package manager installs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPackage {
    /// The release of OpenStack whose repository of RDO is added: `caracal`.
    pub rdo: Option<String>,
}

/// Schemes of URLs that git may be asked for.
const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

impl GitSource {
    /// Reads what follows `git:`. The error is a fragment that says what is wrong with it.
    fn parse(text: &str) -> Result<Self, String> {
        let is_path = text.starts_with('/') || text.starts_with("./") || text.starts_with("../");
        let (repository, reference) = if text.contains("://") || is_path {
            // What stands before a host's name is a user, and no reference.
            let path = text
                .find("://")
                .map_or(0, |at| text[at + 3..].find('/').map_or(text.len(), |slash| at + 3 + slash));
            match text[path..].rsplit_once('@') {
                Some((rest, reference)) => (Some(&text[..path + rest.len()]), Some(reference)),
                None => (Some(text), None),
            }
        } else {
            (None, Some(text))
        };
        let repository = repository.map(|url| check_repository(url).map(|()| url.to_owned())).transpose()?;
        let reference = reference.map(|name| check_reference(name).map(|()| name.to_owned())).transpose()?;
        Ok(Self { repository, reference })
    }

    /// Whether the repository lies on this host.
    pub fn is_local(&self) -> bool {
        self.repository.as_deref().is_some_and(|url| !url.contains("://") || url.starts_with("file://"))
    }
}

/// Refuses what git must not be asked for.
pub(super) fn check_repository(url: &str) -> Result<(), String> {
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a repository's URL has no spaces".to_owned());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(());
    };
    if !SCHEMES.contains(&scheme) {
        return Err(format!("git is not asked for `{scheme}:`, only for {}", SCHEMES.join(", ")));
    }
    let host = rest.split('/').next().unwrap_or_default();
    if scheme != "file" && (host.is_empty() || host.starts_with('-')) {
        return Err("the URL names no host".to_owned());
    }
    // ssh wants a user's name, and only that.
    if host.rsplit_once('@').is_some_and(|(user, _)| scheme != "ssh" || user.contains(':')) {
        return Err("credentials do not belong into a URL: plans and manifests show it".to_owned());
    }
    if url.contains(['?', '#']) {
        return Err("a repository's URL has no query".to_owned());
    }
    Ok(())
}

/// Refuses what cannot be a name in a repository; so none can be taken for an option either.
fn check_reference(name: &str) -> Result<(), String> {
    let bad = name.is_empty()
        || name.starts_with(['-', '/', '.'])
        || name.ends_with(['/', '.'])
        || name.ends_with(".lock")
        || ["..", "//", "@{", "/."].iter().any(|part| name.contains(part))
        || name.contains(|c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c));
    match bad {
        true if name.contains(':') && !name.starts_with('-') => {
            Err(format!("`{name}` is neither a branch nor a URL with its scheme, such as `ssh://…`"))
        }
        true => Err(format!("`{name}` cannot be the name of a branch or tag")),
        false => Ok(()),
    }
}

impl AgentPackage {
    /// Reads what follows `package`, and its colon.
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('@') {
            Some(("rdo", series)) if !series.is_empty() && series.bytes().all(|b| b.is_ascii_lowercase()) => {
                Ok(Self { rdo: Some(series.to_owned()) })
            }
            _ => Err("after `package:` comes `rdo@` and a release by name, such as `rdo@caracal`".to_owned()),
        }
    }
}

impl AgentCode {
    /// Forgets where on this host it is: of the person's own code only that it is that stays.
    pub(super) fn forget_place(&mut self) {
        match self {
            Self::Path(path) => *path = PathBuf::new(),
            Self::Git(git) if git.is_local() => git.repository = Some(String::new()),
            Self::Git(_) | Self::Pypi { .. } => {}
        }
    }

    /// The same, as it may be shown to anybody: without paths of this host.
    #[must_use]
    pub fn anywhere(&self) -> Self {
        let mut code = self.clone();
        code.forget_place();
        code
    }
}

impl AgentSource {
    /// As [`AgentCode::forget_place`].
    pub(super) fn anywhere(&self) -> Self {
        match self {
            Self::Code(code) => Self::Code(code.anywhere()),
            other => other.clone(),
        }
    }
}

impl FromStr for AgentSource {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let package = match text.strip_prefix("package") {
            Some("") => return Ok(Self::Package(AgentPackage { rdo: None })),
            Some(rest) => rest.strip_prefix(':'),
            None => None,
        };
        match package {
            _ if text == "none" => Ok(Self::None),
            Some(rest) => {
                AgentPackage::parse(rest).map(Self::Package).map_err(|problem| wrong(text, problem))
            }
            None => text.parse().map(Self::Code),
        }
    }
}

impl FromStr for AgentCode {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let version = |version: &str| {
            let fine = version.starts_with(|c: char| c.is_ascii_digit())
                && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+!-_".contains(&byte));
            fine.then(|| version.to_owned())
        };
        match text.split_once(':') {
            None if text == "pypi" => Some(Self::Pypi { version: None }),
            Some(("pypi", text)) => version(text).map(|version| Self::Pypi { version: Some(version) }),
            Some(("git", rest)) if !rest.is_empty() => {
                return GitSource::parse(rest).map(Self::Git).map_err(|problem| wrong(text, problem));
            }
            Some(("path", path)) if !path.is_empty() => Some(Self::Path(path.into())),
            _ => None,
        }
        .ok_or_else(|| RecipeError::AgentSource { text: text.to_owned(), problem: None })
    }
}

fn wrong(text: &str, problem: String) -> RecipeError {
    // A password would be shown with it.
    let text = match text.split_once("://") {
        Some((scheme, rest)) => match rest.split_once('@') {
            Some((user, rest)) if !user.contains('/') => format!("{scheme}://{rest}"),
            _ => text.to_owned(),
        },
        None => text.to_owned(),
    };
    RecipeError::AgentSource { text, problem: Some(problem) }
}

impl fmt::Display for AgentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Code(code) => code.fmt(f),
            Self::Package(AgentPackage { rdo: None }) => f.write_str("package"),
            Self::Package(AgentPackage { rdo: Some(series) }) => write!(f, "package:rdo@{series}"),
        }
    }
}

impl fmt::Display for AgentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pypi { version: None } => f.write_str("pypi"),
            Self::Pypi { version: Some(version) } => write!(f, "pypi:{version}"),
            Self::Git(git) => {
                let repository = git.repository.as_deref().unwrap_or_default();
                let at = if git.repository.is_some() && git.reference.is_some() { "@" } else { "" };
                write!(f, "git:{repository}{at}{}", git.reference.as_deref().unwrap_or_default())
            }
            Self::Path(path) => write!(f, "path:{}", path.display()),
        }
    }
}

impl Serialize for AgentCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_sources_round_trip() {
        for text in [
            "none",
            "pypi",
            "pypi:26.0.0",
            "pypi:26.0.0rc1",
            "path:./trove",
            "path:/a/b:c.whl",
            "git:master",
            "git:stable/2026.1",
            "git:https://git.example/trove",
            "git:https://git.example/trove@stable/2026.1",
            "git:ssh://git@git.example/trove",
            "git:ssh://git@git.example/trove@25.0.0",
            "git:file:///srv/trove.git@refs/changes/26/322826/2",
            "git:/srv/trove@x",
            "package",
            "package:rdo@caracal",
        ] {
            assert_eq!(text.parse::<AgentSource>().unwrap().to_string(), text);
        }
        for text in
            ["", "None", "pypi:", "pypi:-r", "pypi:>=26", "path:", "git:", "26.0.0", "pypi:1 2", "packages"]
        {
            let error = text.parse::<AgentSource>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` does not say where the agent comes from"));
        }
    }

    #[test]
    fn a_reference_is_not_the_user_of_a_url() {
        let parse = |text: &str| GitSource::parse(text).unwrap();
        let git = parse("ssh://git@git.example/trove");
        assert_eq!((git.repository.as_deref(), git.reference), (Some("ssh://git@git.example/trove"), None));
        let git = parse("https://git.example/@a/trove@b/c");
        assert_eq!(git.repository.as_deref(), Some("https://git.example/@a/trove"));
        assert_eq!(git.reference.as_deref(), Some("b/c"));
    }

    #[test]
    fn what_git_and_package_managers_are_not_asked_for() {
        for (text, problem) in [
            ("git:-x", "cannot be the name"),
            ("git:--upload-pack=touch /tmp/x", "cannot be the name"),
            ("git:https://h.example/a@-x", "cannot be the name"),
            ("git:https://h.example/a@a..b", "cannot be the name"),
            ("git:https://h.example/a@", "cannot be the name"),
            ("git:a b", "cannot be the name"),
            ("git:git@h.example:a/b", "neither a branch nor a URL"),
            ("git:ext::sh -c touch% /tmp/x", "neither a branch nor a URL"),
            ("git:ext://sh/x", "not asked for `ext:`"),
            ("git:ftp://h.example/x", "not asked for `ftp:`"),
            ("git:https:///x", "names no host"),
            ("git:ssh://-oProxyCommand=x/x", "names no host"),
            ("git:ssh://-oProxyCommand=x@h.example/x", "names no host"),
            ("git:https://me:secret@h.example/x", "credentials"),
            ("git:https://token@h.example/x", "credentials"),
            ("git:ssh://me:secret@h.example/x", "credentials"),
            ("git:https://h.example/x?token=y", "no query"),
            ("package:rdo", "rdo@caracal"),
            ("package:rdo@-x", "rdo@caracal"),
            ("package:uca@caracal", "rdo@caracal"),
        ] {
            let error = text.parse::<AgentSource>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
