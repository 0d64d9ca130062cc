//! What is to be booted, and how.

use std::path::PathBuf;
use std::time::Duration;

use super::BootError;
use super::running::COMMANDS;
use crate::check::Listens;
use crate::size::Size;
use crate::verify::Goss;

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
    /// Whether it gets a second network, whose leases end after two minutes.
    pub leases: bool,
    /// What the recipe says an instance listens on; nothing if that is not known.
    pub listens: Option<Vec<Listens>>,
    /// Tests of goss: those of a running system, and those that the image at rest must pass.
    pub goss: Vec<Goss>,
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
            leases: false,
            listens: None,
            goss: Vec::new(),
            timeout: None,
            afterwards: Afterwards::default(),
            logs: None,
        }
    }
}

/// A kernel with its initramfs needs this much.
const LEAST_MEMORY: Size = Size(256 << 20);
/// What the smallest file system needs.
const LEAST_VOLUME: Size = Size(64 << 20);

impl BootRequest {
    /// Finds what makes no sense before anything is started. What goes into configuration files must not be able to end a line.
    pub(crate) fn check(&self) -> Result<(), BootError> {
        let wrong = |problem: String, hint: &str| Err(BootError::Request { problem, hint: hint.to_owned() });
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|character| character.is_ascii_alphanumeric() || "._+~-".contains(character))
        };
        if !word(&self.datastore) || !word(&self.datastore_version) {
            let named =
                format!("`{} {}` is no datastore and version", self.datastore, self.datastore_version);
            return wrong(
                named,
                "write them as Trove knows them, such as `--datastore mariadb --datastore-version 10.11`",
            );
        }
        if !self.owner.split_once(':').is_some_and(|(user, group)| word(user) && word(group)) {
            let named = format!("`{}` is no user and group", self.owner);
            return wrong(named, "write the owner like `ubuntu:root`");
        }
        if self.rpc_key.as_deref().is_some_and(|key| !word(key)) {
            return wrong("a key for messages is letters and digits".to_owned(), "Trove's have 32 of them");
        }
        if !word(&self.exchange) {
            return wrong(
                format!("`{}` is no exchange", self.exchange),
                "take `control_exchange` of trove.conf",
            );
        }
        if self.memory < LEAST_MEMORY {
            return wrong(
                format!("{} of memory are too little to start a kernel", self.memory),
                "give at least 256M",
            );
        }
        if self.volume.is_some_and(|volume| volume < LEAST_VOLUME) {
            return wrong(
                "no file system fits on such a data volume".to_owned(),
                "give at least 64M, or `--no-volume`",
            );
        }
        let tests = self.goss.iter().flat_map(|goss| &goss.running);
        if tests.map(|test| test.command.len()).sum::<usize>() > COMMANDS {
            return wrong(
                format!(
                    "the goss tests have commands of more than {COMMANDS} bytes, which user data does not hold"
                ),
                "give fewer at once, or put long commands into a script in the image",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = BootRequest::new("x");
        assert!(good.check().is_ok());
        let change = |change: &dyn Fn(&mut BootRequest)| {
            let mut request = good.clone();
            change(&mut request);
            request.check().unwrap_err().to_string()
        };
        let long = format!("command: {{'{}': {{exit-status: 0}}}}", "true; ".repeat(3000));
        let long = Goss::parse(long.as_bytes()).unwrap();
        for (found, expected) in [
            (change(&|request| request.datastore = "a\nb=c".to_owned()), "is no datastore"),
            (change(&|request| request.datastore_version.clear()), "is no datastore"),
            (change(&|request| request.owner = "ubuntu".to_owned()), "is no user and group"),
            (change(&|request| request.owner = "ubuntu:".to_owned()), "is no user and group"),
            (change(&|request| request.rpc_key = Some("a b".to_owned())), "letters and digits"),
            (change(&|request| request.exchange = "a/b".to_owned()), "is no exchange"),
            (change(&|request| request.memory = Size(1 << 20)), "too little"),
            (change(&|request| request.volume = Some(Size(0))), "no file system fits"),
            (change(&|request| request.goss = vec![long.clone()]), "more than 16384 bytes"),
        ] {
            assert!(found.contains(expected), "{found}");
        }
    }
}
