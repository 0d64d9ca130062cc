//! What the files of an operating system say: release, accounts, units, package databases, sudoers, journal,
//! cloud-init, Python.
//!
//! Everything here reads a [`Tree`](crate::disk::Tree) and changes nothing. What it reads is untrusted: garbage
//! becomes an error, never a panic.

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod cloud_config;
pub(crate) mod cloud_init;
pub(crate) mod datasource;
pub(crate) mod directories;
mod error;
pub(crate) mod files;
pub(crate) mod fnmatch;
pub(crate) mod identity;
pub mod journal;
mod package;
pub(crate) mod packages;
pub(crate) mod python;
pub(crate) mod release;
pub mod rpm;
pub mod selinux;
pub(crate) mod sudoers;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod unit;
pub(crate) mod version;
pub(crate) mod yaml;

pub use accounts::{Group, User, gid_of, groups, groups_of, uid_of, users};
pub use datasource::datasource_list;
pub use error::ReadError;
pub use package::Package;
pub(crate) use packages::dpkg_status;
pub use packages::packages;
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub use packages::parse_dpkg;
pub use release::{DetectError, detect_os};
pub use sudoers::Grant;
pub use unit::{
    InitScript, Instance, Preset, Presets, Unit, UnitFile, UnitIndex, UnitState, init_scripts, list as units,
    unit_state,
};
pub use version::accepts as accepts_version;
