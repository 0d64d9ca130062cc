//! What comes in: base images, agent bundles, packages; and the content-addressed cache.

pub mod agent;
mod audit;
mod base;
mod bootstrap;
mod cache;
mod collect;
pub mod checksum;
mod error;
pub mod fetch;
mod files;
mod inventory;
mod lock;
pub mod openpgp;
mod work;

pub use audit::{Audited, audit};
pub use base::{Base, BaseSpec, Origin, resolve};
pub use cache::{Cache, Layer, LayerMeta};
pub use collect::{Collected, Limits, collect};
pub use error::SourceError;
pub use inventory::{Item, Kind, inventory, totals};
pub use lock::FileLock;
pub use work::WorkDir;
pub mod apt;
