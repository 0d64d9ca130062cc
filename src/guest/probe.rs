//! Whether this host can run an appliance with hardware virtualisation.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
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

/// How long qemu may take to start a processor.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the processor must have run without qemu ending. A broken one ends it within 0.1 s.
const SETTLE: Duration = Duration::from_millis(300);

/// Tries it, once per process, by starting a virtual processor as libguestfs would: that `/dev/kvm` opens proves
/// nothing. `TIB_ACCEL=kvm` and `TIB_ACCEL=tcg` answer instead.
pub fn acceleration() -> Acceleration {
    static ANSWER: OnceLock<Acceleration> = OnceLock::new();
    ANSWER.get_or_init(|| decide(std::env::var("TIB_ACCEL").ok().as_deref())).clone()
}

fn decide(setting: Option<&str>) -> Acceleration {
    match setting {
        Some("kvm") => Acceleration::Kvm,
        Some("tcg") => Acceleration::Emulated { reason: "TIB_ACCEL=tcg asks for it".to_owned() },
        _ => match start_processor(&qemu(), "kvm") {
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

/// Starts a machine without a disk and lets its processor run for a moment.
pub(super) fn start_processor(qemu: &str, accelerator: &str) -> Result<(), String> {
    if accelerator == "kvm"
        && let Err(error) = fs_err::OpenOptions::new().read(true).write(true).open("/dev/kvm")
    {
        return Err(match error.kind() {
            std::io::ErrorKind::NotFound => "this machine has no `/dev/kvm`".to_owned(),
            std::io::ErrorKind::PermissionDenied => "no permission to open `/dev/kvm`".to_owned(),
            _ => error.to_string(),
        });
    }
    let machine = if cfg!(target_arch = "aarch64") { "virt" } else { "pc" };
    let child = Command::new(qemu)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "64", "-cpu", "max"])
        .args(["-machine", &format!("{machine},accel={accelerator}"), "-qmp", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = child.map_err(|error| format!("cannot start `{qemu}`: {error}"))?;
    let answer = converse(&mut child);
    // Ended by `quit` in the good case; otherwise this ends it.
    let _ = child.kill();
    let output = child.wait_with_output();
    answer.map_err(|problem| {
        let said = output.map(|output| last_line(&output.stderr)).unwrap_or_default();
        if said.is_empty() { problem } else { said }
    })
}

fn converse(child: &mut Child) -> Result<(), String> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("qemu has no monitor".to_owned());
    };
    let (sender, lines) = channel();
    // Ends with qemu, which the caller ends in any case.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let ended = "qemu ended as soon as its processor started";
    let mut ask =
        |command: &str| writeln!(stdin, "{{\"execute\":\"{command}\"}}").map_err(|_| ended.to_owned());
    ask("qmp_capabilities")?;
    let deadline = Instant::now() + TIMEOUT;
    let settled = Instant::now() + SETTLE;
    let mut asked = false;
    loop {
        let until = if asked { deadline } else { settled };
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains("\"running\": true") => {
                ask("quit")?;
                return Ok(());
            }
            Ok(line) if line.contains("\"running\": false") => {
                return Err("qemu could not keep the processor running".to_owned());
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) if !asked => {
                asked = true;
                ask("query-status")?;
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("qemu did not answer within {} s", TIMEOUT.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(ended.to_owned()),
        }
    }
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
    fn an_emulated_processor_starts_and_a_missing_qemu_is_named() {
        assert_eq!(start_processor(&qemu(), "tcg"), Ok(()));
        let error = start_processor("qemu-system-nowhere", "tcg").unwrap_err();
        assert!(error.starts_with("cannot start `qemu-system-nowhere`"), "{error}");
    }

    #[test]
    fn what_qemu_says_is_the_reason() {
        let error = start_processor(&qemu(), "nosuchaccel").unwrap_err();
        assert!(error.contains("nosuchaccel"), "{error}");
    }
}
