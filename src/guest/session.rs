//! A running appliance: launch, calls, end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use guestfs::{AddDriveOptArgs, Handle};

use super::GuestError;
use super::console::Console;
use super::ffi::{self, CallError};
use super::mounts::Mount;
use super::worker::{Lost, Worker};
use crate::cancel::{Cancel, OnRaise};
use crate::control::Control;
use crate::event::Events;
use crate::host::kvm::{self, Acceleration};
use crate::host::temp_dir;

/// Memory of the appliance when `TIB_MEMORY` says nothing: enough for apt and pip.
const MEMORY_MIB: u32 = 2048;
/// An appliance that needs longer than this to boot, even emulated, will not boot.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(600);

/// Format of a drive's file. Always stated: probing it would let a guest choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveFormat {
    /// Raw bytes.
    Raw,
    /// qcow2, whose backing chain the caller has checked.
    Qcow2,
}

impl DriveFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// A disk of the appliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: DriveFormat,
    /// The file is never written; writes go to a temporary overlay that is thrown away.
    pub read_only: bool,
}

impl Drive {
    /// A drive that may be written. Nothing is flushed while the session runs (`cachemode=unsafe`): after a crash
    /// the file is worthless.
    pub fn writable(path: impl Into<PathBuf>, format: DriveFormat) -> Self {
        Self { path: path.into(), format, read_only: false }
    }

    /// A drive whose file is only read.
    pub fn read_only(path: impl Into<PathBuf>, format: DriveFormat) -> Self {
        Self { path: path.into(), format, read_only: true }
    }
}

/// What the appliance shall be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Its disks, in order: the first is `/dev/sda`.
    pub drives: Vec<Drive>,
    /// Whether it has a network. The guest's code can then reach whatever the host can.
    pub network: bool,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its processors.
    pub smp: u32,
    /// Receives the whole console, script output and libguestfs' trace.
    pub log: Option<PathBuf>,
}

impl Default for SessionOptions {
    /// No drives, no network; memory from `TIB_MEMORY` or 2048 MiB; one processor, as a second one does nothing for
    /// package managers and slows emulation down.
    fn default() -> Self {
        let memory_mib = std::env::var("TIB_MEMORY").ok().and_then(|value| value.trim().parse().ok());
        Self {
            drives: Vec::new(),
            network: false,
            memory_mib: memory_mib.unwrap_or(MEMORY_MIB),
            smp: 1,
            log: None,
        }
    }
}

/// A running appliance with its disks attached.
///
/// Dropping it ends the appliance at once and may lose writes; [`shutdown`](Self::shutdown) is the good end.
#[derive(Debug)]
pub struct Session {
    // Fields are dropped in this order: the appliance ends before nobody would end it on cancellation.
    worker: Worker,
    _on_cancel: OnRaise,
    pub(super) console: Console,
    pub(super) events: Events,
    cancel: Cancel,
    /// How the root file system is mounted, once it has been found.
    pub(super) layout: Option<Vec<Mount>>,
    /// Whether it is mounted, and then whether read-only.
    pub(super) mounted: Option<bool>,
    /// Canonical paths at which something is seen that is seen elsewhere too.
    pub(super) bound: Vec<String>,
    /// Directories made for payloads, to be removed again.
    pub(super) payloads: Vec<String>,
    pub(super) scripts: u32,
}

/// What an appliance is called in warnings.
const APPLIANCE: &str = "the appliance";

impl Session {
    /// Starts an appliance. Without usable hardware virtualisation it is emulated, with one warning per process.
    ///
    /// # Errors
    /// [`GuestError::Launch`], or [`GuestError::Cancelled`].
    pub fn launch(options: &SessionOptions, control: &Control) -> Result<Self, GuestError> {
        control.cancel.check()?;
        let acceleration = kvm::acceleration(&control.cancel)?;
        if let Acceleration::Emulated { reason } = &acceleration {
            kvm::warn_once(&control.events, APPLIANCE, reason);
        }
        match (Self::launch_with(options, control, &acceleration), acceleration) {
            (Err(GuestError::Launch { message, .. }), Acceleration::Kvm) if !kvm::is_forced() => {
                let reason = format!("the appliance did not start with KVM: {message}");
                kvm::warn_once(&control.events, APPLIANCE, &reason);
                let emulated = Acceleration::Emulated { reason: message };
                Self::launch_with(options, control, &emulated)
            }
            (result, _) => result,
        }
    }

