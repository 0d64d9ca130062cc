//! The cache: content-addressed bases, layers, packages and agents; locks, work directories, collection.

pub(crate) mod audit;
pub(crate) mod bases;
mod bucket;
mod collect;
mod error;
pub(crate) mod files;
pub(crate) mod inventory;
mod layers;
pub(crate) mod lock;
mod mirrors;
mod origin;
pub(crate) mod record;
pub(crate) mod root;
mod work;

pub use audit::{Audited, audit, audit_bases};
pub use bases::Base;
pub use bucket::{Bucket, LockName};
pub use collect::{Collected, Limits, collect};
pub use error::CacheError;
pub use inventory::{CacheItem, Kind, inventory, totals};
pub use layers::{Layer, LayerMeta};
pub use lock::FileLock;
pub use mirrors::{MirrorMeta, MirrorPlace};
pub use origin::{Origin, Provenance, Trust};
pub use root::Cache;
pub use work::WorkDir;
