//! Looking into images, as virt-ls and its like do: listings, copies, differences, logs.

pub mod diff;
mod error;
pub mod extract;
pub mod log;
pub mod ls;
mod tail;

pub use error::LookError;
pub use tail::{End, tail};
