//! What a finished image must hold: the check language of recipes and of files for `tib verify --checks`.

mod apparmor;
mod error;
mod file;
mod listens;
mod mistake;
mod selinux;
mod service;
mod title;
mod validate;
mod version;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use apparmor::{ApparmorCheck, ProfileMode, rules};
pub use error::CheckFileError;
pub use file::CheckFile;
pub use listens::{Listens, ListensOn, Protocol};
pub(crate) use mistake::located;
pub use selinux::SelinuxMode;
pub use service::ServiceState;
pub use validate::pattern;
pub use version::{Bound, Relation, VersionWanted};

/// The JSON Schema of a file of checks.
pub fn schema() -> serde_json::Value {
    CheckFile::schema()
}

/// One assertion about an image: at rest, but for `listens`.
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
        /// Beginning of the version, without epoch; or bounds such as `>=10.6, <11`, in the order of the image's
        /// package manager.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// Something is at a path (or is not).
    Path(Box<PathCheck>),
    /// A unit's state at boot.
    Unit {
        /// Unit name with suffix.
        name: String,
        /// `false`: there must be no such unit.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        exists: bool,
        /// The state it must have; without it, the unit need only exist.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<ServiceState>,
    },
    /// A user exists (or does not).
    User(Box<UserCheck>),
    /// A group exists (or does not).
    Group {
        /// Name.
        name: String,
        /// `false`: it must not exist.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        exists: bool,
        /// Its id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
    },
    /// No user and no group has this id.
    IdFree {
        /// The id.
        id: u32,
    },
    /// A user or the members of a group may run everything as root (or nothing).
    Sudo {
        /// A user's name, or `%` and a group's.
        who: String,
        /// `false`: no rule of sudo may speak for them.
        #[serde(default = "yes")]
        allowed: bool,
        /// `false`: without being asked for a password; `true`: never without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<bool>,
    },
    /// cloud-init's effective `datasource_list` holds all of these.
    Datasources {
        /// Names such as `ConfigDrive`, `OpenStack`.
        names: Vec<String>,
    },
    /// systemd sets a kernel setting to this value at boot.
    Sysctl {
        /// Such as `net.ipv4.ip_forward`; `/` may stand for `.`.
        key: String,
        /// The value; runs of spaces count as one.
        value: String,
    },
    /// A key of configuration files has this value.
    Config(Box<ConfigCheck>),
    /// Nothing may be changed by everybody: no world-writable file or directory, except sticky directories themselves.
    WorldWritable {
        /// Directories to look below; everything by default.
        #[serde(default = "root", skip_serializing_if = "is_root")]
        below: Vec<String>,
        /// Paths that may be: `*` and `?` match within one part, `**` at the end everything below.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<String>,
    },
    /// No file is set-uid or set-gid, but for those listed.
    Setuid {
        /// Paths that may be, with patterns as in `world-writable`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        allow: Vec<String>,
    },
    /// Every symbolic link leads to something in the image, or to where things are at run time only (`/dev`,
    /// `/proc`, `/run`, `/sys`).
    Links {
        /// Directories to look below; everything by default.
        #[serde(default = "root", skip_serializing_if = "is_root")]
        below: Vec<String>,
        /// Links that need not, with patterns as in `world-writable`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<String>,
    },
    /// No link in a `.wants`, `.requires` or `.upholds` directory of systemd and no alias stands for a unit that does
    /// not exist.
    UnitLinks {},
    /// The SELinux label of a path, whose last part is not followed if it is a link.
    SelinuxLabel {
        /// Absolute path.
        path: String,
        /// A type (`mysqld_db_t`), a whole label, or `policy`, which is what the image's own policy wants.
        #[serde(default = "policy", skip_serializing_if = "is_policy")]
        label: String,
    },
    /// A profile of AppArmor: that there is one, what it does, and what a site has added to it.
    Apparmor(Box<ApparmorCheck>),
    /// Something listens on a port of the running instance: seen by `tib boot`, not at rest.
    Listens(Listens),
}

impl Check {
    /// Whether an image at rest shows it.
    pub fn is_at_rest(&self) -> bool {
        !matches!(self, Self::Listens(_))
    }
}

/// What must be at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathCheck {
    /// Absolute path. Links are followed, unless `kind` is `symlink`, or `target` is given without `kind`.
    pub path: String,
    /// `false`: nothing may be there, no link either.
    #[serde(default = "yes")]
    pub exists: bool,
    /// `file`, `directory` or `symlink`. With `symlink`, mode, owner and group are those of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PathKind>,
    /// Permission bits, octal text such as `"0440"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Owner, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// SHA-256 of the file's content, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Text that must stand in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Text that must not stand in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// A regular expression that must match somewhere in the file; `^` and `$` match at each line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// What a symbolic link points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl PathCheck {
    /// Something, of any kind, is at `path`.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            exists: true,
            kind: None,
            mode: None,
            owner: None,
            group: None,
            sha256: None,
            contains: None,
            lacks: None,
            matches: None,
            target: None,
        }
    }
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

/// What a user must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCheck {
    /// Name.
    pub name: String,
    /// `false`: there must be no such user.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub exists: bool,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Groups it must be in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Its home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Its login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// `true`: no password lets it in; `false`: one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
}

impl UserCheck {
    /// The user exists.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            exists: true,
            uid: None,
            groups: Vec::new(),
            home: None,
            shell: None,
            locked: None,
        }
    }
}

/// What a key of configuration files must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigCheck {
    /// The files, in the order in which the program reads them; `*` and `?` match within one part of a path.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(with = "OneOrMore")]
    pub path: Vec<String>,
    /// The sections (`[mysqld]`) that count; without it, what stands before the first one.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_more")]
    #[schemars(with = "OneOrMore")]
    pub section: Vec<String>,
    /// The key. Upper and lower case count as equal, and so do `-` and `_`.
    pub key: String,
    /// `false`: nothing may set it.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub set: bool,
    /// Its value, without quotes; without it, the key need only be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Which of several assignments the program takes: the `last` (by default) or the `first`, as sshd does.
    #[serde(default, skip_serializing_if = "Wins::is_last")]
    pub wins: Wins,
}

/// Which of several assignments counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wins {
    /// The first.
    First,
    /// The last.
    #[default]
    Last,
}

impl Wins {
    // By reference, as serde wants it.
    #[expect(clippy::trivially_copy_pass_by_ref)]
    fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// A text, or a list of texts.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(text) => vec![text],
        OneOrMore::More(texts) => texts,
    })
}

fn yes() -> bool {
    true
}

// By reference, as serde wants it.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_yes(value: &bool) -> bool {
    *value
}

fn root() -> Vec<String> {
    vec!["/".to_owned()]
}

fn policy() -> String {
    "policy".to_owned()
}

fn is_policy(label: &str) -> bool {
    label == "policy"
}

fn is_root(below: &[String]) -> bool {
    below == ["/"]
}
