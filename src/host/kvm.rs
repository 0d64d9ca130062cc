//! Whether this host can run an appliance with hardware virtualisation.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::process::{self, ProcessError};
use crate::cancel::{Cancel, Cancelled};
use crate::control::Control;
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
/// Where only its start can be tried: a broken processor ends qemu within 0.1 s.
const SETTLE: Duration = Duration::from_millis(300);

/// Tries it, once per process, by running a small program on a virtual processor as libguestfs would have it: that
/// `/dev/kvm` opens proves nothing. Within other virtual machines there are processors that end qemu when they start,
/// and some that start and then need minutes for what takes a moment. `TIB_ACCEL=kvm` and `TIB_ACCEL=tcg` answer instead.
///
/// # Errors
/// [`Cancelled`]; it is tried again then.
pub fn acceleration(cancel: &Cancel) -> Result<Acceleration, Cancelled> {
    static ANSWER: Mutex<Option<Acceleration>> = Mutex::new(None);
    let mut answer = ANSWER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*answer {
        return Ok(known.clone());
    }
    let found = decide(std::env::var("TIB_ACCEL").ok().as_deref(), cancel);
    cancel.check()?;
    Ok(answer.insert(found).clone())
}

fn decide(setting: Option<&str>, cancel: &Cancel) -> Acceleration {
    match setting {
        Some("kvm") => Acceleration::Kvm,
        Some("tcg") => Acceleration::Emulated { reason: "TIB_ACCEL=tcg asks for it".to_owned() },
        _ => match run_program(&qemu(), "kvm", TIMEOUT, cancel) {
            Ok(()) => Acceleration::Kvm,
            Err(reason) => Acceleration::Emulated { reason },
        },
    }
}

/// Whether the user insists on KVM: then there is no falling back.
pub(crate) fn is_forced() -> bool {
    std::env::var("TIB_ACCEL").is_ok_and(|value| value == "kvm")
}

/// Warns, once per process, that what is to run (`the appliance`) is emulated.
pub(crate) fn warn_once(events: &Events, what: &str, reason: &str) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        events.warning(format!(
            "no hardware virtualisation ({reason}): {what} is emulated and several times slower"
        ));
    }
}

