//! The file tree: `mmdebstrap` makes it, `mke2fs` packs it, both in a user namespace where its files are root's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::{self, BootFiles, Identity};
use super::{BaseError, System, sources};
use crate::cache::CacheError;
use crate::control::Control;
use crate::distro::Arch;
use crate::event::{Event, EventSink, Events};
use crate::host::process;

/// What the kernel is told: messages go to the screen and, for `openstack console log show`, the serial line.
const CUSTOMIZE: &str = include_str!("customize.sh");
const FILE_SYSTEM: &str = include_str!("filesystem.sh");
/// Everything in here that decides what a base holds, for its key.
pub(crate) const RECIPE: [&str; 3] = [CUSTOMIZE, FILE_SYSTEM, CMDLINE];
const CMDLINE: &str = "console=tty0 console=ttyS0,115200";

/// A tree that is being made. Its files belong to the namespace's root.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    pub(crate) path: PathBuf,
    pub(crate) system: System,
    pub(crate) sources: &'a str,
    pub(crate) identity: &'a Identity,
}

/// Whether this host can bootstrap; returns mmdebstrap's version.
pub(crate) fn check_host(control: &Control) -> Result<String, BaseError> {
    if Arch::host() != Some(Arch::X86_64) {
        return Err(BaseError::Host {
            problem: "it is not of the x86_64 architecture".to_owned(),
            fix: "give an image with `--base FILE`".to_owned(),
        });
    }
    let version = process::run(Command::new("mmdebstrap").arg("--version"), control);
    let version = version.map_err(|error| match error {
        process::ProcessError::Start { .. } => BaseError::Host {
            problem: "mmdebstrap is not installed".to_owned(),
            fix: "install the packages mmdebstrap and uidmap".to_owned(),
        },
        error => BaseError::program("asking mmdebstrap for its version", "/")(error),
    })?;
    if !is_root() {
        // The same as mmdebstrap itself will do, so what it says is what is missing.
        let probe =
            process::run(&mut helper(&["true"]), &Control::new(Events::none(), control.cancel.clone()));
        probe.map_err(no_namespace)?;
    }
    Ok(String::from_utf8_lossy(&version).trim().to_owned())
}

fn no_namespace(error: process::ProcessError) -> BaseError {
    let process::ProcessError::Failed { tail, .. } = &error else {
        return BaseError::program("entering a user namespace", "/")(error);
    };
    let said = tail.iter().find(|line| line.starts_with("E:")).or(tail.last());
    let problem = said.map_or("no user namespace can be entered", |line| line.trim_start_matches("E: "));
    let user = rustix::process::getuid().as_raw();
    let fix = format!(
        "install the package uidmap (newuidmap, newgidmap) and give the user with id {user} subordinate ids: \
         `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`; if user namespaces are switched \
         off, allow them (`sysctl kernel.unprivileged_userns_clone=1`)"
    );
    BaseError::Host { problem: problem.to_owned(), fix }
}

impl Tree<'_> {
    /// Makes the tree.
    pub(crate) fn bootstrap(&self, control: &Control) -> Result<(), BaseError> {
        let mut command = if is_root() {
            // Mounts and processes end with the namespaces, even if all of it is killed.
            let mut command = Command::new("unshare");
            command.args(["--mount", "--pid", "--fork", "--kill-child", "mmdebstrap", "--mode=root"]);
            command
        } else {
            let mut command = Command::new("mmdebstrap");
            command.arg("--mode=unshare");
            command
        };
        command
            .args(["--variant=minbase", "--format=directory", "--verbose"])
            .arg(format!("--include={}", self.system.packages().join(",")))
            // Only as long as it runs: `customize.sh` removes both from the tree.
            .args(["--aptopt=Acquire::Languages \"none\"", "--dpkgopt=force-unsafe-io"])
            // By its path: mmdebstrap would print the whole text.
            .arg("--customize-hook=sh \"$TIB_CUSTOMIZE\" \"$1\"")
            .arg(self.system.codename())
            .arg(&self.path);
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let customize = write(&parent.join("customize.sh"), CUSTOMIZE)?;
        if !self.sources.is_empty() {
            let fetched = sources::from_mirrors(self.sources, &control.mirrors);
            command.arg(write(&parent.join("debian.sources"), &fetched)?);
        }
        command
            .env("TMPDIR", parent)
            .env("INITRD", "No")
            .env("TIB_CUSTOMIZE", customize)
            .env("TIB_ROOT_UUID", &self.identity.root)
            .env("TIB_ESP_ID", self.identity.esp_text())
            .env("TIB_CMDLINE", CMDLINE)
            .env("TIB_SOURCES", self.sources)
            // The namespace's root may not be allowed to enter the user's current directory.
            .current_dir("/");
        let what = format!("bootstrapping {}", self.system);
        run(&mut command, what, parent, control)
    }

    /// Packs the tree into a file system of the size of the root partition and returns its path.
    pub(crate) fn file_system(&self, control: &Control) -> Result<PathBuf, BaseError> {
        let script = FILE_SYSTEM;
        let size = (disk::ROOT_SIZE >> 10).to_string();
        let mut command = helper(&["sh", "-c", script, "filesystem"]);
        command.arg(&self.path).arg(size).env("TIB_ROOT_UUID", &self.identity.root);
        run(&mut command, "making the root file system".to_owned(), &self.path, control)?;
        Ok(self.path.join("tmp/root.ext4"))
    }

    /// The boot loader's files that go outside the root file system.
    pub(crate) fn boot_files(&self) -> Result<BootFiles, BaseError> {
        let read = |name: &str| {
            let path = self.path.join("boot/grub").join(name);
            fs_err::read(&path).map_err(CacheError::io("read", path))
        };
        Ok(BootFiles {
            boot: read("i386-pc/boot.img")?,
            core: read("i386-pc/core.img")?,
            efi: read("x86_64-efi/core.efi")?,
        })
    }
}

