//! The virtual machine: QEMU with what Nova gives an instance, on a throw-away overlay of the image.

use std::fmt::Write as _;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::leases;
use super::probe;
use super::qmp::Qmp;
use super::relay::RelayTarget;
use super::{BootError, Firmware, Metadata, Network};
use crate::control::Control;
use crate::disk::Format;
use crate::host::process::{self, Running};
use crate::host::{Acceleration, kvm, space};
use crate::size::Size;

/// Names of files in the machine's directory, which is QEMU's working directory too: names of sockets must be short.
const OVERLAY: &str = "overlay.qcow2";
const CONSOLE: &str = "console.log";
const CONSOLE_SOCKET: &str = "console.sock";
const PROBE: &str = "probe.jsonl";
const QMP: &str = "qmp.sock";
pub(crate) const METADATA_SOCKET: &str = "metadata.sock";
pub(crate) const LEASES_SOCKET: &str = "leases.sock";
pub(crate) const CONFIG_DRIVE: &str = "config-drive.iso";

/// How long QEMU may take to make its sockets.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(20);

/// How long a guest may take to shut down, emulated.
const SHUTDOWN: Duration = Duration::from_secs(90);

/// The card's address, in the range of locally administered ones that Neutron uses.
pub(crate) const MAC: &str = "fa:16:3e:74:69:62";

/// What the machine is made of.
#[derive(Debug)]
pub(crate) struct Hardware<'a> {
    pub(crate) image: &'a Path,
    pub(crate) format: Format,
    pub(crate) uuid: &'a str,
    pub(crate) firmware: Firmware,
    pub(crate) metadata: Metadata,
    pub(crate) network: Network,
    /// A second card, at the other end of which a DHCP server listens.
    pub(crate) leases: bool,
    pub(crate) memory: Size,
    pub(crate) volume: Option<Size>,
    /// The broker on this host, which the guest reaches at [`broker_address`].
    pub(crate) broker: Option<RelayTarget>,
    /// A port of this host that leads to the guest's ssh.
    pub(crate) ssh: Option<u16>,
    pub(crate) acceleration: &'a Acceleration,
}

/// The guest's network. QEMU answers for addresses in it alone, and the metadata service has one that is given.
fn subnet(metadata: Metadata) -> (&'static str, &'static str) {
    match metadata.has_service() {
        true => ("169.254.0.0/16,host=169.254.2.2,dhcpstart=169.254.2.15,dns=169.254.2.3", "169.254.2.100"),
        false => ("10.0.2.0/24", "10.0.2.100"),
    }
}

/// Where the guest reaches the broker.
pub(crate) fn broker_address(metadata: Metadata) -> &'static str {
    subnet(metadata).1
}

/// A running machine. It ends when this is dropped, and the image stays as it was.
#[derive(Debug)]
pub(crate) struct Machine {
    qemu: Running,
    directory: PathBuf,
    // Sockets are reached through it: their whole path may be longer than the kernel takes.
    handle: fs_err::File,
    qmp: Option<Qmp>,
    started: Instant,
}

impl Machine {
    /// Starts it in `directory`, where the config drive lies if there is one.
    pub(crate) fn start(
        hardware: &Hardware<'_>,
        directory: &Path,
        control: &Control,
    ) -> Result<Self, BootError> {
        let overlay = directory.join(OVERLAY);
        let failed = |doing| move |source| BootError::Process { doing, source };
        // A second instance goes on with the disk of the first.
        if !overlay.exists() {
            let mut create = Command::new("qemu-img");
            create
                .args(["create", "-q", "-f", "qcow2", "-F", hardware.format.name(), "-b"])
                .arg(hardware.image);
            process::run(create.arg(overlay), control).map_err(failed("making an overlay of the image"))?;
        }
        if let Some(size) = hardware.volume {
            let file = fs_err::File::create(directory.join("volume.raw")).map_err(BootError::prepare)?;
            file.set_len(size.0).map_err(BootError::prepare)?;
        }
        if hardware.firmware == Firmware::Uefi {
            // Variables are written to.
            fs_err::copy(uefi()?.1, directory.join("variables.fd")).map_err(BootError::prepare)?;
        }
        // They are read before QEMU has made them.
        for name in [CONSOLE, PROBE] {
            fs_err::write(directory.join(name), "").map_err(BootError::prepare)?;
        }
        let mut command = Command::new(kvm::qemu());
        command.args(arguments(hardware)?).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
        let handle = fs_err::File::open(directory).map_err(BootError::prepare)?;
        let qemu = process::spawn(&mut command, control).map_err(failed("starting QEMU"))?;
        Ok(Self { qemu, directory: directory.to_owned(), handle, qmp: None, started: Instant::now() })
    }

