//! What is to be booted, and how.

use std::path::PathBuf;
use std::time::Duration;

use crate::size::Size;

/// How the instance gets its metadata and user data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Metadata {
    /// A CD-ROM, as with `use_nova_server_config_drive = True`.
    #[default]
    ConfigDrive,
    /// The service at 169.254.169.254.
    Service,
    /// Both.
    Both,
}

impl Metadata {
    /// Whether there is a config drive.
    pub(crate) fn has_drive(self) -> bool {
        self != Self::Service
    }

    /// Whether the service answers.
    pub(crate) fn has_service(self) -> bool {
        self != Self::ConfigDrive
    }
}

/// What starts the boot loader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF.
    Uefi,
}

/// What the guest reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// The broker and the metadata service.
    #[default]
    Restricted,
    /// Whatever this host reaches, and the host's own loopback.
    Open,
}

/// What somebody does with the machine once it has been looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Afterwards {
    /// Nothing: it is ended.
    #[default]
    End,
    /// It runs until the user interrupts.
    Keep,
    /// A shell in it, through ssh.
    Ssh,
    /// Its serial console.
    Console,
}

/// What is to be booted, and how.
#[derive(Debug, Clone)]
pub struct BootRequest {
    /// The image. It is only read.
    pub image: PathBuf,
    /// Trove's name of the database, of which the agent takes its manager.
    pub datastore: String,
    /// The datastore's version, which is the tag of its container's image.
    pub datastore_version: String,
    /// The operator's `trove-guestagent.conf`; a sufficient one is made otherwise.
    pub conf: Option<String>,
    /// The operator's message broker; a private one is started otherwise.
    pub broker: Option<String>,
    /// The exchange that the control plane sends to: `control_exchange` of `trove.conf`.
    pub exchange: String,
    /// The key of Trove's encrypted messages (`instance_rpc_encr_key`); none are encrypted otherwise.
    pub rpc_key: Option<String>,
    /// Whom injected files belong to: `injected_config_owner` and `injected_config_group` of `trove.conf`.
    pub owner: String,
    /// How the instance gets its data.
    pub metadata: Metadata,
    /// What starts the boot loader.
    pub firmware: Firmware,
    /// What the guest reaches.
    pub network: Network,
    /// Memory.
    pub memory: Size,
    /// The data volume, `/dev/vdb`; none without a size.
    pub volume: Option<Size>,
    /// Whether to ask the agent for a database, as Trove does.
    pub prepare: bool,
    /// Whether to start the same disk once more, as another instance.
    pub twice: bool,
    /// For how long in all.
    pub timeout: Option<Duration>,
    /// What comes afterwards.
    pub afterwards: Afterwards,
    /// Where console, probe and broker logs are kept. If nothing is given, they are kept on failure only.
    pub logs: Option<PathBuf>,
}

impl BootRequest {
    /// With everything as it is by default.
    pub fn new(image: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            datastore: "mariadb".to_owned(),
            datastore_version: "10.11".to_owned(),
            conf: None,
            broker: None,
            exchange: "trove".to_owned(),
            rpc_key: None,
            owner: "ubuntu:root".to_owned(),
            metadata: Metadata::default(),
            firmware: Firmware::default(),
            network: Network::default(),
            memory: Size(2 << 30),
            volume: Some(Size(1 << 30)),
            prepare: false,
            twice: false,
            timeout: None,
            afterwards: Afterwards::default(),
            logs: None,
        }
    }
}
