//! A build that is ended, politely or not, leaves nothing running, nothing half-written, and a good cache.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::look::Look;
use common::oracle::qemu_img_info;
use common::small::{self, Archive, Shape};
use common::{BASE, built_image, cache, outcome, scratch, tib, tib_path};
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

/// Where builds are interrupted: a cache, recipes, and a directory for the image alone.
struct Place {
    directory: tempfile::TempDir,
    archive: Archive,
    base: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = scratch();
        fs::create_dir(directory.path().join("out")).unwrap();
        Self { directory, archive: small::archive(), base: small::base(&Shape::default()) }
    }

    fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    fn image(&self) -> PathBuf {
        self.out().join("image.qcow2")
    }

    /// A build that always has something to do: its last stage is new with every `nonce`.
    fn build(&self, nonce: u64, script: &str) -> Command {
        let text = format!(
            "name = \"interrupted\"\nsummary = \"A test\"\nextends = [\"small-site\"]\nstage = \"site\"\n\
             [[script]]\npurpose = \"a test\"\ntext = 'echo {nonce} >/etc/nonce; {script}'\n"
        );
        fs::write(self.directory.path().join("interrupted.toml"), text).unwrap();
        let mut command = tib();
        command.env("TIB_CACHE_DIR", self.directory.path().join("cache"));
        command.args(self.archive.build("interrupted", &self.base, &self.image()));
        command.arg("--force").arg("--recipe-dir").arg(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

#[test]
fn appliance_killed_at_random_moments() {
    const SLICES: u32 = 8;
    let place = Place::new();
    // What does not change is in the cache from here on.
    outcome(&mut place.build(0, "true")).expect(0);
    let started = Instant::now();
    outcome(&mut place.build(1, "sleep 2")).expect(0);
    let whole = started.elapsed();

    // One moment in each slice of that time; chance decides where in the slice.
    let seed = u64::from(std::process::id());
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for slice in 0..SLICES {
        // Xorshift: the test needs variety, not quality.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let part = whole / SLICES;
        let moment = part * slice + part / 100 * u32::try_from(random % 100).unwrap();
        let mut child = place.build(random, "sleep 2").stderr(Stdio::null()).spawn().unwrap();
        let family = sleep_and_collect(&mut child, moment);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_gone(&family, Duration::from_secs(10), &format!("seed {seed}, killed after {moment:?}"));
        whole_if_there(&place.image());
    }

    outcome(&mut place.build(2, "true")).expect(0);
    whole_if_there(&place.image());
    let nonce = Look::into(&place.image()).read("/etc/nonce");
    assert_eq!(nonce.trim(), "2", "nothing of an earlier attempt is taken for this one");
    assert_eq!(names(&place.out()), ["image.qcow2", "image.qcow2.manifest.json", "image.qcow2.sha256"]);
}

/// In three situations: nothing has started yet, the appliance starts, a script runs in it.
#[test]
fn appliance_interrupted_politely() {
    let place = Place::new();
    for (signal, said) in
        [(Signal::INT, "\"start\""), (Signal::TERM, "\"system\""), (Signal::INT, "now asleep")]
    {
        let mut command = place.build(3, "echo now asleep; sleep 1000");
        let mut child =
            command.args(["--verbose", "--progress", "json"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = lines.by_ref().map(Result::unwrap).find(|line| line.contains(said));
        assert!(told.is_some(), "{said} is said");
        let rest = std::thread::spawn(move || lines.map(Result::unwrap).collect::<Vec<_>>());
        let family = sleep_and_collect(&mut child, Duration::from_secs(1));
        let case = format!("{signal:?} after {said}");
        assert_eq!(child.try_wait().unwrap(), None, "{case}: still at work");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let sent = Instant::now();
        let status = child.wait().unwrap();
        let rest = rest.join().unwrap();
        assert_eq!(status.code(), Some(130), "{case}: {rest:#?}");
        assert!(sent.elapsed() < Duration::from_secs(5), "{case}: took {:?}", sent.elapsed());
        assert_gone(&family, Duration::from_secs(1), &case);
        assert_eq!(names(&place.out()), Vec::<String>::new(), "{case}");
    }
}

/// Other people's tools find an image good and its evidence its own, unless there is no image.
#[track_caller]
fn whole_if_there(image: &Path) {
    if !image.exists() {
        return;
    }
    qemu_img_info(image);
    let (directory, name) = (image.parent().unwrap(), image.file_name().unwrap().to_str().unwrap());
    let mut check = Command::new("sha256sum");
    outcome(check.args(["--check", "--strict", &format!("{name}.sha256")]).current_dir(directory)).expect(0);
    let manifest = fs::read_to_string(directory.join(format!("{name}.manifest.json"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let sum = fs::read_to_string(directory.join(format!("{name}.sha256"))).unwrap();
    assert_eq!(manifest["recorded"]["image"]["sha256"], sum[..64], "the manifest of another image");
}

#[test]
fn appliance_published_whole_or_not_at_all() {
    built_image("redis");
    let directory = scratch();
    let out = directory.path().join("out");
    fs::create_dir(&out).unwrap();
    let image = out.join("image.qcow2");
    // Only publishing renames by this call. It moves three files aside, if they are there, and three in.
    let build = |fault: &str, further: &[&str]| {
        let mut strace = Command::new("strace");
        strace.args([
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("inject=renameat2:{fault}"),
        ]);
        strace
            .arg("--")
            .arg(tib_path())
            .args(["build", "redis", "--base", BASE, "-o"])
            .arg(&image)
            .args(further);
        let output =
            strace.env("TIB_CACHE_DIR", cache().join("tib")).output().expect("strace is there (make setup)");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let inode = || fs::metadata(&image).ok().map(|metadata| metadata.ino());
    let set = ["image.qcow2", "image.qcow2.manifest.json", "image.qcow2.sha256"];

    for (fault, code) in [("error=EIO:when=1", 2), ("error=ENOSPC:when=3", 9)] {
        let (found, stderr) = build(fault, &[]);
        assert_eq!(found, Some(code), "{fault}: {stderr}");
        assert_eq!(names(&out), Vec::<String>::new(), "{fault}");
    }
    // A signal that comes meanwhile waits, and then there is nothing to interrupt.
    let (code, stderr) = build("signal=INT:when=2", &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(names(&out), set);
    whole_if_there(&image);

    let old = inode();
    let (code, stderr) = build("error=EIO:when=6", &["--force"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!((names(&out), inode()), (set.map(str::to_owned).to_vec(), old));
    whole_if_there(&image);

    let (code, _) = build("signal=KILL:when=6", &["--force"]);
    assert_eq!((code, inode()), (None, None), "killed before the image got its name");
    // Any build that is going to write there mends, whatever becomes of itself.
    let mut other = tib();
    other
        .args(["build", "redis", "--base", "debian-12", "--offline", "--cache-dir"])
        .arg(directory.path().join("empty"));
    let told = outcome(other.arg("-o").arg(out.join("other.qcow2")));
    assert!(
        told.stderr.contains("back, which a build that was killed was about to replace"),
        "{}",
        told.stderr
    );
    told.expect(4);
    assert_eq!((names(&out), inode()), (set.map(str::to_owned).to_vec(), old));
    whole_if_there(&image);
}

/// Lets a build run for a while, noting every process that comes from it.
fn sleep_and_collect(child: &mut Child, time: Duration) -> BTreeSet<(u32, u64)> {
    let deadline = Instant::now() + time;
    let mut family = BTreeSet::new();
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        family.extend(descendants(child.id()));
        std::thread::sleep(Duration::from_millis(100));
    }
    family
}

#[track_caller]
fn assert_gone(family: &BTreeSet<(u32, u64)>, patience: Duration, case: &str) {
    let deadline = Instant::now() + patience;
    loop {
        let alive: Vec<_> = processes()
            .iter()
            .filter(|(pid, process)| family.contains(&(**pid, process.started)))
            .map(|(pid, process)| format!("{} ({pid})", process.name))
            .collect();
        if alive.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{case}: still running: {alive:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

struct Process {
    name: String,
    parent: u32,
    /// Clock ticks since boot: tells a process from a later one with the same number.
    started: u64,
}

/// All processes that are not zombies, as `/proc` shows them.
fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name stands in parentheses and may hold anything.
            let (before, after) = stat.rsplit_once(") ")?;
            let fields: Vec<_> = after.split(' ').collect();
            let process = Process {
                name: before.split_once('(')?.1.to_owned(),
                parent: fields.get(1)?.parse().ok()?,
                started: fields.get(19)?.parse().ok()?,
            };
            (fields[0] != "Z").then_some((pid, process))
        })
        .collect()
}

fn descendants(ancestor: u32) -> BTreeSet<(u32, u64)> {
    let processes = processes();
    let comes_from = |mut pid: u32| {
        while let Some(process) = processes.get(&pid) {
            if process.parent == ancestor {
                return true;
            }
            pid = process.parent;
        }
        false
    };
    processes.iter().filter(|(pid, _)| comes_from(**pid)).map(|(pid, p)| (*pid, p.started)).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut names: Vec<_> =
        paths.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