    /// Since power-on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn console_log(&self) -> PathBuf {
        self.directory.join(CONSOLE)
    }

    pub(crate) fn probe(&self) -> PathBuf {
        self.directory.join(PROBE)
    }

    pub(crate) fn overlay(&self) -> PathBuf {
        self.directory.join(OVERLAY)
    }

    /// A connection to its console, as soon as QEMU listens.
    pub(crate) fn console(&mut self) -> std::io::Result<UnixStream> {
        loop {
            match UnixStream::connect(self.short(CONSOLE_SOCKET)) {
                Err(_) if self.ended().is_none() && self.elapsed() < CONSOLE_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                done => return done,
            }
        }
    }

    /// Bytes that are free where its disks lie.
    pub(crate) fn room(&self) -> std::io::Result<u64> {
        space::free(&self.directory)
    }

    fn short(&self, name: &str) -> PathBuf {
        short(&self.handle, name)
    }

    /// Why QEMU has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.qemu.wait_timeout(Duration::ZERO)?;
        let said = self.qemu.end();
        Some(
            said.last().map_or_else(|| format!("QEMU ended: {status}"), |line| format!("QEMU ended: {line}")),
        )
    }

    /// Whether anything was read from the disk; not known before QEMU listens.
    pub(crate) fn has_read_disk(&mut self) -> bool {
        if self.qmp.is_none() {
            self.qmp = Qmp::connect(&self.short(QMP)).ok();
        }
        self.qmp.as_mut().is_some_and(|qmp| qmp.has_read_disk().unwrap_or(false))
    }

    /// Ends it in good order if the guest allows.
    pub(crate) fn shut_down(&mut self) {
        if !self.power_down(SHUTDOWN) {
            self.end();
        }
    }

    /// Ends it as pulling the plug does.
    fn end(&mut self) {
        self.qemu.end();
    }

    /// Asks the guest to shut down as a power button does, and waits for that no longer than `patience`. Says whether it did.
    fn power_down(&mut self, patience: Duration) -> bool {
        if self.qmp.is_none() {
            self.qmp = Qmp::connect(&self.short(QMP)).ok();
        }
        let asked = self.qmp.as_mut().is_some_and(|qmp| qmp.ask("system_powerdown").is_ok());
        asked && self.qemu.wait_timeout(patience).is_some()
    }
}

/// A short name of a file in an open directory.
pub(crate) fn short(directory: &fs_err::File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.file().as_raw_fd()))
}

