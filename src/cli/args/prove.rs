//! The arguments of `tib prove`.

use std::path::PathBuf;
use std::time::Duration;

use super::boot::seconds;

pub(super) const PROVE_HELP: &str = "Examples:
  tib prove trove-guest.qcow2                           does Trove make a healthy MariaDB of it?
  tib prove trove-guest.qcow2 --datastore postgresql
  tib prove trove-guest.qcow2 --keep                    and then look around with the openstack command

Keystone, Glance and Trove are real and run here, as you, on loopback; Nova, Neutron and Cinder are stood in for by a module that
starts QEMU. The first time fetches them from Python's package index, and the database from Debian's archive.

Exit code 8: the instance did not become healthy, or could not be used; the logs are kept, and named.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ProveArgs {
    /// A qcow2 image with Trove's guest agent
    pub(in crate::cli) image: PathBuf,
    /// The database: mariadb or postgresql
    #[arg(long, value_name = "NAME", default_value = "mariadb")]
    pub(in crate::cli) datastore: String,
    /// A metadata service instead of a config drive
    #[arg(long)]
    pub(in crate::cli) metadata_service: bool,
    /// Leave everything running at the end, until you interrupt
    #[arg(long)]
    pub(in crate::cli) keep: bool,
    /// Trove's version [default: that of the image's agent]
    #[arg(long, value_name = "VERSION")]
    pub(in crate::cli) trove: Option<String>,
    /// Wait so many seconds until the instance is healthy
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds, default_value = "1800")]
    pub(in crate::cli) timeout: Duration,
    /// Where virtual environments, containers and logs are kept [default: ~/.cache/tib-prove]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) workdir: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
