//! Whether an image is right: checks, its guest agent, the sealing gate.
//!
//! Everything here reads a [`Tree`](crate::disk::Tree) and changes nothing. What it reads is untrusted: garbage
//! becomes a failed check, never a panic and never a pass.

mod agent;
mod bootable;
mod checks;
mod configuration;
#[cfg(test)]
mod datastore_tests;
mod entry;
mod examine;
mod first_process;
mod fstab;
mod goss;
mod labels;
mod leftovers;
mod part;
mod sealing;
mod volumes;

pub use agent::{AgentFindings, Known, agent};
pub use bootable::no_boot_loader;
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub use checks::parse_text;
pub use checks::run_checks;
pub use configuration::Configuration;
pub use examine::examine;
pub use goss::{Goss, GossError, Printed, RunningTest};
pub use sealing::{BUILD_MARKER, sealing};
