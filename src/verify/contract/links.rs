//! Links that enable units which do not exist.

use super::{Found, joined};
use crate::disk::Tree;
use crate::verify::unit::dangling_links;

/// Looks in the administrator's directory only: what a distribution leaves dangling in its own has no effect there.
pub(super) fn dangling(tree: &mut dyn Tree) -> Found {
    const PATTERNS: [&str; 2] = ["/etc/systemd/system/*.wants/*", "/etc/systemd/system/*.requires/*"];
    Ok(joined(&dangling_links(tree, &PATTERNS)?))
}
