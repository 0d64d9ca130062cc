//! What comes in: base images, agent bundles, packages; and the content-addressed cache.

pub mod agent;
mod audit;
mod base;
mod bootstrap;
mod cache;
pub mod catalogue;
pub mod checksum;
mod collect;
mod error;
pub mod fetch;
mod files;
mod inventory;
mod layers;
mod lock;
pub mod openpgp;
mod record;
mod work;

pub use audit::{Audited, audit, audit_bases};
pub use base::{
    Base, BaseRequest, BaseSpec, Held, Origin, Provenance, Trust, held, import_as, remove, resolve, today,
};
pub use cache::Cache;
pub use collect::{Collected, Limits, collect};
pub use error::SourceError;
pub use inventory::{Item, Kind, inventory, totals};
pub use layers::{Layer, LayerMeta};
pub use lock::FileLock;
pub use work::WorkDir;
pub mod apt;