/// QEMU's arguments.
fn arguments(hardware: &Hardware<'_>) -> Result<Vec<String>, BootError> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
    let (accelerator, processor) = match hardware.acceleration {
        Acceleration::Kvm => ("kvm", "host"),
        Acceleration::Emulated { .. } => ("tcg", "max"),
    };
    add(&[
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-smp",
        "2",
        "-cpu",
        processor,
    ]);
    add(&["-machine", &format!("q35,accel={accelerator}"), "-m", &format!("{}M", hardware.memory.0 >> 20)]);
    add(&["-uuid", hardware.uuid, "-device", "virtio-rng-pci"]);
    // What ds-identify of cloud-init goes by.
    let product = "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,version=31.0.0";
    add(&["-smbios", &format!("{product},uuid={}", hardware.uuid)]);
    add(&[
        "-chardev",
        &format!("socket,id=console,path={CONSOLE_SOCKET},server=on,wait=off,logfile={CONSOLE}"),
    ]);
    add(&["-serial", "chardev:console"]);
    add(&["-qmp", &format!("unix:{QMP},server=on,wait=off")]);
    add(&["-device", "virtio-serial-pci", "-chardev", &format!("file,id=probe,path={PROBE}")]);
    add(&["-device", &format!("virtserialport,chardev=probe,name={}", probe::PORT)]);
    // Lost when the machine ends, so nothing has to reach the host's disk.
    add(&["-drive", &format!("if=virtio,format=qcow2,cache=unsafe,discard=unmap,file={OVERLAY}")]);
    if hardware.volume.is_some() {
        add(&["-drive", "if=virtio,format=raw,cache=unsafe,discard=unmap,file=volume.raw"]);
    }
    if hardware.metadata.has_drive() {
        // Where Nova puts it on this kind of machine: a SATA CD-ROM.
        add(&[
            "-drive",
            &format!("if=none,id=config,media=cdrom,readonly=on,format=raw,file={CONFIG_DRIVE}"),
        ]);
        add(&["-device", "ide-cd,drive=config"]);
    }
    if hardware.firmware == Firmware::Uefi {
        let (code, _) = uefi()?;
        add(&["-drive", &format!("if=pflash,format=raw,readonly=on,file={code}")]);
        add(&["-drive", "if=pflash,format=raw,file=variables.fd"]);
    }
    add(&["-netdev", &network(hardware), "-device", &format!("virtio-net-pci,netdev=net0,mac={MAC}")]);
    if hardware.leases {
        add(&["-netdev", &format!("stream,id=net1,server=off,addr.type=unix,addr.path={LEASES_SOCKET}")]);
        add(&["-device", &format!("virtio-net-pci,netdev=net1,mac={}", leases::MAC)]);
    }
    Ok(arguments)
}

/// The card's other end. QEMU starts this program once more for every connection that it passes on; by way of `/proc`, whose
/// name needs no quoting.
fn network(hardware: &Hardware<'_>) -> String {
    let (net, broker) = subnet(hardware.metadata);
    let mut netdev = format!("user,id=net0,net={net}");
    if hardware.network == Network::Restricted {
        netdev.push_str(",restrict=on");
    }
    let mut forward = |address: &str, target: &RelayTarget| {
        let _ = write!(netdev, ",guestfwd=tcp:{address}-cmd:/proc/{}/exe relay {target}", std::process::id());
    };
    if let Some(target) = &hardware.broker {
        forward(&format!("{broker}:5672"), target);
    }
    if hardware.metadata.has_service() {
        forward("169.254.169.254:80", &RelayTarget::Unix(METADATA_SOCKET.into()));
    }
    if let Some(port) = hardware.ssh {
        let _ = write!(netdev, ",hostfwd=tcp:127.0.0.1:{port}-:22");
    }
    netdev
}

/// UEFI firmware and its variables, as Debian's and Red Hat's families have them.
fn uefi() -> Result<(&'static str, &'static str), BootError> {
    let places = [
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ];
    let there = |&(code, variables): &(&str, &str)| Path::new(code).exists() && Path::new(variables).exists();
    places.into_iter().find(there).ok_or(BootError::Missing {
        what: "UEFI firmware for virtual machines",
        hint: "install ovmf (Debian, Ubuntu) or edk2-ovmf (Fedora, Enterprise Linux)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_what_nova_starts() {
        let acceleration = Acceleration::Emulated { reason: "a test".to_owned() };
        let mut hardware = Hardware {
            image: Path::new("/image.qcow2"),
            format: Format::Qcow2,
            uuid: "d8e02d56-2648-49a3-bf97-6be8f1204f38",
            firmware: Firmware::Bios,
            metadata: Metadata::ConfigDrive,
            network: Network::Restricted,
            leases: false,
            memory: Size(2 << 30),
            volume: Some(Size(1 << 30)),
            broker: Some("tcp:127.0.0.1:5672".parse().unwrap()),
            ssh: None,
            acceleration: &acceleration,
        };
        let text = |hardware: &Hardware<'_>| {
            let id = std::process::id().to_string();
            arguments(hardware).unwrap().join("\n").replace(&format!("/proc/{id}/"), "/proc/PID/")
        };
        insta::assert_snapshot!("config_drive", text(&hardware));
        hardware.metadata = Metadata::Service;
        hardware.volume = None;
        hardware.network = Network::Open;
        hardware.leases = true;
        hardware.ssh = Some(2222);
        hardware.acceleration = &Acceleration::Kvm;
        insta::assert_snapshot!("service", text(&hardware));
    }
}
