//! Why bytes are believed: OpenPGP signatures, keys of repositories, checksum lists.

pub mod checksum;
pub mod openpgp;
mod repository_key;

pub use repository_key::{RepositoryKey, RepositoryKeyError};
