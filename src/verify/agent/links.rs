//! Links that enable units which do not exist.

use super::part::{Found, joined};
use crate::disk::Tree;
use crate::os::unit::{WANTS, dangling_links};

/// Looks in the administrator's directory only: what a distribution leaves dangling in its own has no effect there.
pub(crate) fn dangling(tree: &mut dyn Tree) -> Found {
    let patterns = WANTS.map(|kind| format!("/etc/systemd/system/*{kind}/*"));
    Ok(joined(&dangling_links(tree, &patterns)?))
}
