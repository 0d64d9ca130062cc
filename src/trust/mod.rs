//! Why bytes are believed: OpenPGP signatures and checksum lists.

pub mod checksum;
pub mod openpgp;
