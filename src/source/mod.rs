//! What comes in: base images, agent bundles, packages; and the content-addressed cache.

pub mod agent;
mod base;
mod bootstrap;
mod cache;
mod error;
mod files;
mod lock;
mod work;

pub use base::{Base, BaseSpec, Origin, resolve};
pub use cache::{Cache, Layer, LayerMeta};
pub use error::SourceError;
pub use lock::FileLock;
pub use work::WorkDir;
pub mod apt;
