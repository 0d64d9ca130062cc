//! What a recipe sets of SELinux: the items of `[[selinux]]`, and the step that they become.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::when::When;
use crate::check::SelinuxMode;

/// SELinux, for guests that have a policy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selinux {
    pub(super) when: Option<When>,
    /// How it starts.
    pub(super) mode: Option<SelinuxMode>,
    /// Labels of paths that the policy does not know, such as those that data is moved to.
    #[serde(default)]
    pub(super) fcontext: Vec<Fcontext>,
    /// Switches of the policy.
    #[serde(default)]
    pub(super) booleans: BTreeMap<String, bool>,
    /// Ports that services of the policy may use.
    #[serde(default)]
    pub(super) port: Vec<Port>,
}

/// A label for paths.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fcontext {
    /// A regular expression for whole paths, as `semanage fcontext` takes it: `/srv/db(/.*)?`.
    pub(super) path: String,
    /// The type, a whole label, or `<<none>>`.
    pub(super) label: String,
    /// Only files of this kind; all by default.
    pub(super) kind: Option<FcontextKind>,
}

/// A type for ports.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    /// A number, or a range such as `8000-8010`.
    pub(super) port: String,
    /// `tcp`, by default, or `udp`.
    #[serde(default)]
    pub(super) protocol: PortProtocol,
    /// The type, or a whole label.
    pub(super) label: String,
}

/// How a port is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PortProtocol {
    #[default]
    Tcp,
    Udp,
}

/// Kinds of files that rules tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FcontextKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    Block,
    /// A character device.
    Character,
}

impl FcontextKind {
    /// As `file_contexts` has it.
    fn flag(self) -> &'static str {
        match self {
            Self::File => "--",
            Self::Directory => "-d",
            Self::Symlink => "-l",
            Self::Fifo => "-p",
            Self::Socket => "-s",
            Self::Block => "-b",
            Self::Character => "-c",
        }
    }
}

/// All that a stage sets of SELinux.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SelinuxStep {
    /// How it starts; `None` to leave that as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<SelinuxMode>,
    /// Labels of paths.
    pub fcontexts: Vec<FcontextRule>,
    /// Switches of the policy.
    pub booleans: BTreeMap<String, bool>,
    /// Labels of ports.
    pub ports: Vec<PortRule>,
}

/// A label for paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FcontextRule {
    /// The expression.
    pub path: String,
    /// Only files of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<FcontextKind>,
    /// A whole label, or `<<none>>`.
    pub label: String,
}

/// A label for ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortRule {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The first port.
    pub low: u16,
    /// The last one.
    pub high: u16,
    /// A whole label.
    pub label: String,
}

impl FcontextRule {
    /// What it speaks of: two rules with the same are one.
    pub fn key(&self) -> String {
        format!("{} {}", self.path, self.kind.map_or("", FcontextKind::flag))
    }

    /// Its line in `file_contexts.local`.
    pub fn line(&self) -> String {
        format!("{} {} {}", self.path, self.kind.map_or("  ", FcontextKind::flag), self.label)
    }
}

impl PortRule {
    /// What it speaks of: two rules with the same are one.
    pub fn key(&self) -> String {
        match self.low == self.high {
            true => format!("portcon {} {}", self.protocol, self.low),
            false => format!("portcon {} {} - {}", self.protocol, self.low, self.high),
        }
    }

    /// Its line in `ports.local`.
    pub fn line(&self) -> String {
        format!("{} {}", self.key(), self.label)
    }
}

impl SelinuxStep {
    /// One line for people.
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = self.mode.iter().map(|mode| mode.name().to_owned()).collect();
        parts.extend(self.fcontexts.iter().map(|rule| format!("{} gets {}", rule.path, rule.label)));
        parts.extend(
            self.booleans.iter().map(|(name, on)| format!("{name} {}", if *on { "on" } else { "off" })),
        );
        parts.extend(self.ports.iter().map(PortRule::line));
        format!("SELinux: {}", parts.join(", "))
    }
}
