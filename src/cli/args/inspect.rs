//! The arguments of `tib inspect`.

use std::path::PathBuf;

use crate::inspect::Part;

pub(super) const INSPECT_HELP: &str = "Examples:
  tib inspect mariadb.qcow2                     all sections, long tables shortened
  tib inspect mariadb.qcow2 --only disk,boot    how it is laid out and how it boots
  tib inspect mariadb.qcow2 --only units --all  every unit, as systemd would resolve it
  tib inspect mariadb.qcow2 --json | jq '.packages.packages[].name'

Sections: disk, system, boot, kernels, init, packages, units, accounts, ssh, cloud, selinux,
apparmor, python, containers, sizes.
Ends with exit code 8 if a section could not be read; the others are printed all the same.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InspectArgs {
    /// A qcow2 or raw image
    #[arg(required_unless_present = "schema")]
    pub(in crate::cli) image: Option<PathBuf>,
    /// Only these sections
    #[arg(long, value_name = "SECTION", value_delimiter = ',')]
    pub(in crate::cli) only: Vec<Part>,
    /// How many of the largest directories and files to list
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 20)]
    pub(in crate::cli) top: usize,
    /// Tables whole, however long
    #[arg(long)]
    pub(in crate::cli) all: bool,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Print the JSON Schema of what --json prints, and stop
    #[arg(long, conflicts_with_all = ["image", "only", "all", "json"])]
    pub(in crate::cli) schema: bool,
}
