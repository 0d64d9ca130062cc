//! What this host can do, found out by trying.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use guestfs::Handle;
use serde::Serialize;

use super::GuestError;
use super::session::{Drive, DriveFormat, Session, SessionOptions};
use super::storage;
use crate::control::Control;
use crate::disk::FileSystemKind;
use crate::host::kvm::{self, Acceleration};
use crate::host::{process, temp_dir};
use crate::shell::quote;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// tib works, but slower or not in every case.
    Warning,
    /// tib cannot work.
    Failed,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tried.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub detail: String,
    /// Why it matters.
    pub why: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn new(name: &str, why: &str, state: State, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state, detail: detail.into(), why: why.to_owned(), fix: None }
    }

    fn fix(mut self, fix: &str) -> Self {
        if self.state != State::Ok {
            self.fix = Some(fix.to_owned());
        }
        self
    }
}

/// The oldest libguestfs tib is tested with.
const LIBGUESTFS: (i64, i64) = (1, 48);
/// How long one connection may take, in seconds.
const CONNECT: u32 = 20;

/// Tries all that an appliance needs. Boots one, with a network, and reaches for every source, given as host name
/// and port, from inside it.
///
/// # Errors
/// [`GuestError::Cancelled`] only: everything else is a finding.
pub fn examine(control: &Control, sources: &[(String, u16)]) -> Result<Vec<Finding>, GuestError> {
    let virtualisation = virtualisation(kvm::acceleration(&control.cancel)?);
    let mut findings = vec![virtualisation, qemu(control), libguestfs(), kernel(), user()];
    match boot(control) {
        Ok((session, seconds)) => {
            let why = "every build runs in one";
            findings.push(Finding::new("appliance", why, State::Ok, format!("boots in {seconds:.0} s")));
            findings.push(enlarging(session.lacks()));
            network(&session, sources, &mut findings);
            if let Err(error) = session.shutdown() {
                findings.push(Finding::new("appliance end", why, State::Failed, error.to_string()));
            }
        }
        Err(GuestError::Cancelled(cancelled)) => return Err(cancelled.into()),
        Err(error) => {
            findings.push(no_appliance(&error));
            // What it would lack if it started.
            findings.push(enlarging(Ok(lacking_of_all())));
        }
    }
    control.cancel.check()?;
    Ok(findings)
}

fn virtualisation(acceleration: Acceleration) -> Finding {
    let why = "without it the appliance is emulated: builds work and take several times longer";
    match acceleration {
        Acceleration::Kvm => Finding::new("virtualisation", why, State::Ok, "a processor starts with KVM"),
        Acceleration::Emulated { reason } => {
            let fix = if reason.contains("permission") {
                "join the group that owns /dev/kvm (`sudo usermod -aG kvm $USER`) and log in again"
            } else {
                "use a machine with KVM, or one whose hypervisor passes it on; nothing has to be done otherwise"
            };
            Finding::new("virtualisation", why, State::Warning, reason).fix(fix)
        }
    }
}

fn qemu(control: &Control) -> Finding {
    let why = "qemu-system runs the appliance, qemu-img makes its disks; a newer qemu-img may write what an older \
               qemu-system cannot read";
    let fix = "install qemu-system and qemu-utils (qemu-img) of the same version";
    let ask = |program: &str| {
        let output = process::run(Command::new(program).arg("--version"), control);
        output.map_err(|error| error.to_string()).and_then(|text| {
            let text = String::from_utf8_lossy(&text).into_owned();
            version(&text).ok_or_else(|| format!("`{program} --version` says `{}`", text.trim()))
        })
    };
    match (ask(&kvm::qemu()), ask("qemu-img")) {
        (Err(error), _) | (_, Err(error)) => Finding::new("qemu", why, State::Failed, error).fix(fix),
        (Ok(system), Ok(img)) => {
            let state = if system == img { State::Ok } else { State::Warning };
            let text = |(major, minor): (u32, u32)| format!("{major}.{minor}");
            let detail = format!("qemu-system {}, qemu-img {}", text(system), text(img));
            Finding::new("qemu", why, state, detail).fix(fix)
        }
    }
}

/// Major and minor version in `QEMU emulator version 7.2.22 (…)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("version ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn libguestfs() -> Finding {
    let why = "tib does everything inside an image through it";
    let version = Handle::create().and_then(|handle| {
        super::ffi::silence(&handle);
        handle.version()
    });
    match version {
        Ok(v) => {
            let state = if (v.major, v.minor) >= LIBGUESTFS { State::Ok } else { State::Warning };
            Finding::new("libguestfs", why, state, format!("{}.{}.{}", v.major, v.minor, v.release))
                .fix("tib is tested with 1.48 and later")
        }
        Err(_) => {
            Finding::new("libguestfs", why, State::Failed, "it gives no handle").fix("install libguestfs0")
        }
    }
}

