//! The recipe file as a person writes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::StageName;
use super::apparmor::Apparmor;
use super::artifact::Artifact;
use super::contract::Contract;
use super::identity::Identity;
use super::selinux::Selinux;
use super::when::{OneOrMany, When};
use crate::check::ServiceState;

/// A recipe: what a guest image shall hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tib recipe")]
pub(super) struct RecipeFile {
    /// Its name; the file is called NAME.toml.
    #[schemars(with = "String")]
    pub(super) name: Spanned<String>,
    /// One line that says what it makes.
    pub(super) summary: String,
    /// More about it.
    pub(super) description: Option<String>,
    /// Recipes whose items come first.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) extends: Vec<Spanned<String>>,
    /// The stage its items belong to.
    #[serde(default = "datastore_stage")]
    pub(super) stage: StageName,
    /// Datastore the image is for, as Trove names it.
    pub(super) datastore: Option<String>,
    /// What the image promises its agent.
    pub(super) contract: Option<Contract>,
    /// The catalogue's image it is best made from, such as `debian-12`; `--base` takes another.
    pub(super) base: Option<String>,
    /// Whether firmware must be able to start the image; true unless it is said. False for images that are started with a
    /// kernel of their own.
    pub(super) boots: Option<bool>,
    /// Space its packages and files need, such as `700 MiB`.
    #[schemars(with = "Option<String>")]
    pub(super) needs: Option<Spanned<String>>,
    /// Disk that an instance needs at least, such as `4 GiB`: containers and logs have to find room.
    #[schemars(with = "Option<String>")]
    pub(super) min_disk: Option<Spanned<String>>,
    /// Memory that an instance needs at least, such as `1 GiB`.
    #[schemars(with = "Option<String>")]
    pub(super) min_ram: Option<Spanned<String>>,
    /// Operating systems it is made for; on any other it is refused.
    pub(super) when: Option<When>,
    /// What `--set` can change.
    #[serde(default)]
    pub(super) options: BTreeMap<String, Setting>,
    /// Files that a person brings with `--artifact`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Artifact>")]
    pub(super) artifact: BTreeMap<String, Spanned<Artifact>>,
    /// Package repositories.
    #[serde(default)]
    #[schemars(with = "Vec<Repository>")]
    pub(super) repository: Vec<Spanned<Repository>>,
    /// Groups.
    #[serde(default)]
    #[schemars(with = "Vec<Group>")]
    pub(super) group: Vec<Spanned<Group>>,
    /// Users.
    #[serde(default)]
    #[schemars(with = "Vec<User>")]
    pub(super) user: Vec<Spanned<User>>,
    /// Packages to install and remove.
    #[serde(default)]
    #[schemars(with = "Vec<Packages>")]
    pub(super) packages: Vec<Spanned<Packages>>,
    /// Directories.
    #[serde(default)]
    #[schemars(with = "Vec<Directory>")]
    pub(super) directory: Vec<Spanned<Directory>>,
    /// Files.
    #[serde(default)]
    #[schemars(with = "Vec<File>")]
    pub(super) file: Vec<Spanned<File>>,
    /// Kernel settings.
    #[serde(default)]
    #[schemars(with = "Vec<Sysctl>")]
    pub(super) sysctl: Vec<Spanned<Sysctl>>,
    /// SELinux: mode, labels, switches and ports.
    #[serde(default)]
    #[schemars(with = "Vec<Selinux>")]
    pub(super) selinux: Vec<Spanned<Selinux>>,
    /// Profiles of AppArmor: additions and modes.
    #[serde(default)]
    #[schemars(with = "Vec<Apparmor>")]
    pub(super) apparmor: Vec<Spanned<Apparmor>>,
    /// Symbolic links.
    #[serde(default)]
    #[schemars(with = "Vec<Link>")]
    pub(super) link: Vec<Spanned<Link>>,
    /// Scripts, the last resort.
    #[serde(default)]
    #[schemars(with = "Vec<Script>")]
    pub(super) script: Vec<Spanned<Script>>,
    /// Units and whether they start at boot.
    #[serde(default)]
    #[schemars(with = "Vec<Service>")]
    pub(super) service: Vec<Spanned<Service>>,
    /// The guest agent.
    #[schemars(with = "Option<Agent>")]
    pub(super) agent: Option<Spanned<Agent>>,
    /// cloud-init.
    #[schemars(with = "Option<CloudInit>")]
    pub(super) cloud_init: Option<Spanned<CloudInit>>,
    /// What packages and services write once and instances must not share. Sealing removes it, and the gate looks for it.
    #[serde(default)]
    #[schemars(with = "Vec<Identity>")]
    pub(super) identity: Vec<Spanned<Identity>>,
    /// What cannot be had, such as a vendor's packages for a release; refused when the plan is made.
    #[serde(default)]
    #[schemars(with = "Vec<Unsupported>")]
    pub(super) unsupported: Vec<Spanned<Unsupported>>,
    /// What the finished image must hold, beyond what follows from the items above.
    #[serde(default)]
    #[schemars(with = "Vec<CheckItem>")]
    pub(super) check: Vec<Spanned<CheckItem>>,
    /// What the user should know before building.
    #[serde(default)]
    #[schemars(with = "Vec<Note>")]
    pub(super) note: Vec<Spanned<Note>>,
}

