//! `bootstrap:debian-12` for real: packages from the host's sources, a disk that boots.
// What it prints is for whoever watches a test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::io::Write;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::boot::{Options, Vm};
use tib::base::{BaseRequest, BaseSpec, resolve};
use tib::cache::{Base, Cache, Origin};
use tib::cancel::Cancel;
use tib::control::Control;
use tib::event::{Event, EventSink, Events};

/// Events as lines on stderr, for whoever looks at a test that takes long.
struct Stderr;

impl EventSink for Stderr {
    fn emit(&self, event: Event) {
        let mut stderr = std::io::stderr().lock();
        let _ = match event {
            Event::Output { source, line } => writeln!(stderr, "{source}: {line}"),
            Event::Progress { .. } => Ok(()),
            other => writeln!(stderr, "{other:?}"),
        };
    }
}

/// Raises a flag as soon as a program says what is awaited.
struct RaiseAt(&'static str, Cancel);

impl EventSink for RaiseAt {
    fn emit(&self, event: Event) {
        if matches!(&event, Event::Output { line, .. } if line.contains(self.0)) {
            self.1.raise();
        }
        Stderr.emit(event);
    }
}

/// One at a time: they share the base.
static BASE: Mutex<()> = Mutex::new(());

fn base(offline: bool) -> Base {
    let cache = Cache::open(Some(common::cache().join("tib"))).unwrap();
    let spec: BaseSpec = "bootstrap:debian-12".parse().unwrap();
    let base = resolve(
        &BaseRequest { offline, ..BaseRequest::new(spec) },
        &cache,
        &Control::new(Events::new(Stderr), Cancel::new()),
    )
    .unwrap();
    let work = std::fs::read_dir(cache.root().join("work")).unwrap();
    let mine = format!("{}-", std::process::id());
    let left = work.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(&mine)).count();
    assert_eq!(left, 0, "nothing of this process is left in the work directory");
    base
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn appliance_bootstrap_makes_a_sound_disk_and_reuses_it() {
    let _one = BASE.lock();
    let dir = tempfile::tempdir().unwrap();
    let base = base(false);
    let Origin::Bootstrap { system, .. } = &base.origin else { panic!("{:?}", base.origin) };
    assert_eq!(system, "debian-12");
    let again = self::base(true);
    assert_eq!(again.digest, base.digest, "found in the cache, offline");
    let listed = common::run_tib(["base", "list"]).expect(0);
    let here = |line: &str| line.split_whitespace().take(2).eq(["bootstrap:debian-12", "here"]);
    assert!(listed.lines().any(here), "{listed}");

    assert_eq!(base.path.file_name().unwrap(), "disk.qcow2");
    // qemu-img as an independent reader of the image, sfdisk of the table.
    output(Command::new("qemu-img").arg("check").arg(&base.path));
    let raw = dir.path().join("disk.raw");
    output(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&base.path).arg(&raw));
    let table = output(Command::new("sfdisk").arg("--json").arg(&raw));
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
    let names: Vec<_> = partitions.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bios", "esp", "root"]);
    output(Command::new("sfdisk").arg("--verify").arg(&raw));

    let root = &partitions[2];
    let (start, size) = (root["start"].as_u64().unwrap(), root["size"].as_u64().unwrap());
    let copy = dir.path().join("root.ext4");
    output(
        Command::new("dd").arg(format!("if={}", raw.display())).arg(format!("of={}", copy.display())).args([
            "bs=1M",
            "conv=sparse",
            &format!("skip={}", start / 2048),
            &format!("count={}", size / 2048),
        ]),
    );
    // e2fsck and debugfs as independent readers of the file system.
    output(Command::new("e2fsck").arg("-fn").arg(&copy));
    let debugfs = |request: &str| output(Command::new("debugfs").args(["-R", request]).arg(&copy));
    let sources = debugfs("cat /etc/apt/sources.list.d/debian.sources");
    let list = debugfs("cat /etc/apt/sources.list");
    assert!(sources.contains("bookworm") || list.contains("bookworm"));
    assert_eq!(debugfs("cat /etc/machine-id"), "");
    let resolver = debugfs("stat /etc/resolv.conf");
    assert!(resolver.contains("stub-resolv.conf"), "{resolver}");
    for gone in [
        "/etc/ssh/ssh_host_rsa_key",
        "/etc/apt/apt.conf.d/99mmdebstrap",
        "/var/log/dpkg.log",
        "/tmp/root.ext4",
    ] {
        assert_eq!(debugfs(&format!("stat {gone}")), "", "{gone}");
    }
    let lists = debugfs("ls -p /var/lib/apt/lists");
    assert!(!lists.contains("Packages"), "{lists}");
    let sudo = debugfs("stat /usr/bin/sudo");
    assert!(sudo.contains("Mode:  04755") && sudo.contains("User:     0"), "{sudo}");
    let capability = debugfs("ea_list /usr/bin/ping");
    assert!(capability.contains("security.capability"), "{capability}");
}

#[test]
fn appliance_bootstrap_boots_to_a_login_prompt() {
    let _one = BASE.lock();
    let base = base(false);
    for uefi in [false, true] {
        let mut machine = Vm::start(&base.path, &Options { uefi, ..Options::bare("qcow2") });
        machine.wait_for_login(Duration::from_secs(400));
        let seen = machine.console();
        // Both lead to the same prompt; only the firmware tells which way it was.
        assert_eq!(seen.contains("BdsDxe: starting"), uefi, "{seen}");
    }
}

#[test]
fn appliance_bootstrap_interrupted_leaves_nothing() {
    let _one = BASE.lock();
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(dir.path().to_owned())).unwrap();
    let cancel = Cancel::new();
    // In the middle of unpacking, where most files belong to the namespace's root.
    let events = Events::new(RaiseAt("Unpacking libsystemd0", cancel.clone()));
    let control = Control::new(events, cancel);
    let spec: BaseSpec = "bootstrap:debian-12".parse().unwrap();
    let error = resolve(&BaseRequest::new(spec), &cache, &control).unwrap_err();
    assert_eq!(error.exit(), tib::error::Exit::Interrupted, "{error}");
    for name in ["work", "bases", "bootstrap"] {
        let left: Vec<_> = std::fs::read_dir(cache.root().join(name)).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    // mmdebstrap's own command line names the tree, and so do those of dpkg and tar.
    let mine = dir.path().join("v1").display().to_string();
    let running = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
            let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&arguments).contains(&mine)
        })
    };
    // All are killed. One that waits for a disk is gone only when the disk has answered.
    let deadline = Instant::now() + Duration::from_mins(1);
    while running() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!running(), "no process of it is left");
}