fn kernel() -> Finding {
    let why = "the appliance boots a kernel of this host, which must be readable to you";
    if let Some(path) = storage::fixed_appliance() {
        return Finding::new("kernel", why, State::Ok, format!("a fixed appliance in {}", path.display()));
    }
    let found = if let Some(path) = std::env::var_os("SUPERMIN_KERNEL") {
        vec![std::path::PathBuf::from(path)]
    } else {
        let entries = |directory| fs_err::read_dir(directory).into_iter().flatten().flatten();
        let named =
            entries("/boot").filter(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz-"));
        // Where Fedora keeps them.
        let beside = entries("/lib/modules").map(|entry| entry.path().join("vmlinuz"));
        named.map(|entry| entry.path()).chain(beside.filter(|path| path.exists())).collect()
    };
    // Asking to open it tells more than its mode does.
    let (readable, locked): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|path| fs_err::File::open(path).is_ok());
    let names = |paths: &[std::path::PathBuf]| {
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    match (readable.as_slice(), locked.as_slice()) {
        ([], []) => Finding::new("kernel", why, State::Failed, "no kernel in /boot or /lib/modules").fix(
            "install one (linux-image-amd64, linux-image-generic or kernel-core), or set SUPERMIN_KERNEL and \
             SUPERMIN_MODULES",
        ),
        ([], locked) => {
            Finding::new("kernel", why, State::Failed, format!("not readable: {}", names(locked))).fix(
                "`sudo chmod +r /boot/vmlinuz-*`, or copy one and set SUPERMIN_KERNEL to the copy and SUPERMIN_MODULES \
                 to its directory below /lib/modules",
            )
        }
        (readable, _) => Finding::new("kernel", why, State::Ok, names(readable)),
    }
}

fn user() -> Finding {
    let why = "nothing tib does needs root";
    let detail = if rustix::process::geteuid().is_root() { "root" } else { "an ordinary user" };
    Finding::new("user", why, State::Ok, detail)
}

fn boot(control: &Control) -> Result<(Session, f64), GuestError> {
    let failed = |error: std::io::Error| GuestError::Launch {
        message: format!("cannot make a scratch disk: {error}"),
        console: Vec::new(),
    };
    let mut disk = tempfile::NamedTempFile::new_in(temp_dir()).map_err(failed)?;
    disk.write_all(&[0; 4096]).and_then(|()| disk.as_file().set_len(1 << 20)).map_err(failed)?;
    let drives = vec![Drive::writable(disk.path(), DriveFormat::Raw)];
    let options = SessionOptions { drives, network: true, ..SessionOptions::default() };
    let started = Instant::now();
    let session = Session::launch(&options, control)?;
    // qemu holds the file open; its name is no longer needed.
    Ok((session, started.elapsed().as_secs_f64()))
}

fn no_appliance(error: &GuestError) -> Finding {
    let mut detail = error.to_string();
    if let GuestError::Launch { console, .. } = error {
        for line in console.iter().rev().take(5).rev() {
            detail.push_str("; ");
            detail.push_str(line);
        }
    }
    Finding::new("appliance", "every build runs in one", State::Failed, detail)
        .fix("see the findings above; `libguestfs-test-tool` shows every detail of the boot")
}

/// The kinds of storage that an appliance of this host could not enlarge.
fn lacking_of_all() -> Vec<&'static str> {
    let kinds = [FileSystemKind::Xfs, FileSystemKind::Btrfs, FileSystemKind::Lvm];
    kinds.iter().filter_map(|kind| storage::lacking(&[*kind])).collect()
}

/// What roots may lie on, beside ext4, without which there is no appliance.
fn enlarging(lacks: Result<Vec<&'static str>, GuestError>) -> Finding {
    let name = "appliance storage";
    let why = "a base whose root is on XFS (Enterprise Linux), Btrfs (Fedora) or LVM can only be enlarged with its tools";
    match lacks {
        Ok(lacks) if lacks.is_empty() => Finding::new(name, why, State::Ok, "tools for XFS, Btrfs and LVM"),
        Ok(lacks) => {
            let packages: Vec<_> = lacks.iter().filter_map(|kind| storage::packages_for(kind)).collect();
            Finding::new(name, why, State::Warning, format!("no tools for {}", lacks.join(", ")))
                .fix(&format!("install {} (`make setup` does)", packages.join(", ")))
        }
        Err(error) => Finding::new(name, why, State::Failed, format!("could not be checked: {error}"))
            .fix("`libguestfs-test-tool` shows what the appliance has"),
    }
}

