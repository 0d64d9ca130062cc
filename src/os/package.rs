//! A package, whatever manager installed it.

use serde::Serialize;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// Its name, without architecture.
    pub name: String,
    /// Its full version, epoch included.
    pub version: String,
    /// Its architecture, by the package manager's name.
    pub arch: String,
    /// How many bytes its files take, as it says itself; absent if it does not say.
    /// Not part of a manifest, which it would only make longer.
    #[serde(skip)]
    pub installed_size: Option<u64>,
}
