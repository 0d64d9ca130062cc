//! The customisation engine: runs a plan's steps in a guest.
//!
//! It knows the guest only through [`Guest`](crate::guest::Guest), so that every step is tested without an
//! appliance. What a build needs only while it runs is entered and left by [`Scaffold`].

mod accounts;
mod apparmor;
mod artifact;
mod error;
mod init;
mod label;
mod payload;
mod scaffold;
mod seal;
mod selinux;
#[cfg(test)]
mod semantics_tests;
mod steps;
#[cfg(test)]
mod testing;

pub use error::EngineError;
pub use label::Labels;
pub use payload::{PAYLOAD_MOUNT, Payload, PayloadPath};
pub use scaffold::Scaffold;
pub use seal::{is_labelled, seal, seal_text};
pub use steps::{StageMaterials, run_stage};

/// Version of what steps mean. Raised whenever the same step would leave a different guest, so that layers
/// made by an older tib are not reused. `semantics_tests` holds every script against it.
pub const SEMANTICS: u32 = 4;