fn datastore_stage() -> StageName {
    StageName::Datastore
}

fn root() -> String {
    "root".to_owned()
}

/// An option for `--set`. A recipe that extends another may give its options new defaults.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    /// What it does.
    pub(super) description: String,
    /// Its value when nobody sets one.
    pub(super) default: Option<String>,
    /// The only values it can have; any, if none are given.
    #[serde(default)]
    pub(super) values: Vec<String>,
    /// Values that depend on the operating system: `{ "debian-12" = "15" }`.
    #[serde(default)]
    pub(super) default_on: BTreeMap<String, String>,
}

/// A package repository.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Repository {
    pub(super) when: Option<When>,
    /// File name, without extension, of the repository's definition in the guest.
    pub(super) name: String,
    /// Base URL.
    pub(super) url: String,
    /// apt: suite.
    pub(super) suite: Option<String>,
    /// apt: components.
    #[serde(default)]
    pub(super) components: Vec<String>,
    /// The OpenPGP public key, ASCII-armoured.
    pub(super) key: Option<String>,
    /// A file that holds it, relative to the recipe.
    pub(super) key_file: Option<String>,
    /// Where its owner publishes it. It is fetched when a build starts; which key it must be, the fingerprint says.
    pub(super) key_url: Option<String>,
    /// Fingerprint of its primary key, or of several: 40 or 64 hexadecimal digits each, spaces allowed.
    pub(super) fingerprint: OneOrMany<String>,
    /// The file with the key is a bundle: it holds others, too, and only those with one of the fingerprints count.
    #[serde(default)]
    pub(super) bundle: bool,
    /// Priority of everything in it. apt: of a pin. dnf: from 1, the first, to 99.
    pub(super) priority: Option<i16>,
    /// dnf: its packages count whatever modules say.
    #[serde(default)]
    pub(super) module_hotfixes: bool,
    /// dnf: modules of the distribution that are enabled or disabled for it.
    pub(super) module: Option<Modules>,
}

/// Modules of the distribution.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Modules {
    /// To enable: `NAME:STREAM`.
    #[serde(default)]
    pub(super) enable: Vec<String>,
    /// To disable, by name.
    #[serde(default)]
    pub(super) disable: Vec<String>,
}

/// A group.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) when: Option<When>,
    /// Name.
    pub(super) name: String,
    /// Fixed id.
    pub(super) gid: Option<u32>,
    /// A system group.
    #[serde(default)]
    pub(super) system: bool,
}

/// A user. Entries for the same user add up.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) when: Option<When>,
    /// Name.
    pub(super) name: String,
    /// Fixed id.
    pub(super) uid: Option<u32>,
    /// Primary group; by default one named like the user.
    pub(super) group: Option<String>,
    /// Further groups, which must exist by then.
    #[serde(default)]
    pub(super) groups: Vec<String>,
    /// Home directory; by default /home/NAME.
    pub(super) home: Option<String>,
    /// Login shell; by default /bin/bash.
    pub(super) shell: Option<String>,
    /// A system user.
    #[serde(default)]
    pub(super) system: bool,
    /// May run everything as root, without a password.
    #[serde(default)]
    pub(super) sudo: bool,
    /// Hash of its password, as `/etc/shadow` has it (`mkpasswd -m yescrypt`); never the password itself.
    pub(super) password_hash: Option<String>,
}

/// Packages, by the names of the distribution.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Packages {
    pub(super) when: Option<When>,
    /// To install: `name` or `name=version`.
    #[serde(default)]
    pub(super) install: Vec<String>,
    /// Install what the packages of this item recommend, too.
    #[serde(default)]
    pub(super) recommends: bool,
    /// To remove, with their configuration.
    #[serde(default)]
    pub(super) remove: Vec<String>,
    /// Lines for debconf-set-selections.
    #[serde(default)]
    pub(super) debconf: Vec<String>,
    /// Variables for the scripts of all packages of the stage, such as `{ PERCONA_TELEMETRY_DISABLE = "1" }`.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
}

/// A directory.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Directory {
    pub(super) when: Option<When>,
    /// Absolute path.
    pub(super) path: String,
    /// Permission bits, octal; by default 0755.
    #[serde(default = "directory_mode")]
    pub(super) mode: String,
    /// Owner; by default root.
    #[serde(default = "root")]
    pub(super) owner: String,
    /// Group; by default root.
    #[serde(default = "root")]
    pub(super) group: String,
}

