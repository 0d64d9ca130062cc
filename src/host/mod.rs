//! This machine: running programs, trying KVM, limits of this process.

pub mod git;
pub(crate) mod kvm;
pub(crate) mod limits;
pub mod process;
pub(crate) mod space;

pub use kvm::{Acceleration, acceleration};

/// Where temporary files go: `TIB_TMPDIR`, or what the system says.
pub(crate) fn temp_dir() -> std::path::PathBuf {
    std::env::var_os("TIB_TMPDIR")
        .filter(|value| !value.is_empty())
        .map_or_else(std::env::temp_dir, Into::into)
}
