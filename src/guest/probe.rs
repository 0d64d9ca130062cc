//! Whether this host can run an appliance with hardware virtualisation.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::event::Events;

/// How the appliance's processor is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceleration {
    /// By the host's processor.
    Kvm,
    /// By qemu's emulator: correct, several times slower.
    Emulated {
        /// Why, as the end of a sentence.
        reason: String,
    },
}

/// How long qemu may take to start a processor, and the processor to run the program: together 0.3 s on an idle host.
const TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);
/// Where only its start can be tried: a broken processor ends qemu within 0.1 s.
const SETTLE: Duration = Duration::from_millis(300);

/// Tries it, once per process, by running a small program on a virtual processor as libguestfs would have it: that
/// `/dev/kvm` opens proves nothing. Within other virtual machines there are processors that end qemu when they start,
/// and some that start and then need minutes for what takes a moment. `TIB_ACCEL=kvm` and `TIB_ACCEL=tcg` answer instead.
pub fn acceleration() -> Acceleration {
    static ANSWER: OnceLock<Acceleration> = OnceLock::new();
    ANSWER.get_or_init(|| decide(std::env::var("TIB_ACCEL").ok().as_deref())).clone()
}

fn decide(setting: Option<&str>) -> Acceleration {
    match setting {
        Some("kvm") => Acceleration::Kvm,
        Some("tcg") => Acceleration::Emulated { reason: "TIB_ACCEL=tcg asks for it".to_owned() },
        _ => match run_program(&qemu(), "kvm", TIMEOUT) {
            Ok(()) => Acceleration::Kvm,
            Err(reason) => Acceleration::Emulated { reason },
        },
    }
}

/// Whether the user insists on KVM: then there is no falling back.
pub(super) fn is_forced() -> bool {
    std::env::var("TIB_ACCEL").is_ok_and(|value| value == "kvm")
}

/// Warns, once per process, that the appliance is emulated.
pub(super) fn warn_once(events: &Events, reason: &str) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        events.warning(format!(
            "no hardware virtualisation ({reason}): the appliance is emulated and several times slower"
        ));
    }
}

/// The qemu that libguestfs will start.
pub(super) fn qemu() -> String {
    ["LIBGUESTFS_HV", "LIBGUESTFS_QEMU"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| format!("qemu-system-{}", std::env::consts::ARCH))
}

/// What the processor is to run, as a kernel in the Multiboot format: touches 8 MiB of memory, counts to 16 million, and
/// ends qemu through its debug exit. A working KVM is done with it before qemu's firmware is.
///
/// ```asm
/// .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)   # magic number; addresses follow; checksum
/// .long 0x100000, 0x100000, 0, 0, 0x100020             # header, load address, ends (the file's), entry
/// mov $0x200000, %edi; mov $0x800, %ecx
/// 1: mov %ecx, (%edi); add $0x1000, %edi; dec %ecx; jnz 1b
/// mov $0x1000000, %ecx
/// 2: dec %ecx; jnz 2b
/// mov $0xf4, %dx; mov $0x10, %al; out %al, %dx
/// 3: hlt; jmp 3b
/// ```
const PROGRAM: [u8; 71] = *b"\x02\xb0\xad\x1b\x00\x00\x01\x00\xfe\x4f\x51\xe4\x00\x00\x10\x00\
    \x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x10\x00\
    \xbf\x00\x00\x20\x00\xb9\x00\x08\x00\x00\x89\x0f\x81\xc7\x00\x10\x00\x00\x49\x75\xf5\
    \xb9\x00\x00\x00\x01\x49\x75\xfd\x66\xba\xf4\x00\xb0\x10\xee\xf4\xeb\xfd";
/// What qemu ends with then: `(0x10 << 1) | 1`.
const DONE: i32 = 33;

/// Runs the program on a machine without a disk. On other architectures than x86 the processor only has to start.
pub(super) fn run_program(qemu: &str, accelerator: &str, timeout: Duration) -> Result<(), String> {
    if accelerator == "kvm"
        && let Err(error) = fs_err::OpenOptions::new().read(true).write(true).open("/dev/kvm")
    {
        return Err(match error.kind() {
            std::io::ErrorKind::NotFound => "this machine has no `/dev/kvm`".to_owned(),
            std::io::ErrorKind::PermissionDenied => "no permission to open `/dev/kvm`".to_owned(),
            _ => error.to_string(),
        });
    }
    let unprepared = |error: std::io::Error| format!("cannot prepare to try it: {error}");
    let mut program = tempfile::NamedTempFile::new_in(super::temp_dir()).map_err(unprepared)?;
    program.write_all(&PROGRAM).map_err(unprepared)?;
    let mut command = Command::new(qemu);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "64", "-cpu", "max"]);
    if cfg!(target_arch = "x86_64") {
        command.args(["-machine", &format!("pc,accel={accelerator}"), "-kernel"]).arg(program.path());
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    } else {
        command.args(["-machine", &format!("virt,accel={accelerator}")]);
    }
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn();
    let mut child = child.map_err(|error| format!("cannot start `{qemu}`: {error}"))?;
    let status = wait(&mut child, timeout);
    let _ = child.kill();
    let output = child.wait_with_output();
    match status {
        Some(status) if status.code() == Some(DONE) => Ok(()),
        // Nothing ends it there but a fault.
        None if !cfg!(target_arch = "x86_64") => Ok(()),
        None => Err(format!("a virtual processor does not get on within {} s", timeout.as_secs())),
        Some(_) => {
            let said = output.map(|output| last_line(&output.stderr)).unwrap_or_default();
            let ended = "qemu ended as soon as its processor started".to_owned();
            Err(if said.is_empty() { ended } else { said })
        }
    }
}

/// Waits until a process ends by itself; `None` if it has not in time.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    let patience = if cfg!(target_arch = "x86_64") { timeout } else { SETTLE };
    while started.elapsed() < patience {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(POLL);
    }
    None
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_without_trying() {
        assert_eq!(decide(Some("kvm")), Acceleration::Kvm);
        assert!(matches!(decide(Some("tcg")), Acceleration::Emulated { .. }));
    }

    #[test]
    fn an_emulated_processor_runs_the_program_and_a_missing_qemu_is_named() {
        // Emulated beside other tests, on a busy machine, it may take its time.
        assert_eq!(run_program(&qemu(), "tcg", Duration::from_secs(120)), Ok(()));
        let error = run_program("qemu-system-nowhere", "tcg", TIMEOUT).unwrap_err();
        assert!(error.starts_with("cannot start `qemu-system-nowhere`"), "{error}");
    }

    #[test]
    fn a_processor_that_does_not_get_on_is_no_use() {
        let error = run_program(&qemu(), "tcg", Duration::ZERO).unwrap_err();
        assert_eq!(error, "a virtual processor does not get on within 0 s");
    }

    #[test]
    fn what_qemu_says_is_the_reason() {
        let error = run_program(&qemu(), "nosuchaccel", TIMEOUT).unwrap_err();
        assert!(error.contains("nosuchaccel"), "{error}");
    }
}
