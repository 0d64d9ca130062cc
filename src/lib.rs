//! tib builds, seals and checks OpenStack Trove guest images, rootless.
//!
//! The rooms, top to bottom; a room imports downwards only (`docs/architecture.md`):
//!
//! | room | what it does |
//! |---|---|
//! | [`cli`] | arguments, settings, one file per subcommand; draws progress |
//! | [`build`] | the main job: base, plan, stages, export, verification, evidence |
//! | [`engine`] | runs a plan in a guest: steps, scaffolding, sealing |
//! | [`evidence`] | the manifest beside an image |
//! | [`verify`] | looks into images: listings, inspection, differences, logs, checks, the sealing gate, reports |
//! | [`source`] | what comes in: bases, agent bundles, packages, the cache |
//! | [`recipe`] | what is wanted: recipes, plans, checks |
//! | [`guest`] | the libguestfs session and the host probe |
//! | [`disk`] | the image as bytes: qcow2, partitions, file systems, export |
//! | [`digest`], [`distro`], [`size`], [`event`], [`cancel`], [`process`], `rename`, `shell`, `sparse`, [`shown`], `version`, [`error`] | words everyone uses |
//!
//! The library is tib's own; its interface may change with any release.

pub mod build;
pub mod cancel;
pub mod cli;
pub mod digest;
pub mod disk;
pub mod distro;
pub mod engine;
pub mod error;
pub mod event;
pub mod evidence;
pub mod guest;
pub mod process;
pub mod recipe;
pub(crate) mod rename;
pub(crate) mod shell;
pub mod shown;
pub mod size;
pub mod source;
pub(crate) mod sparse;
pub mod verify;
pub(crate) mod version;
