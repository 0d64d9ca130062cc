//! The arguments of `tib base`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::base::BaseSpec;
use crate::distro::Arch;
use crate::trust::checksum::Checksum;

pub(super) const BASE_HELP: &str = "Examples:
  tib base list                                 what there is, and what is here
  tib base fetch ubuntu-24.04 debian-12         for later, or for a machine without network
  tib base fetch rocky-9@newest --refresh       is there something newer?
  tib base import rhel-9.6-x86_64-kvm.qcow2 --as rhel-9 --checksum sha256:…
  tib base verify                               are all of them still what they were?";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BaseArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: BaseCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BaseCommand {
    /// List the images of the catalogue
    List {
        /// Also those whose maker no longer looks after them
        #[arg(short, long)]
        all: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of an image, and what the cache holds of it
    Show {
        /// Its name, or another name for it
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch images into the cache, verified; what is there already is not fetched again
    Fetch(BaseFetchArgs),
    /// Take a file into the cache as an image of the catalogue
    Import {
        /// A qcow2 or raw image
        file: PathBuf,
        /// What it is: a name of the catalogue
        #[arg(long = "as", value_name = "ID")]
        id: String,
        /// Digest that the file must have, such as `sha256:…`
        #[arg(long, value_name = "CHECKSUM")]
        checksum: Option<Checksum>,
        /// Architecture [default: this host's]
        #[arg(long, value_name = "ARCH", value_parser = arch)]
        arch: Option<Arch>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Read images of the cache again and compare their digests
    Verify {
        /// Names; all that are in the cache if none is given
        ids: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an image from the cache
    Remove {
        /// Names
        #[arg(required = true)]
        ids: Vec<String>,
        /// Architecture [default: all]
        #[arg(long, value_name = "ARCH", value_parser = arch)]
        arch: Option<Arch>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the entries of the catalogue for mistakes
    CheckCatalogue {
        /// Names; all if none is given
        ids: Vec<String>,
        /// Ask the servers too: one HEAD request for each image
        #[arg(long)]
        online: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of catalogue entries, for editors
    Schema,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BaseFetchArgs {
    /// Names: `ID`, `ID@newest` or `ID@VERSION`
    #[arg(required_unless_present = "all_current", conflicts_with = "all_current")]
    pub(in crate::cli) ids: Vec<BaseSpec>,
    /// Every image that its maker still looks after
    #[arg(long)]
    pub(in crate::cli) all_current: bool,
    /// Ask whether there is something newer than what the cache holds
    #[arg(long)]
    pub(in crate::cli) refresh: bool,
    /// Architecture [default: this host's]
    #[arg(long, value_name = "ARCH", value_parser = arch)]
    pub(in crate::cli) arch: Option<Arch>,
    /// Keys of the image's maker, in place of those the catalogue would fetch; still compared with its pins
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: Vec<PathBuf>,
    /// Digest that what a URL leads to must have, such as `sha256:…`
    #[arg(long, value_name = "CHECKSUM")]
    pub(in crate::cli) checksum: Option<Checksum>,
    /// Open no connection: only say what is there, and what is missing
    #[arg(long)]
    pub(in crate::cli) offline: bool,
    /// Believe whatever the server sends, and record that
    #[arg(long)]
    pub(in crate::cli) insecure_skip_verify: bool,
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

fn arch(text: &str) -> Result<Arch, String> {
    Arch::parse(text).ok_or_else(|| "it can be x86_64 (amd64) or aarch64 (arm64)".to_owned())
}
