//! Whether an image is right: checks, the agent's contract, the sealing gate.
//!
//! Everything here reads a [`Tree`](crate::disk::Tree) and changes nothing. What it reads is untrusted: garbage
//! becomes a failed check, never a panic and never a pass.

mod bootable;
mod checks;
mod contract;
mod examine;
mod sealing;

pub use bootable::no_boot_loader;
#[cfg(any(test, fuzzing, debug_assertions))]
#[doc(hidden)]
pub use checks::parse_text;
pub use checks::run_checks;
pub use contract::{Contract, contract};
pub use examine::examine;
pub use sealing::{BUILD_MARKER, sealing};
