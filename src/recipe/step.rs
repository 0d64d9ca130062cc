//! The steps a plan is made of: the whole vocabulary of the customisation engine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::AgentCode;
use super::apparmor::ApparmorStep;
use super::artifact::ArtifactStep;
use super::constraints::ConstraintsFrom;
use super::containers::{CONTAINERS, Container};
use super::content::Content;
use super::selinux::SelinuxStep;
use crate::check::ServiceState;
use crate::toml_text::Place;

/// One change to a guest. Every step is idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Adds a package repository with its pinned key.
    Repository(RepositoryStep),
    /// Installs and removes packages.
    Packages(PackagesStep),
    /// Brings a file of a person's.
    Artifact(Box<ArtifactStep>),
    /// Makes a group.
    Group(GroupStep),
    /// Makes a user.
    User(UserStep),
    /// Makes a directory, or sets the owner and mode of one that exists.
    Directory {
        /// Absolute path.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Owner, by name.
        owner: String,
        /// Group, by name.
        group: String,
    },
    /// Writes a file.
    File(FileStep),
    /// Makes a symbolic link.
    Link {
        /// Absolute path of the link.
        path: String,
        /// What it points to.
        target: String,
    },
    /// Adds public keys to a user's `authorized_keys`.
    AuthorizedKeys {
        /// The user, who must exist by then.
        user: String,
        /// Keys in OpenSSH's one-line form.
        keys: Vec<String>,
    },
    /// Sets up SELinux.
    Selinux(SelinuxStep),
    /// Sets up a profile of AppArmor.
    Apparmor(ApparmorStep),
    /// Sets whether a unit starts at boot.
    Service(ServiceStep),
    /// Runs a script in the guest.
    Script(ScriptStep),
    /// Installs the Trove guest agent's code.
    Agent(AgentStep),
    /// Brings archives of container images, which the first boot loads.
    Containers {
        /// The images.
        containers: Vec<Container>,
    },
}

/// A package repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepositoryStep {
    /// File name without extension below `sources.list.d` or `yum.repos.d`.
    pub name: String,
    /// Base URL.
    pub url: String,
    /// apt: suite, such as `bookworm` or `bookworm-pgdg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// apt: components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// The OpenPGP key, ASCII-armoured.
    pub key: Content,
    /// Fingerprints of primary keys: 40 or 64 hexadecimal digits, upper case. No other key counts.
    #[serde(rename = "fingerprint", serialize_with = "one_or_many")]
    pub fingerprints: Vec<String>,
    /// The key's file holds others as well, which are left out.
    #[serde(skip_serializing_if = "is_false")]
    pub bundle: bool,
    /// Priority of everything from this repository. apt: of a pin. dnf: from 1, the first, to 99.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    /// dnf: its packages count whatever modules say.
    #[serde(skip_serializing_if = "is_false")]
    pub module_hotfixes: bool,
    /// dnf: the stream of a module that is enabled from then on; `None`: the module is disabled.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<String, Option<String>>,
    /// The URL that the image names in place of `url`: that of a mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_image: Option<String>,
}

