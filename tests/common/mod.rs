//! What end-to-end tests share: the program under test, one cache, one image of each recipe per run.
//!
//! Tests that start an appliance or a virtual machine are named `appliance_…`; `.config/nextest.toml` runs them
//! one at a time.

// Every test program compiles this module for itself and uses a part of it; only within that program is it public.
#![allow(dead_code, unreachable_pub)]

pub mod agents;
pub mod boot;
pub mod browser;
pub mod candlepin;
pub mod catalogue;
pub mod disks;
pub mod filled;
pub mod gpg;
pub mod hostile;
pub mod http;
pub mod instance;
pub mod linux;
pub mod look;
pub mod makers;
pub mod oracle;
pub mod rabbitmq;
pub mod registered;
pub mod registry;
pub mod rpm_image;
pub mod rpms;
pub mod sample;
pub mod small;
pub mod small_disk;
pub mod standins;
pub mod terminal;
pub mod testbed;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use fs_err as fs;

/// The program under test. Programs unpacked from an archive lie elsewhere than they were compiled.
pub fn tib_path() -> PathBuf {
    ["TIB_BIN", "NEXTEST_BIN_EXE_tib"]
        .iter()
        .find_map(std::env::var_os)
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tib")), PathBuf::from)
}

/// `tib` with the shared cache, none of the caller's settings, and the `PATH` that Debian gives to plain users.
pub fn tib() -> Command {
    let mut command = Command::new(tib_path());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"TIB_")) {
        command.env_remove(name);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).filter(|directory| !directory.ends_with("sbin"));
    command.env("PATH", std::env::join_paths(path).unwrap());
    command.env("TIB_CACHE_DIR", cache().join("tib")).env("NO_COLOR", "1");
    // Found out once in a run: a processor that makes no progress costs seconds each time it is tried.
    let starts_appliances = std::thread::current().name().is_some_and(|name| name.contains("appliance_"));
    if starts_appliances && !kvm_works() {
        command.env("TIB_ACCEL", "tcg");
    }
    command
}

/// What a run of `tib` came to.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `tib` to its end.
pub fn run_tib<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Outcome {
    outcome(tib().args(arguments))
}

/// Runs a command to its end.
pub fn outcome(command: &mut Command) -> Outcome {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    Outcome {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Outcome {
    /// Fails the test unless the exit code is `code`. Returns stdout.
    #[track_caller]
    pub fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program that must succeed, and returns its stdout.
#[track_caller]
pub fn run(program: &str, arguments: &[&dyn AsRef<OsStr>]) -> String {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| (*argument).as_ref()));
    let Outcome { code, stdout, stderr } = outcome(&mut command);
    assert_eq!(code, Some(0), "{command:?}:\n{stdout}\n{stderr}");
    stdout
}

/// Keeps bases, layers and images between tests, and between runs on the same machine.
pub fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let directory = std::env::var_os("TIB_TEST_CACHE").map_or_else(
            || PathBuf::from(format!("/var/tmp/tib-test-cache-{}", rustix::process::geteuid().as_raw())),
            PathBuf::from,
        );
        fs::create_dir_all(&directory).unwrap();
        directory
    })
}

/// A directory of one test, on the same file system as the cache: images are too large for a `/tmp` in memory.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("test-").tempdir_in(cache()).unwrap()
}

/// Whether everything is run that only `make test-all` runs.
pub fn all_combinations() -> bool {
    std::env::var("TIB_TEST_COMBINATIONS").is_ok_and(|which| which == "all")
}

/// What the tests build upon: it needs no more than a package archive.
pub const BASE: &str = "bootstrap:debian-12";

/// The image of an embedded recipe, built once per run, with everything by default but for what is [`asked`] of it. Not
/// to be changed.
pub fn built_image(recipe: &str) -> PathBuf {
    built_once(recipe, |image| {
        let common = ["build", recipe, "--base", BASE, "-o", image.to_str().unwrap(), "--force"];
        let mut tib = tib();
        tib.args(common.iter().chain(asked(recipe)));
        if let Some(config) = debian_by_host() {
            tib.env("TIB_CONFIG", config);
        }
        outcome(&mut tib).expect(0);
    })
}

/// Settings with which the archive that recipes name is asked where this host asks it; `None` if the host does not.
fn debian_by_host() -> Option<PathBuf> {
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages"]);
    let targets = outcome(&mut apt).stdout;
    let mirror = targets.lines().find_map(|line| line.strip_prefix("bookworm "))?;
    let config = cache().join("debian-by-host.toml");
    let text = format!("[[mirror]]\nurl = 'https://mirrors.kernel.org/debian'\nmirror = '{mirror}'\n");
    let new = cache().join(format!("debian-by-host.{}", std::process::id()));
    fs::write(&new, text).unwrap();
    fs::rename(&new, &config).unwrap();
    Some(config)
}

/// An image that `build` makes, once per run. Not to be changed.
pub fn built_once(name: &str, build: impl FnOnce(&Path)) -> PathBuf {
    let directory = cache().join("images");
    fs::create_dir_all(&directory).unwrap();
    let image = directory.join(format!("{name}.qcow2"));
    let record = directory.join(format!("{name}.run"));
    // Held until the end of this function: another test of this run waits, and then finds the image.
    let lock = std::fs::File::create(directory.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();

    let run = this_run();
    match fs::read_to_string(&record) {
        Ok(done) if done == run && image.exists() => return image,
        Ok(done) if done == format!("{run} failed") => {
            panic!("{name} could not be built earlier in this run")
        }
        _ => {}
    }
    fs::write(&record, format!("{run} failed")).unwrap();
    build(&image);
    fs::write(&record, run).unwrap();
    image
}

/// What is asked of the image of a recipe: one is built as the README says, and so serves both.
pub fn asked(recipe: &str) -> &'static [&'static str] {
    match recipe {
        "postgresql" => &["--size", "6G", "--set", "guest_user=trove"],
        _ => &[],
    }
}

/// Tells this test run from others: by nextest's number, or at least by the program under test.
fn this_run() -> String {
    std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| {
        let modified = fs::metadata(tib_path()).unwrap().modified().unwrap();
        modified.duration_since(UNIX_EPOCH).unwrap().as_nanos().to_string()
    })
}

/// Whether KVM works here, tried once in a run. By tib's own probe: what it decides is what the tests' other tools must do,
/// too.
pub fn kvm_works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let record = cache().join("kvm.run");
        let lock = std::fs::File::create(cache().join("kvm.lock")).unwrap();
        lock.lock().unwrap();
        let known = fs::read_to_string(&record).unwrap_or_default();
        if let Some(answer) = known.strip_prefix(&format!("{} ", this_run())) {
            return answer == "true";
        }
        let works = tib::host::acceleration(&tib::cancel::Cancel::new()) == Ok(tib::host::Acceleration::Kvm);
        fs::write(&record, format!("{} {works}", this_run())).unwrap();
        works
    })
}
