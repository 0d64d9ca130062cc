//! Boots an image under qemu the way Nova would, and reads its serial console.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::{kvm_works, run, scratch};

/// Starts every line that a probe inside the guest prints.
pub const MARKER: &str = "TIB-BOOT";

/// How long a unit may take to become active, emulation included.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the virtual machine has besides the image.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files of the config drive, by path below its root; no config drive without any.
    pub config_drive: BTreeMap<String, String>,
    /// Bytes of the second disk, which the guest sees as `/dev/vdb`.
    pub data_disk: Option<u64>,
    /// Memory in MiB.
    pub memory: u32,
    /// The format of the image, as QEMU calls it.
    pub format: &'static str,
    /// Starts with UEFI firmware instead of a BIOS.
    pub uefi: bool,
}

impl Options {
    /// What Nova gives an instance: metadata and user data on a config drive.
    pub fn with_user_data(user_data: &str) -> Self {
        let meta_data = serde_json::json!({
            "uuid": "d8e02d56-2648-49a3-bf97-6be8f1204f38",
            "name": "tib-boot", "hostname": "tib-boot.novalocal",
        });
        let config_drive = BTreeMap::from([
            ("openstack/latest/meta_data.json".to_owned(), meta_data.to_string()),
            ("openstack/latest/user_data".to_owned(), user_data.to_owned()),
        ]);
        Self { config_drive, memory: 2048, ..Self::bare("qcow2") }
    }

    /// Nothing but the image.
    pub fn bare(format: &'static str) -> Self {
        Self { config_drive: BTreeMap::new(), data_disk: None, memory: 1024, format, uefi: false }
    }
}

/// A running virtual machine. It ends when this is dropped, and the image stays as it was.
#[derive(Debug)]
pub struct Vm {
    qemu: Child,
    console: PathBuf,
    started: Instant,
    scratch: tempfile::TempDir,
}

impl Vm {
    /// Starts a machine from an image.
    pub fn start(image: &Path, options: &Options) -> Self {
        let scratch = scratch();
        let place = |name: &str| scratch.path().join(name);
        let (console, overlay) = (place("console.log"), place("overlay.qcow2"));
        run(
            "qemu-img",
            &[&"create", &"-q", &"-f", &"qcow2", &"-F", &options.format, &"-b", &image, &overlay],
        );

        let accelerator = if kvm_works() { "kvm" } else { "tcg" };
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-cpu", "max", "-smp", "2"])
            .args(["-machine", &format!("q35,accel={accelerator}"), "-m", &options.memory.to_string()])
            .args(["-nic", "user,model=virtio-net-pci", "-device", "virtio-rng-pci"])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-drive", &format!("if=virtio,format=qcow2,cache=unsafe,file={}", overlay.display())]);
        if options.uefi {
            let (code, variables) = firmware();
            // Variables are written to.
            fs::copy(variables, place("variables.fd")).unwrap();
            qemu.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={}", code.display())])
                .args(["-drive", &format!("if=pflash,format=raw,file={}", place("variables.fd").display())]);
        }
        if let Some(size) = options.data_disk {
            let data = place("data.raw");
            fs_err::File::create(&data).and_then(|file| file.set_len(size)).unwrap();
            qemu.args(["-drive", &format!("if=virtio,format=raw,cache=unsafe,file={}", data.display())]);
        }
        if !options.config_drive.is_empty() {
            let iso = config_drive(scratch.path(), &options.config_drive);
            // On virtio-scsi: small cloud kernels have no driver for the machine's SATA controller.
            qemu.args(["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=config"]).args([
                "-drive",
                &format!("if=none,id=config,media=cdrom,readonly=on,format=raw,file={}", iso.display()),
            ]);
        }
        let errors = fs::File::create(place("qemu.err")).unwrap().into_parts().0;
        let qemu = qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn();
        let qemu = qemu.expect("qemu-system-x86_64 is there (make setup)");
        Self { qemu, console, started: Instant::now(), scratch }
    }

    /// Waits for a console line that contains `needle`, and returns it. Fails the test after `timeout`, or when
    /// the machine ends before.
    #[track_caller]
    pub fn wait_for(&mut self, needle: &str, timeout: Duration) -> String {
        self.wait(needle, timeout, |text| {
            complete_lines(text).find(|line| line.contains(needle)).map(|line| line.trim_end().to_owned())
        })
    }

    /// Waits until somebody could log in.
    #[track_caller]
    pub fn wait_for_login(&mut self, timeout: Duration) {
        const PROMPT: &str = " login: ";
        self.wait(PROMPT, timeout, |text| text.contains(PROMPT).then_some(()));
    }