impl RepositoryStep {
    /// One with nothing but what every repository has, for tests.
    #[cfg(test)]
    pub(crate) fn of(name: &str, url: &str, key: &str, fingerprint: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            suite: None,
            components: Vec::new(),
            key: Content::Text(key.to_owned()),
            fingerprints: vec![fingerprint.to_owned()],
            bundle: false,
            priority: None,
            module_hotfixes: false,
            modules: BTreeMap::new(),
            in_image: None,
        }
    }

    /// The same as apt has it.
    #[cfg(test)]
    pub(crate) fn with_suite(self, suite: &str) -> Self {
        Self { suite: Some(suite.to_owned()), components: vec!["main".to_owned()], ..self }
    }

    /// The URL that the image names.
    pub fn place_in_image(&self) -> &str {
        self.in_image.as_deref().unwrap_or(&self.url)
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn one_or_many<S: serde::Serializer>(values: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match values {
        [one] => one.serialize(serializer),
        many => many.serialize(serializer),
    }
}

/// Packages to install and remove, in one transaction each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PackagesStep {
    /// Names to install, optionally `name=version`; sorted.
    pub install: Vec<String>,
    /// Those of `install`, without version, whose recommended packages are installed as well; sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recommends: Vec<String>,
    /// Names to remove with their configuration; sorted.
    pub remove: Vec<String>,
    /// Debconf answers, as `debconf-set-selections` reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub debconf: Vec<String>,
    /// Variables that the packages' scripts find in their environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Where the recipe speaks of a package, by its name. Only for messages: it changes nothing in the guest.
    #[serde(skip)]
    pub places: BTreeMap<String, Place>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupStep {
    /// Name.
    pub name: String,
    /// Fixed id, if it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// A system group.
    pub system: bool,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserStep {
    /// Name.
    pub name: String,
    /// Fixed id, if it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Primary group; by default one named like the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Further groups; those that do not exist are an error.
    pub groups: Vec<String>,
    /// Home directory, made if missing.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// A system user.
    pub system: bool,
    /// May run everything as root without a password (`/etc/sudoers.d`, checked with `visudo`).
    pub sudo: bool,
    /// The recipe names the home directory. A user that the base has keeps its own, so only then it can be checked.
    #[serde(skip)]
    pub home_given: bool,
    /// The same of the login shell.
    #[serde(skip)]
    pub shell_given: bool,
    /// Hash of the password, as `/etc/shadow` has it; without one, no password lets the user in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileStep {
    /// Absolute path.
    pub path: String,
    /// What to write.
    pub content: Content,
    /// Permission bits.
    pub mode: u32,
    /// Owner, by name.
    pub owner: String,
    /// Group, by name.
    pub group: String,
}

/// A unit and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStep {
    /// Unit name with suffix (`mariadb.service`), or script name for init.d.
    pub unit: String,
    /// The state it shall have.
    pub state: ServiceState,
}

/// A script for the guest's `/bin/sh`; the last resort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptStep {
    /// What it is for, for messages.
    pub purpose: String,
    /// Text, run with `set -eu`.
    pub text: String,
    /// It needs the network.
    pub network: bool,
}

/// The agent's code in a virtual environment of its own. The bundle itself is resolved at build time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentStep {
    /// Where the code comes from.
    pub source: AgentCode,
    /// Root of the virtual environment: `/opt/guest-agent-venv`.
    pub venv: String,
    /// Python module whose import proves that the code runs: `trove.cmd.guest`.
    pub module: String,
    /// Owner of the files, by name.
    pub owner: String,
    /// Further requirements to install beside it (`redis`, `psycopg2-binary`), pip's syntax.
    pub extra: Vec<String>,
    /// Constraints file on the host, with its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Content>,
    /// Constraints that are found when a build begins. When they are, this is where, and `constraints` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints_from: Option<ConstraintsFrom>,
    /// Requirements that take the place of those that the agent states itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Content>,
    /// The commit that the source was when a build began, of a repository of git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl AgentStep {
    /// An agent that needs nothing but itself.
    pub fn new(source: AgentCode, venv: &str, module: &str, owner: &str) -> Self {
        Self {
            source,
            venv: venv.to_owned(),
            module: module.to_owned(),
            owner: owner.to_owned(),
            extra: Vec::new(),
            constraints: None,
            constraints_from: None,
            requirements: None,
            commit: None,
        }
    }

    /// One line for people.
    fn summary(&self) -> String {
        let commit =
            self.commit.as_ref().map(|commit| format!(" (commit {})", &commit[..12.min(commit.len())]));
        let requirements = self.requirements.as_ref().map(|_| ", with requirements of your own");
        let constraints = self.constraints_from.as_ref().map(|from| format!(", constraints {from}"));
        format!(
            "agent {}{} into {}{}{}",
            self.source,
            commit.unwrap_or_default(),
            self.venv,
            requirements.unwrap_or_default(),
            constraints.unwrap_or_default()
        )
    }
}

/// The name in what a recipe installs, `name` or `name=version`.
pub fn package_name(text: &str) -> &str {
    text.split('=').next().unwrap_or(text)
}

impl Content {
    /// Forgets where on the host it is; what it holds stays.
    fn forget_place(&mut self) {
        if let Self::Host { path, .. } = self {
            *path = PathBuf::new();
        }
    }
}

impl PackagesStep {
    /// Whether what a package of `install` recommends is wanted, too.
    pub fn recommends(&self, text: &str) -> bool {
        self.recommends.iter().any(|known| known == package_name(text))
    }
}

