//! Looking into images, virt-ls style: packages, units, users, checks, the sealing gate, reports.
//!
//! Everything here reads a [`Tree`](crate::disk::Tree) and changes nothing. What it reads is untrusted: garbage
//! becomes an error or a failed check, never a panic and never a pass.

mod accounts;
mod checks;
mod cloud_config;
mod contract;
mod datasource;
pub mod diff;
mod directories;
mod error;
mod examine;
pub mod extract;
pub mod inspect;
pub mod journal;
pub mod log;
pub(crate) mod look;
pub mod ls;
mod os;
mod packages;
mod pyvenv;
mod report;
pub mod rpm;
mod sealing;
mod sudoers;
mod tail;
#[cfg(test)]
pub(crate) mod testing;
mod unit;
mod version;

pub use accounts::{Group, User, gid_of, groups, groups_of, uid_of, users};
#[doc(hidden)]
pub use checks::parse_text;
pub use checks::run_checks;
pub use contract::contract;
pub use datasource::datasource_list;
pub use error::VerifyError;
pub use examine::report;
pub use os::{DetectError, detect_os};
pub use packages::{Package, packages, parse_dpkg};
pub use report::{CheckGroup, CheckResult, Counts, Outcome, Report, VERSION as REPORT_VERSION};
pub use sealing::{BUILD_MARKER, sealing};
pub use sudoers::Grant;
pub use tail::{End, tail};
pub use unit::{
    InitScript, Instance, Preset, Presets, Unit, UnitFile, UnitIndex, UnitState, init_scripts, list as units,
    unit_state,
};
