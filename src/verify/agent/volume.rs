//! The tools with which the agent makes, mounts and grows the file system of its volume.

use super::part::{Found, ReportPart, joined};
use super::unit::in_path;
use crate::disk::Tree;

/// What the agent calls before its first message, for a volume with ext4, which it makes unless told otherwise.
const TOOLS: [&str; 4] = ["blkid", "blockdev", "mkfs.ext4", "mount"];

pub(crate) fn check(tree: &mut dyn Tree) -> ReportPart {
    let mut part = ReportPart::default();
    part.check(
        "the tools for the agent's volume are there",
        missing(tree),
        "the agent makes a file system on its volume before it sends its first message, and ends when it cannot",
        "install e2fsprogs and util-linux (and xfsprogs for `volume_fstype = xfs`)",
    );
    part
}

fn missing(tree: &mut dyn Tree) -> Found {
    let mut wrong = Vec::new();
    for tool in TOOLS {
        if in_path(tree, tool)?.is_none() {
            wrong.push(format!("{tool} is not installed"));
        }
    }
    Ok(joined(&wrong))
}