    fn launch_with(
        options: &SessionOptions,
        control: &Control,
        acceleration: &Acceleration,
    ) -> Result<Self, GuestError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("tib_session={}-{number}", std::process::id());
        let failed = |message: String| GuestError::Launch { message, console: Vec::new() };
        let console = Console::new(control.events.clone(), options.log.as_deref())
            .map_err(|error| failed(format!("cannot write its log: {error}")))?;
        let worker = Worker::start(&console, &tag).map_err(|error| failed(error.message))?;
        let on_cancel = {
            let terminator = worker.terminator().clone();
            control.cancel.on_raise(move || terminator.terminate())
        };
        let session = Self {
            worker,
            _on_cancel: on_cancel,
            console,
            events: control.events.clone(),
            cancel: control.cancel.clone(),
            layout: None,
            mounted: None,
            bound: Vec::new(),
            payloads: Vec::new(),
            scripts: 0,
        };
        let work = {
            let (options, tag, acceleration) = (options.clone(), tag, acceleration.clone());
            move |handle: &Handle| {
                let result = configure(handle, &options, &tag, &acceleration).and_then(|()| handle.launch());
                result.map_err(|error| explain(handle, &error))
            }
        };
        let result = session.worker.call(Some(LAUNCH_TIMEOUT), work);
        control.cancel.check()?;
        let message = match result {
            Ok(Ok(())) => return Ok(session),
            Ok(Err(error)) => strip(&error.message).to_owned(),
            Err(Lost::Timeout) => format!("it had not booted after {} s", LAUNCH_TIMEOUT.as_secs()),
            Err(Lost::Worker) => "the thread that starts it ended".to_owned(),
        };
        Err(GuestError::Launch { message, console: session.console.lines() })
    }

    /// Ends the appliance in good order: everything is written, and a write error is an error here.
    ///
    /// # Errors
    /// [`GuestError::Call`] when something was not written: the disk must not be used.
    pub fn shutdown(self) -> Result<(), GuestError> {
        self.call("shutdown", None, Handle::shutdown)
    }

    /// Runs a command line in the appliance itself, outside of the guest, whose root is at `/sysroot`. None of the guest's
    /// programs may be run by it.
    pub(super) fn appliance_sh(&self, command: &str) -> Result<String, GuestError> {
        let command = command.to_owned();
        self.call("debug", None, move |g| g.debug("sh", &[&command]))
    }

    /// Runs calls of the `guestfs` crate on the session's thread.
    pub(super) fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: Option<&str>,
        work: impl FnOnce(&Handle) -> Result<T, guestfs::Error> + Send + 'static,
    ) -> Result<T, GuestError> {
        self.raw_call(operation, path, None, move |handle| {
            work(handle).map_err(|error| explain(handle, &error))
        })
    }

    /// Runs our own calls on the session's thread. A timeout ends the appliance.
    pub(super) fn raw_call<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: Option<&str>,
        timeout: Option<Duration>,
        work: impl FnOnce(&Handle) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, GuestError> {
        self.cancel.check()?;
        let result = self.worker.call(timeout, work);
        // When the user interrupts, qemu is ended, and whatever the call says is a consequence of that.
        self.cancel.check()?;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if !self.console.has_quit() => Err(GuestError::Call {
                operation,
                path: path.map(str::to_owned),
                message: strip(&error.message).to_owned(),
                errno: errno_of(&error),
            }),
            Err(Lost::Timeout) => Err(GuestError::Timeout {
                purpose: operation.to_owned(),
                seconds: timeout.unwrap_or_default().as_secs(),
            }),
            Ok(Err(_)) | Err(Lost::Worker) => {
                Err(GuestError::Died { operation, console: self.console.lines() })
            }
        }
    }
}