fn directory_mode() -> String {
    "0755".to_owned()
}

/// A file, with its text or a file of the host.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) when: Option<When>,
    /// Absolute path.
    pub(super) path: String,
    /// Its text.
    pub(super) text: Option<String>,
    /// A file of the host, relative to the recipe.
    pub(super) source: Option<String>,
    /// Permission bits, octal; by default 0644.
    #[serde(default = "file_mode")]
    pub(super) mode: String,
    /// Owner; by default root.
    #[serde(default = "root")]
    pub(super) owner: String,
    /// Group; by default root.
    #[serde(default = "root")]
    pub(super) group: String,
}

fn file_mode() -> String {
    "0644".to_owned()
}

/// A kernel setting.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sysctl {
    pub(super) when: Option<When>,
    /// Such as `net.ipv4.ip_forward`.
    pub(super) key: String,
    /// Its value.
    pub(super) value: String,
}

/// A symbolic link.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) when: Option<When>,
    /// Absolute path of the link.
    pub(super) path: String,
    /// What it points to.
    pub(super) target: String,
}

/// A script for the guest's `/bin/sh`, run with `set -eu`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    pub(super) when: Option<When>,
    /// What it is for, in a few words.
    pub(super) purpose: String,
    /// The script.
    pub(super) text: String,
    /// It needs the network.
    #[serde(default)]
    pub(super) network: bool,
}

/// Whether a unit starts at boot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) when: Option<When>,
    /// Unit name with suffix.
    pub(super) unit: String,
    /// The state it shall have.
    pub(super) state: ServiceState,
}

/// The guest agent. What a recipe leaves out is taken from the one it extends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    /// Where it comes from unless `--agent` says otherwise: `none`, `pypi`, `pypi:VERSION`, `git:BRANCH`, `git:URL@REF`,
    /// `package`, `package:rdo@RELEASE`.
    pub(super) source: Option<String>,
    /// The repository of git that `git:BRANCH` means.
    pub(super) repository: Option<String>,
    /// pip's constraints unless `--constraints` says otherwise: `none`, a URL, or `auto`: those of the release that an agent
    /// from git is of, where it is of one.
    pub(super) constraints: Option<String>,
    /// The URL of the constraints of a release, up to the release's name.
    pub(super) constraints_url: Option<String>,
    /// The user it runs as, who owns its files.
    pub(super) user: Option<String>,
    /// Root of its virtual environment.
    pub(super) venv: Option<String>,
    /// Module whose import proves that it runs.
    pub(super) module: Option<String>,
    /// Further requirements beside it, in pip's syntax. They add up.
    #[serde(default)]
    pub(super) extra: Vec<String>,
    /// Oldest Python it is written for: `3.11`.
    pub(super) python: Option<String>,
}

/// cloud-init's settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloudInit {
    pub(super) when: Option<When>,
    /// Where it looks for its configuration, in order. `None` is added at the end.
    pub(super) datasources: Vec<String>,
}

/// Something that cannot be had: refused when the plan is made, before anything is fetched or changed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Unsupported {
    /// When it is asked for.
    pub(super) when: When,
    /// Why it cannot be had, as in `MongoDB has no packages for Debian 13`.
    pub(super) because: String,
    /// What can be had in its place.
    pub(super) instead: String,
}

/// One sentence the user should know before building.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    pub(super) when: Option<When>,
    /// The sentence.
    pub(super) text: String,
}

/// A check with a condition. The rest of its keys are the check's own, read when its values are known.
#[derive(Debug, Clone)]
pub(super) struct CheckItem {
    pub(super) when: Option<When>,
    pub(super) rest: toml::Table,
}

impl<'de> Deserialize<'de> for CheckItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut rest = toml::Table::deserialize(deserializer)?;
        let message = |error: toml::de::Error| D::Error::custom(error.message());
        let when = rest.remove("when").map(toml::Value::try_into).transpose().map_err(message)?;
        // Values with templates in them are strings already, so the shape can be judged now.
        rest.clone().try_into::<crate::check::Check>().map_err(message)?;
        Ok(Self { when, rest })
    }
}

impl JsonSchema for CheckItem {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CheckItem".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let when = generator.subschema_for::<When>();
        let mut schema = crate::check::Check::json_schema(generator);
        let variants = schema.get_mut("oneOf").and_then(serde_json::Value::as_array_mut);
        for variant in variants.into_iter().flatten() {
            if let Some(properties) = variant.get_mut("properties").and_then(|p| p.as_object_mut()) {
                properties.insert("when".to_owned(), when.clone().to_value());
            }
        }
        schema
    }
}