/// Runs a program that writes below `place`. It is known for a full disk by anything it ever said: dpkg and apt go on
/// talking long after that, and give other reasons in the end.
fn run(command: &mut Command, what: String, place: &Path, control: &Control) -> Result<(), BaseError> {
    let full = Arc::new(AtomicBool::new(false));
    let listener = Listener { events: control.events.clone(), full: Arc::clone(&full) };
    match process::run(command, &control.telling(Events::new(listener))) {
        Ok(_) => Ok(()),
        Err(process::ProcessError::Failed { .. }) if full.load(Ordering::Relaxed) => {
            Err(CacheError::no_space("write below", place.to_owned()).into())
        }
        Err(error) => Err(BaseError::program(what, place)(error)),
    }
}

/// Passes events on and listens for a full disk.
struct Listener {
    events: Events,
    full: Arc<AtomicBool>,
}

/// What programs say of a full disk: the C library, apt, and mke2fs.
const FULL: [&str; 4] = [
    "No space left on device",
    "You don't have enough free space",
    "Disk quota exceeded",
    "Could not allocate block in ext2 filesystem",
];

impl EventSink for Listener {
    fn emit(&self, event: Event) {
        if let Event::Output { line, .. } = &event
            && FULL.iter().any(|sign| line.contains(sign))
        {
            self.full.store(true, Ordering::Relaxed);
        }
        self.events.emit(event);
    }
}

/// Writes a file that the namespace's root can read.
fn write(path: &Path, text: &str) -> Result<PathBuf, BaseError> {
    fs_err::write(path, text).map_err(CacheError::io("write", path))?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs_err::set_permissions(path, readable).map_err(CacheError::io("open up", path))?;
    Ok(path.to_owned())
}

/// A command in namespaces of its own: for a plain user one where the tree's owner is root.
fn helper(arguments: &[&str]) -> Command {
    let mut command = Command::new("mmdebstrap");
    command.arg("--unshare-helper").args(arguments).current_dir("/");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Diagnose, Exit};

    #[test]
    fn a_full_disk_is_known_however_much_is_said_after_it() {
        let run_shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let place = Path::new("/tmp");
            run(&mut command, "bootstrapping x".to_owned(), place, &Control::none())
        };
        let chatter = "i=0; while [ $i -lt 60 ]; do echo \"I: $i\" >&2; i=$((i+1)); done; exit 1";
        for sign in [
            "dpkg: error: failed to write (No space left on device)",
            "E: You don't have enough free space in /x/var/cache/apt/archives/.",
        ] {
            let error = run_shell(&format!("echo \"{sign}\" >&2; {chatter}")).unwrap_err();
            assert_eq!(error.exit(), Exit::Space, "{error}");
            assert!(error.to_string().contains("no space left on its file system"), "{error}");
        }
        assert_eq!(run_shell(chatter).unwrap_err().exit(), Exit::Host);
        run_shell("echo 'No space left on device' >&2").unwrap();
    }

    #[test]
    fn missing_subordinate_ids_are_the_hosts_fault_with_a_way_out() {
        let status = std::os::unix::process::ExitStatusExt::from_raw(256);
        let tail = vec!["W: x".to_owned(), "E: no entry in /etc/subuid for user".to_owned()];
        let error =
            no_namespace(process::ProcessError::Failed { program: "mmdebstrap".into(), status, tail });
        assert_eq!(error.exit(), Exit::Host);
        assert_eq!(error.to_string(), "cannot bootstrap on this host: no entry in /etc/subuid for user");
        assert!(error.hint().is_some_and(|hint| hint.contains("uidmap") && hint.contains("--add-subuids")));
    }
}