impl UserStep {
    /// The file that gives the user the rights of `sudo`. Its name has no dot, or sudo would not read it.
    pub fn sudoers(&self) -> String {
        format!("/etc/sudoers.d/60_tib_{}", self.name)
    }
}

impl Step {
    /// The step as it counts for digests: with what files of the host hold and without where they are, so that a recipe
    /// means the same in every directory. Of an agent of one's own the files are resolved and digested apart.
    #[must_use]
    pub(super) fn anywhere(&self) -> Self {
        let mut step = self.clone();
        // Without `_`, so that no kind can be forgotten.
        match &mut step {
            Self::Repository(repository) => repository.key.forget_place(),
            Self::Artifact(artifact) => artifact.forget_place(),
            Self::File(file) => file.content.forget_place(),
            Self::Apparmor(step) => {
                if let Some(content) = &mut step.content {
                    content.forget_place();
                }
            }
            Self::Agent(agent) => {
                agent.source.forget_place();
                for content in [&mut agent.constraints, &mut agent.requirements].into_iter().flatten() {
                    content.forget_place();
                }
                // What they led to is resolved, and digested with what it was resolved to.
                agent.constraints_from = None;
                agent.commit = None;
            }
            Self::Containers { containers } => {
                containers.iter_mut().for_each(|container| container.source.forget_place());
            }
            Self::Packages(_)
            | Self::Group(_)
            | Self::User(_)
            | Self::Directory { .. }
            | Self::Link { .. }
            | Self::AuthorizedKeys { .. }
            | Self::Selinux(_)
            | Self::Service(_)
            | Self::Script(_) => {}
        }
        step
    }

    /// One line for people: `install 3 packages (mariadb-server, …)`.
    pub fn summary(&self) -> String {
        match self {
            Self::Repository(r) => {
                let modules = r.modules.iter().map(|(name, stream)| match stream {
                    Some(stream) => format!("; enable module {name}:{stream}"),
                    None => format!("; disable module {name}"),
                });
                let mirror =
                    r.in_image.as_ref().map(|url| format!(", in the image {url}")).unwrap_or_default();
                format!("add repository {} ({}{mirror}){}", r.name, r.url, modules.collect::<String>())
            }
            Self::Packages(p) => {
                let mut parts = Vec::new();
                if !p.install.is_empty() {
                    parts.push(format!("install {}", p.install.join(", ")));
                }
                if !p.recommends.is_empty() {
                    let verb = if p.recommends.len() == 1 { "recommends" } else { "recommend" };
                    parts.push(format!("with what {} {verb}", p.recommends.join(", ")));
                }
                if !p.remove.is_empty() {
                    parts.push(format!("remove {}", p.remove.join(", ")));
                }
                if !p.debconf.is_empty() {
                    let count = p.debconf.len();
                    parts.push(format!("{count} debconf answer{}", if count == 1 { "" } else { "s" }));
                }
                if !p.environment.is_empty() {
                    let set = p.environment.iter().map(|(name, value)| format!("{name}={value}"));
                    parts.push(format!("with {}", set.collect::<Vec<_>>().join(", ")));
                }
                parts.join("; ")
            }
            Self::Artifact(artifact) => artifact.summary(),
            Self::Group(g) => format!("group {}", g.name),
            Self::User(u) => {
                format!("user {}{}", u.name, if u.password_hash.is_some() { " with a password" } else { "" })
            }
            Self::Directory { path, mode, owner, .. } => format!("directory {path} ({mode:04o} {owner})"),
            Self::File(f) => format!("file {} ({:04o} {})", f.path, f.mode, f.owner),
            Self::Link { path, target } => format!("link {path} -> {target}"),
            Self::AuthorizedKeys { user, keys } => {
                format!("{} SSH key{} for {user}", keys.len(), if keys.len() == 1 { "" } else { "s" })
            }
            Self::Selinux(selinux) => selinux.summary(),
            Self::Apparmor(step) => step.summary(),
            Self::Service(s) => format!("{} {}", s.state.verb(), s.unit),
            Self::Script(s) => format!("script: {}", s.purpose),
            Self::Agent(agent) => agent.summary(),
            Self::Containers { containers } => {
                let each: Vec<_> = containers.iter().map(Container::summary).collect();
                format!("containers in {CONTAINERS}: {}", each.join("; "))
            }
        }
    }
}
