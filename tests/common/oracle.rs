//! Looks into images with other people's tools, so that tib is not its own judge.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use fs_err as fs;

use super::{kvm_works, outcome, run, scratch};

const MARK: &str = "TIB-ORACLE-NEXT";

/// Runs guestfish commands on an image, read-only, in one session. Returns the output of each.
#[track_caller]
pub fn guestfish<const N: usize>(image: &Path, commands: [&str; N]) -> [String; N] {
    let output = session(image, "--ro", &commands);
    let parts: Vec<String> = output.split(&format!("{MARK}\n")).map(str::to_owned).collect();
    // The text before the first mark is empty, and each command's output follows its mark.
    parts[1..].to_vec().try_into().unwrap_or_else(|_| panic!("guestfish answered {parts:?} to {commands:?}"))
}

/// Changes an image with guestfish commands.
#[track_caller]
pub fn tamper(image: &Path, commands: &[&str]) {
    session(image, "--rw", commands);
}

/// Runs a script of guestfish in a directory, with raw disks of it that it may change.
#[track_caller]
pub fn guestfish_in(directory: &Path, disks: &[&str], script: &str) -> String {
    let mut guestfish = Command::new("guestfish");
    guestfish.current_dir(directory).args(["--rw", "--keys-from-stdin", "--format=raw"]);
    for disk in disks {
        guestfish.args(["-a", disk]);
    }
    answer(guestfish, script.to_owned())
}

#[track_caller]
fn session(image: &Path, mode: &str, commands: &[&str]) -> String {
    let mut guestfish = Command::new("guestfish");
    guestfish.args([mode, "--format=qcow2", "-i", "-a"]).arg(image);
    answer(guestfish, commands.iter().map(|command| format!("echo {MARK}\n{command}\n")).collect())
}

#[track_caller]
fn answer(mut guestfish: Command, script: String) -> String {
    if !kvm_works() {
        guestfish.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
    }
    guestfish.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = guestfish.spawn().expect("guestfish is there (make setup)");
    let mut stdin = child.stdin.take().unwrap();
    // It answers while it is asked: who does not listen meanwhile waits for ever.
    let asking = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // If it ended early, its own words say more.
    let _ = asking.join().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "guestfish: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Package names with versions, as the host's dpkg reads the guest's database.
pub fn packages(status: &str) -> BTreeMap<String, String> {
    let admin = scratch();
    for directory in ["info", "updates"] {
        fs::create_dir(admin.path().join(directory)).unwrap();
    }
    fs::write(admin.path().join("status"), status).unwrap();
    let format = "${db:Status-Status} ${Package} ${Version}\n";
    run("dpkg-query", &[&"--admindir", &admin.path(), &"--show", &"--showformat", &format])
        .lines()
        .filter_map(|line| line.strip_prefix("installed ")?.split_once(' '))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

/// A number out of the output of guestfish's `lstat`: `mode`, `uid`, `gid`, `size`.
#[track_caller]
pub fn stat_field(stat: &str, field: &str) -> u64 {
    stat.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no {field} in {stat:?}"))
}

/// What qemu-img says about a file, after checking that it finds no fault with it.
#[track_caller]
pub fn qemu_img_info(image: &Path) -> serde_json::Value {
    run("qemu-img", &[&"check", &"-q", &"-f", &"qcow2", &image]);
    let info = run("qemu-img", &[&"info", &"-f", &"qcow2", &"--output=json", &image]);
    serde_json::from_str(&info).unwrap()
}

/// Runs one of the virt-* programs and returns what it prints.
#[track_caller]
pub fn virt(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    if !kvm_works() {
        command.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
    }
    let output = command.output().unwrap_or_else(|error| panic!("{program} (make setup): {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The label that libselinux finds for each path by a file of contexts (and those beside it), all of one kind: `f`, `d`, `l`, …
pub fn selinux_labels(contexts: &Path, kind: &str, paths: &[impl AsRef<OsStr>]) -> Vec<String> {
    let mut labels = Vec::new();
    for paths in paths.chunks(2000) {
        let mut judge = Command::new("matchpathcon");
        judge.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()));
        judge.args(["-n", "-N", "-m", kind, "-f"]).arg(contexts).args(paths);
        labels.extend(outcome(&mut judge).expect(0).lines().map(str::to_owned));
    }
    assert_eq!(labels.len(), paths.len());
    labels
}
