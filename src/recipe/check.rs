//! What a finished image must hold, in the recipe's check language.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ServiceState;

/// One assertion about an image at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "check", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Check {
    /// A package is installed (or is not).
    Package {
        /// Its name.
        name: String,
        /// `false`: it must not be there.
        #[serde(default = "yes")]
        installed: bool,
        /// Beginning of the version, without epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// Something is at a path (or is not).
    Path {
        /// Absolute path. A link in its last part is not followed unless `kind` says otherwise.
        path: String,
        /// `false`: nothing may be there.
        #[serde(default = "yes")]
        exists: bool,
        /// `file`, `directory` or `symlink`. With `file` and `directory` links are followed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<PathKind>,
        /// Permission bits, octal text such as `"0440"`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<String>,
        /// Owner, by name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Group, by name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Text that must stand in the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contains: Option<String>,
        /// Text that must not stand in the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lacks: Option<String>,
        /// What a symbolic link points to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
    /// A unit's state at boot.
    Unit {
        /// Unit name with suffix.
        name: String,
        /// The state it must have.
        state: ServiceState,
    },
    /// A user exists.
    User {
        /// Name.
        name: String,
        /// Its id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Groups it must be in.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<String>,
    },
    /// A group exists.
    Group {
        /// Name.
        name: String,
    },
    /// No user and no group has this id.
    IdFree {
        /// The id.
        id: u32,
    },
    /// cloud-init's effective `datasource_list` holds all of these.
    Datasources {
        /// Names such as `ConfigDrive`, `OpenStack`.
        names: Vec<String>,
    },
}

/// Kinds of path a check can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

fn yes() -> bool {
    true
}

impl Check {
    /// One line for people and reports: `package mariadb-server is installed`.
    pub fn title(&self) -> String {
        match self {
            Self::Package { name, installed: true, version: None } => format!("package {name} is installed"),
            Self::Package { name, installed: true, version: Some(v) } => {
                format!("package {name} is version {v}")
            }
            Self::Package { name, installed: false, .. } => format!("package {name} is not installed"),
            Self::Path { path, exists: false, .. } => format!("{path} does not exist"),
            Self::Path { path, kind, mode, owner, group, contains, lacks, target, .. } => {
                let mut wants = vec![match kind {
                    Some(PathKind::File) => "is a file".to_owned(),
                    Some(PathKind::Directory) => "is a directory".to_owned(),
                    Some(PathKind::Symlink) => "is a link".to_owned(),
                    None => "exists".to_owned(),
                }];
                wants.extend(mode.as_ref().map(|m| format!("has mode {m}")));
                wants.extend(owner.as_ref().map(|o| format!("belongs to {o}")));
                wants.extend(group.as_ref().map(|g| format!("has group {g}")));
                wants.extend(contains.as_ref().map(|c| format!("contains `{c}`")));
                wants.extend(lacks.as_ref().map(|c| format!("does not contain `{c}`")));
                wants.extend(target.as_ref().map(|t| format!("points to {t}")));
                format!("{path} {}", wants.join(", "))
            }
            Self::Unit { name, state } => format!("{name} is {}", state.adjective()),
            Self::User { name, .. } => format!("user {name} exists"),
            Self::Group { name } => format!("group {name} exists"),
            Self::IdFree { id } => format!("no user or group has id {id}"),
            Self::Datasources { names } => format!("cloud-init reads {}", names.join(", ")),
        }
    }
}

impl ServiceState {
    /// `enabled`, `disabled`, `masked`.
    pub fn adjective(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Masked => "masked",
        }
    }
}
