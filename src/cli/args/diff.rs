//! The arguments of `tib diff`.

use std::ffi::OsString;
use std::path::PathBuf;

pub(super) const DIFF_HELP: &str = "Examples:
  tib diff old.qcow2 new.qcow2
  tib diff --files old.qcow2 new.qcow2 /etc /usr/lib/systemd
  tib diff --patch old.qcow2 new.qcow2 /etc | less
  tib diff --patch --raw old.qcow2 new.qcow2 /etc | patch -p1 -d tree
  tib diff --exit-code --json old.qcow2 new.qcow2 > changes.json

Files are compared by kind, mode, owner, attributes and content, not by time.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DiffArgs {
    /// The image to compare with
    pub(in crate::cli) old: PathBuf,
    /// The image to look at
    pub(in crate::cli) new: PathBuf,
    /// Compare only files, and only at or below these paths
    pub(in crate::cli) paths: Vec<OsString>,
    /// Every path that differs, not only the sums
    #[arg(long)]
    pub(in crate::cli) files: bool,
    /// What changed in text files, as `diff -u` writes it
    #[arg(short, long, conflicts_with = "json")]
    pub(in crate::cli) patch: bool,
    /// With --patch: the bytes of the files as they are, for `patch`; not for a terminal
    #[arg(long, requires = "patch")]
    pub(in crate::cli) raw: bool,
    /// As JSON, with every path
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// End with code 8 when the images differ
    #[arg(long)]
    pub(in crate::cli) exit_code: bool,
}
