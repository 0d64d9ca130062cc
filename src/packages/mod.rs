//! Packages resolved on the host: one folder for each package manager.

pub mod apt;