fn configure(
    handle: &Handle,
    options: &SessionOptions,
    tag: &str,
    acceleration: &Acceleration,
) -> Result<(), guestfs::Error> {
    handle.set_backend("direct")?;
    // Ctrl-C must reach us and not qemu.
    handle.set_pgroup(true)?;
    // Ends qemu when we are killed before we can.
    handle.set_recovery_proc(true)?;
    handle.set_autosync(true)?;
    handle.set_program("tib")?;
    handle.set_identifier("tib")?;
    handle.set_trace(options.log.is_some())?;
    handle.set_memsize(i32::try_from(options.memory_mib).unwrap_or(i32::MAX))?;
    handle.set_smp(i32::try_from(options.smp.max(1)).unwrap_or(1))?;
    handle.set_network(options.network)?;
    // The appliance's kernel ignores the parameter; it is there to find qemu by.
    handle.set_append(Some(tag))?;
    handle.set_tmpdir(Some(&temp_dir().to_string_lossy()))?;
    match acceleration {
        Acceleration::Kvm => handle.set_backend_settings(&[])?,
        Acceleration::Emulated { .. } => handle.set_backend_settings(&["force_tcg"])?,
    }
    for drive in &options.drives {
        // The crate takes text only. A name that is no text becomes one that does not exist, and the call says so.
        let path = drive.path.to_string_lossy();
        let writable = !drive.read_only;
        handle.add_drive(
            &path,
            AddDriveOptArgs {
                readonly: Some(drive.read_only),
                format: Some(drive.format.name()),
                cachemode: writable.then_some("unsafe"),
                discard: writable.then_some("enable"),
                ..AddDriveOptArgs::default()
            },
        )?;
    }
    Ok(())
}

/// Turns the crate's error, which hides its fields, into ours. On the thread that made the call, right after it.
pub(super) fn explain(handle: &Handle, error: &guestfs::Error) -> CallError {
    match error {
        guestfs::Error::API(_) => ffi::last_error(handle),
        guestfs::Error::IllegalString(_) => CallError {
            message: "an argument contains a NUL byte".to_owned(),
            errno: rustix::io::Errno::INVAL.raw_os_error(),
        },
        guestfs::Error::Utf8Error(_) => CallError {
            message: "the answer is not UTF-8".to_owned(),
            errno: rustix::io::Errno::ILSEQ.raw_os_error(),
        },
        guestfs::Error::Create => CallError { message: "libguestfs gave no handle".to_owned(), errno: 0 },
    }
}

/// The errno of a failed call. Where libguestfs runs a program, such as tar, only its message tells of a full disk.
pub(super) fn errno_of(error: &CallError) -> i32 {
    if error.errno == 0 && error.message.contains("No space left on device") {
        return rustix::io::Errno::NOSPC.raw_os_error();
    }
    error.errno
}

/// Drops the name of the call from the front of a message: our own error says it already.
fn strip(message: &str) -> &str {
    match message.split_once(": ") {
        Some((call, rest))
            if call.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') =>
        {
            rest
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_by_errno_or_message() {
        let errno = |message: &str, errno| errno_of(&CallError { message: message.to_owned(), errno });
        assert_eq!(errno("tar: ./x: Cannot write: No space left on device", 0), 28);
        assert_eq!(errno("No such file or directory", 2), 2);
        assert_eq!(errno("unknown", 0), 0);
    }

    #[test]
    fn messages_lose_the_name_of_the_call() {
        for (message, stripped) in [
            ("lstatns: /x: No such file or directory", "/x: No such file or directory"),
            ("mount_options: /dev/sda1 on /: bad", "/dev/sda1 on /: bad"),
            ("/dev/sda1: not there", "/dev/sda1: not there"),
            ("plain", "plain"),
        ] {
            assert_eq!(strip(message), stripped);
        }
    }
}