/// The qemu that libguestfs will start.
pub(crate) fn qemu() -> String {
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
/// Neither qemu nor a file is left, however this process ends.
pub(crate) fn run_program(
    qemu: &str,
    accelerator: &str,
    timeout: Duration,
    cancel: &Cancel,
) -> Result<(), String> {
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
    // It has no name that would be left behind: qemu gets it as its stdin.
    let mut program = tempfile::tempfile_in(super::temp_dir()).map_err(unprepared)?;
    program.write_all(&PROGRAM).map_err(unprepared)?;
    let mut command = Command::new(qemu);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "64", "-cpu", "max"]);
    if cfg!(target_arch = "x86_64") {
        command.args(["-machine", &format!("pc,accel={accelerator}"), "-kernel", "/proc/self/fd/0"]);
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    } else {
        command.args(["-machine", &format!("virt,accel={accelerator}")]);
    }
    command.stdin(program).stdout(Stdio::null());
    let mut running =
        process::spawn(&mut command, &Control::new(Events::none(), cancel.clone())).map_err(|error| {
            match error {
                ProcessError::Start { source, .. } => format!("cannot start `{qemu}`: {source}"),
                other => other.to_string(),
            }
        })?;
    let patience = if cfg!(target_arch = "x86_64") { timeout } else { SETTLE };
    let status = running.wait_timeout(patience);
    let said = running.end();
    match status {
        Some(status) if status.code() == Some(DONE) => Ok(()),
        // Nothing ends it there but a fault.
        None if !cfg!(target_arch = "x86_64") => Ok(()),
        None => Err(format!("a virtual processor made no progress within {} s", timeout.as_secs())),
        Some(_) => {
            let ended = || "qemu ended as soon as its processor started".to_owned();
            Err(said.into_iter().next_back().unwrap_or_else(ended))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use rustix::process::Pid;

    use super::*;

    const POLL: Duration = Duration::from_millis(10);

    #[test]
    fn the_environment_decides_without_trying() {
        let decide = |setting| decide(Some(setting), &Cancel::new());
        assert_eq!(decide("kvm"), Acceleration::Kvm);
        assert!(matches!(decide("tcg"), Acceleration::Emulated { .. }));
    }

    #[test]
    fn an_emulated_processor_runs_the_program_and_a_missing_qemu_is_named() {
        // Emulated beside other tests, on a busy machine, it may take its time.
        assert_eq!(run_program(&qemu(), "tcg", Duration::from_secs(120), &Cancel::new()), Ok(()));
        let error = run_program("qemu-system-nowhere", "tcg", TIMEOUT, &Cancel::new()).unwrap_err();
        assert!(error.starts_with("cannot start `qemu-system-nowhere`"), "{error}");
    }

    #[test]
    fn a_processor_that_makes_no_progress_is_no_use() {
        let error = run_program(&qemu(), "tcg", Duration::ZERO, &Cancel::new()).unwrap_err();
        assert_eq!(error, "a virtual processor made no progress within 0 s");
    }

    const CHILD: &str = "TIB_TEST_PROBE_CHILD";
    const FOR_EVER: Duration = Duration::from_secs(60 * 60);

    /// A hypervisor that never ends, nor does its child, and says in `note` which processes these are.
    fn hanging(home: &Path) -> (String, PathBuf) {
        let (program, note) = (home.join("hypervisor"), home.join("processes"));
        let text = format!(
            "#!/bin/sh\nsleep 3600 &\necho $$ $! >'{0}.new'\nmv '{0}.new' '{0}'\nwait\n",
            note.display()
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        (program.to_str().unwrap().to_owned(), note)
    }

    fn processes(note: &Path) -> Vec<Pid> {
        loop {
            if let Ok(text) = std::fs::read_to_string(note) {
                let numbers = text.split_whitespace().map(|number| number.parse().unwrap());
                return numbers.map(|number| Pid::from_raw(number).unwrap()).collect();
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits for it.
    fn ended(processes: &[Pid]) {
        while processes.iter().any(|process| rustix::process::test_kill_process(*process).is_ok()) {
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn trying_ends_at_once_when_the_user_cancels() {
        let home = tempfile::tempdir().unwrap();
        let (program, note) = hanging(home.path());
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let tried = scope.spawn(|| run_program(&program, "tcg", FOR_EVER, &cancel));
            let processes = processes(&note);
            cancel.raise();
            assert!(tried.join().unwrap().is_err());
            ended(&processes);
        });
        assert_eq!(acceleration(&cancel), Err(Cancelled));
    }

    /// Not a test of its own: what the next one starts, and kills.
    #[test]
    #[ignore = "run by nothing_is_left_of_trying_when_we_are_killed"]
    fn child() {
        let Ok(program) = std::env::var(CHILD) else { return };
        let _ = run_program(&program, "tcg", FOR_EVER, &Cancel::new());
    }

    #[test]
    fn nothing_is_left_of_trying_when_we_are_killed() {
        let home = tempfile::tempdir().unwrap();
        let temporary = home.path().join("temporary");
        std::fs::create_dir(&temporary).unwrap();
        let (program, note) = hanging(home.path());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "host::kvm::tests::child"])
            .env(CHILD, program)
            .env("TIB_TMPDIR", &temporary)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let processes = processes(&note);
        child.kill().unwrap();
        child.wait().unwrap();
        ended(&processes);
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    }

    #[test]
    fn what_qemu_says_is_the_reason() {
        let error = run_program(&qemu(), "nosuchaccel", TIMEOUT, &Cancel::new()).unwrap_err();
        assert!(error.contains("nosuchaccel"), "{error}");
    }
}