    #[track_caller]
    fn wait<T>(&mut self, what: &str, timeout: Duration, found: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + timeout;
        loop {
            // Looked at before the console is read: what it said last still counts.
            let ended = self.qemu.try_wait().unwrap();
            let text = self.console();
            if let Some(found) = found(&text) {
                return found;
            }
            if ended.is_some() || Instant::now() >= deadline {
                let why =
                    ended.map_or("not seen in time".to_owned(), |status| format!("qemu ended: {status}"));
                panic!("{}", self.story(what, &why, &text));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for the probe's answer called `name`.
    #[track_caller]
    pub fn answer(&mut self, name: &str) -> String {
        let question = format!("{MARKER} {name}=");
        let line = self.wait_for(&question, PATIENCE);
        line.split_once(&question).map(|(_, answer)| answer.trim().to_owned()).unwrap_or_default()
    }

    /// Everything the machine has written to its serial console.
    pub fn console(&self) -> String {
        match fs::read(&self.console) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    fn story(&self, needle: &str, why: &str, text: &str) -> String {
        let lines: Vec<_> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(80)..].join("\n");
        let errors = fs::read_to_string(self.scratch.path().join("qemu.err")).unwrap_or_default();
        let seconds = self.started.elapsed().as_secs();
        format!(
            "`{needle}` {why}, {seconds} s after power-on; qemu: {errors}\nthe console's last lines:\n{last}"
        )
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// UEFI firmware and its variables, as Debian's and Red Hat's families have them.
fn firmware() -> (&'static Path, &'static Path) {
    let places = [
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ];
    let mut places = places.into_iter().map(|(code, variables)| (Path::new(code), Path::new(variables)));
    let found = places.find(|(code, variables)| code.exists() && variables.exists());
    found.expect("UEFI firmware for virtual machines is there (make setup)")
}

/// Lines with their end: the last one may still be growing.
fn complete_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter(|line| line.ends_with('\n'))
}

/// An ISO 9660 file system labelled as Nova labels it.
fn config_drive(scratch: &Path, files: &BTreeMap<String, String>) -> PathBuf {
    let tree = scratch.join("config-drive");
    for (path, content) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let iso = scratch.join("config-drive.iso");
    run("xorriso", &[&"-as", &"mkisofs", &"-quiet", &"-V", &"config-2", &"-J", &"-r", &"-o", &iso, &tree]);
    iso
}

/// Writes cloud-config user data: the given files, and a probe that tells on the serial console what became of
/// the units, then answers the questions (name, shell command) in order.
///
/// The probe is a unit of its own: what it waits for may itself wait for cloud-init to end.
pub fn user_data(files: &[serde_json::Value], units: &[&str], questions: &[(&str, &str)]) -> String {
    let probe = serde_json::json!({
        "path": "/run/tib-probe", "permissions": "0755", "content": probe_script(units, questions),
    });
    let write_files: Vec<_> = files.iter().chain([&probe]).collect();
    // JSON is YAML, and quotes itself.
    let config = serde_json::json!({
        "write_files": write_files,
        // Through its interpreter: /run may not hold programs.
        "runcmd": [["systemd-run", "--no-block", "--unit=tib-probe", "/bin/bash", "/run/tib-probe"]],
    });
    format!("#cloud-config\n{config:#}\n")
}

fn probe_script(units: &[&str], questions: &[(&str, &str)]) -> String {
    let mut script = format!(
        "#!/bin/bash\n\
         # The newline before keeps a half-written line of somebody else apart.\n\
         tell() {{ printf '\\n{MARKER} %s\\n' \"$*\" >/dev/ttyS0; }}\n\
         wait_active() {{\n\
         \x20   for ((i = 0; i < {attempts}; i++)); do\n\
         \x20       state=$(systemctl is-active \"$1\")\n\
         \x20       [ \"$state\" = active ] && break\n\
         \x20       sleep 2\n\
         \x20   done\n\
         \x20   tell \"$1=$state\"\n\
         }}\n\
         tell probe=started\n",
        attempts = PATIENCE.as_secs() / 2,
    );
    for unit in units {
        script.push_str(&format!("wait_active {unit} &\n"));
    }
    script.push_str("wait\n");
    for (name, command) in questions {
        script.push_str(&format!("tell \"{name}=$({{ {command}; }} 2>&1 | tr '\\n' ' ')\"\n"));
    }
    script.push_str("tell probe=done\n");
    script
}