fn network(session: &Session, sources: &[(String, u16)], findings: &mut Vec<Finding>) {
    let why = "packages are installed over the appliance's network";
    // The DHCP client may still be at work when the appliance is ready.
    let command = "for i in 1 2 3 4 5 6 7 8 9 10; do a=$(ip -4 -o addr show scope global); \
                   [ -n \"$a\" ] && break; sleep 1; done; echo \"$a\"; cat /etc/resolv.conf || true";
    let fix = "install a DHCP client (isc-dhcp-client or dhcpcd-base) and remove the old appliance: \
               `rm -r /var/tmp/.guestfs-$(id -u)`";
    match session.appliance_sh(command) {
        Ok(text) => findings.push(match address(&text) {
            Some(address) => Finding::new("appliance network", why, State::Ok, address),
            None => Finding::new("appliance network", why, State::Failed, "it got no address").fix(fix),
        }),
        Err(error) => {
            let detail = format!("could not be checked: {error}");
            findings.push(Finding::new("appliance network", why, State::Failed, detail));
        }
    }
    for (host, port) in sources {
        findings.push(source(session, host, *port));
    }
}

fn source(session: &Session, host: &str, port: u16) -> Finding {
    let name = format!("source {host}:{port}");
    let why = "the guest's packages come from there";
    let connect = format!("exec 3<>/dev/tcp/{host}/{port}");
    let command = format!(
        "if ! getent ahosts {host} >/dev/null; then echo unresolved; \
         elif timeout {CONNECT} bash -c {connect} 2>/dev/null; then echo reached; else echo unreached; fi",
        host = quote(host),
        connect = quote(&connect)
    );
    match session.appliance_sh(&command).as_deref().map(str::trim) {
        Ok("reached") => Finding::new(&name, why, State::Ok, "reached from inside the appliance"),
        Ok("unresolved") => Finding::new(
            &name,
            why,
            State::Warning,
            "its name cannot be resolved inside the appliance",
        )
        .fix(
            "the appliance asks the resolver in the host's /etc/resolv.conf; see that it answers and is not \
                 bound to a network the appliance cannot reach",
        ),
        Ok("unreached") => {
            Finding::new(&name, why, State::Warning, "no connection from inside the appliance")
                .fix("see whether the host itself reaches it, or needs a proxy")
        }
        Ok(text) => Finding::new(&name, why, State::Failed, format!("could not be checked: `{text}`")),
        Err(error) => Finding::new(&name, why, State::Failed, format!("could not be checked: {error}")),
    }
}

/// The first address in the output of `ip -4 -o addr`.
fn address(text: &str) -> Option<String> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "inet");
    words.nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, found) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", Some((7, 2))),
            ("qemu-img version 10.0.2\nCopyright", Some((10, 0))),
            ("qemu-img version", None),
            ("", None),
        ] {
            assert_eq!(version(text), found, "{text}");
        }
    }

    #[test]
    fn storage_that_cannot_be_enlarged_is_named() {
        let finding = enlarging(Ok(vec!["XFS", "LVM"]));
        assert_eq!((finding.state, finding.detail.as_str()), (State::Warning, "no tools for XFS, LVM"));
        assert_eq!(
            finding.fix.as_deref(),
            Some("install libguestfs-xfs and xfsprogs, lvm2 (`make setup` does)")
        );
        assert_eq!(enlarging(Ok(Vec::new())).state, State::Ok);
    }

    #[test]
    fn addresses_are_read() {
        let text =
            "2: eth0    inet 169.254.2.15/16 brd 169.254.255.255 scope global eth0\nnameserver 169.254.2.3\n";
        assert_eq!(address(text).as_deref(), Some("169.254.2.15/16"));
        assert_eq!(address("\nnameserver 169.254.2.3\n"), None);
    }

    #[test]
    fn only_what_is_wrong_has_a_fix() {
        assert_eq!(Finding::new("x", "y", State::Ok, "z").fix("do"), Finding::new("x", "y", State::Ok, "z"));
        assert_eq!(Finding::new("x", "y", State::Failed, "z").fix("do").fix.as_deref(), Some("do"));
    }
}
