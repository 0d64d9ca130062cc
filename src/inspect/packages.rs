//! What is installed.

use schemars::JsonSchema;
use serde::Serialize;

use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::packages::{Manager, database};

/// Programs that install packages, and where they are.
const TOOLS: [(&str, &[u8]); 6] = [
    ("apt", b"/usr/bin/apt-get"),
    ("dnf5", b"/usr/bin/dnf5"),
    ("dnf", b"/usr/bin/dnf"),
    ("yum", b"/usr/bin/yum"),
    ("microdnf", b"/usr/bin/microdnf"),
    ("zypper", b"/usr/bin/zypper"),
];

/// Installed packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Packages {
    /// Whose database it is: `dpkg` or `rpm`.
    pub database: String,
    /// Programs there are to install more.
    pub tools: Vec<String>,
    /// How many packages.
    pub count: usize,
    /// Bytes they take up, as their makers say; absent where the database does not tell.
    pub installed_size: Option<u64>,
    /// The packages, sorted by name.
    pub packages: Vec<InstalledPackage>,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its full version, epoch included.
    pub version: String,
    /// Its architecture, by the package manager's name.
    pub arch: String,
    /// Bytes it takes up, as its maker says.
    pub installed_size: Option<u64>,
}

pub(crate) fn packages(tree: &mut dyn Tree) -> Result<Packages, ReadError> {
    let database = database(tree)?;
    let packages: Vec<InstalledPackage> = database
        .installed
        .into_iter()
        .map(|package| InstalledPackage {
            name: package.name,
            version: package.version,
            arch: package.arch,
            installed_size: package.installed_size,
        })
        .collect();
    let mut tools = Vec::new();
    for (name, path) in TOOLS {
        if tree.exists(path)? {
            tools.push(name.to_owned());
        }
    }
    Ok(Packages {
        database: match database.manager {
            Manager::Dpkg => "dpkg",
            Manager::Rpm => "rpm",
        }
        .to_owned(),
        tools,
        count: packages.len(),
        installed_size: packages
            .iter()
            .filter_map(|package| package.installed_size)
            .reduce(u64::saturating_add),
        packages,
    })
}
