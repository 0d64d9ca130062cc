//! The arguments of `tib boot`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::boot::{Firmware, Metadata, Network, RelayTarget};
use crate::size::Size;

pub(super) const BOOT_HELP: &str = "Examples:
  tib boot trove-guest.qcow2                            does its agent register?
  tib boot trove-guest.qcow2 --metadata service         without a config drive
  tib boot trove-guest.qcow2 --conf trove-guestagent.conf --prepare
  tib boot trove-guest.qcow2 --broker amqp://trove:secret@controller:5672/%2f
  tib boot mariadb.qcow2                                does the database answer?
  tib boot mariadb.qcow2 --leases                       does it keep its address?
  tib boot mariadb.qcow2 --goss goss.yaml               and the tests of goss that you have
  tib boot trove-guest.qcow2 --ssh                      and then a shell in it
  tib boot trove-guest.qcow2 --json --junit boot.xml    for machines

The image is only read: the machine runs on an overlay that is thrown away. It reaches the message broker and the metadata
service, and nothing else.

Exit code 8: the instance did not come all the way; the report says why.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BootArgs {
    /// A qcow2 or raw image
    pub(in crate::cli) image: PathBuf,
    /// The database that the agent is told to manage, in Trove's words
    #[arg(long, value_name = "NAME", default_value = "mariadb")]
    pub(in crate::cli) datastore: String,
    /// The datastore's version
    #[arg(long, value_name = "VERSION", default_value = "10.11")]
    pub(in crate::cli) datastore_version: String,
    /// Your trove-guestagent.conf; its `transport_url` is replaced [default: one that suffices]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) conf: Option<PathBuf>,
    /// Your message broker, `amqp://…` or `rabbit://…` [default: a private RabbitMQ on this host]
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) broker: Option<String>,
    /// The exchange that your control plane sends to (`control_exchange` of trove.conf)
    #[arg(long, value_name = "NAME", default_value = "trove")]
    pub(in crate::cli) control_exchange: String,
    /// Encrypt messages with this key, as Trove does with each instance's own
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) rpc_key: Option<String>,
    /// Whom injected files belong to (`injected_config_owner` and `injected_config_group` of trove.conf)
    #[arg(long, value_name = "USER:GROUP", default_value = "ubuntu:root")]
    pub(in crate::cli) owner: String,
    /// How the instance gets its data
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(in crate::cli) metadata: MetadataChoice,
    /// What starts the boot loader
    #[arg(long, value_enum, value_name = "FIRMWARE", default_value_t)]
    pub(in crate::cli) firmware: FirmwareChoice,
    /// What the guest reaches
    #[arg(long, value_enum, value_name = "NETWORK", default_value_t)]
    pub(in crate::cli) network: NetworkChoice,
    /// Memory of the machine
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, default_value = "2G")]
    pub(in crate::cli) memory: Size,
    /// Size of the data volume
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, default_value = "1G")]
    pub(in crate::cli) volume: Size,
    /// Attach no data volume
    #[arg(long, conflicts_with = "volume")]
    pub(in crate::cli) no_volume: bool,
    /// Ask the agent for a database, and wait until it says that it builds one; with `--network open`, that it answers
    #[arg(long)]
    pub(in crate::cli) prepare: bool,
    /// Start the same disk once more, as another instance
    #[arg(long)]
    pub(in crate::cli) twice: bool,
    /// Add a second network card whose DHCP leases last two minutes, and see that its address and route outlive one
    #[arg(long)]
    pub(in crate::cli) leases: bool,
    /// Ask also what this goss file asks, of the image and of the running instance; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) goss: Vec<PathBuf>,
    /// Give up after so many seconds [default: 300, without KVM 1200]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds)]
    pub(in crate::cli) timeout: Option<Duration>,
    /// Keep the machine running until you interrupt
    #[arg(long, conflicts_with_all = ["ssh", "shell"])]
    pub(in crate::cli) keep: bool,
    /// Open a shell in it through ssh, with a key made for the occasion
    #[arg(long, conflicts_with = "shell")]
    pub(in crate::cli) ssh: bool,
    /// Attach the terminal to its console; Ctrl-] leaves
    #[arg(long)]
    pub(in crate::cli) shell: bool,
    /// Keep the logs of console, probe and broker here [default: on failure, in a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) logs: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Write the report as a web page here
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) html: Option<PathBuf>,
    /// Write a JUnit report here
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) junit: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::cli) enum MetadataChoice {
    /// On a CD-ROM
    #[default]
    Configdrive,
    /// From 169.254.169.254
    Service,
    /// Both
    Both,
}

impl From<MetadataChoice> for Metadata {
    fn from(choice: MetadataChoice) -> Self {
        match choice {
            MetadataChoice::Configdrive => Self::ConfigDrive,
            MetadataChoice::Service => Self::Service,
            MetadataChoice::Both => Self::Both,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::cli) enum FirmwareChoice {
    #[default]
    Bios,
    Uefi,
}

impl From<FirmwareChoice> for Firmware {
    fn from(choice: FirmwareChoice) -> Self {
        match choice {
            FirmwareChoice::Bios => Self::Bios,
            FirmwareChoice::Uefi => Self::Uefi,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::cli) enum NetworkChoice {
    /// The broker and the metadata service
    #[default]
    Restricted,
    /// What this host reaches, its own loopback included
    Open,
}

impl From<NetworkChoice> for Network {
    fn from(choice: NetworkChoice) -> Self {
        match choice {
            NetworkChoice::Restricted => Self::Restricted,
            NetworkChoice::Open => Self::Open,
        }
    }
}

/// Passes on one connection of a guest. Started by QEMU, for `tib boot`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RelayArgs {
    pub(in crate::cli) target: RelayTarget,
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(number) if number > 0 => Ok(Duration::from_secs(number.into())),
        _ => Err("write a number of seconds, such as 300".to_owned()),
    }
}
