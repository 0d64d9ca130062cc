//! Instances that `tib boot` starts, and images that are broken for it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use super::{Outcome, outcome, run, tib};

/// A private cache, in which an image may lie on another: copies of whole images take room and time.
#[derive(Debug)]
pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let directory = super::scratch();
        fs::create_dir_all(directory.path().join("v1/images")).unwrap();
        Self { directory }
    }

    /// The cache's directory. What runs for this place has its name in the environment, and in no other one's.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `tib boot IMAGE …` here.
    pub fn boot<S: AsRef<OsStr>>(&self, image: &Path, arguments: &[S]) -> std::process::Command {
        let mut command = tib();
        command.env("TIB_CACHE_DIR", self.path()).arg("boot").arg(image).args(arguments);
        command
    }

    /// Runs it with `--json`, and asserts how it ends.
    #[track_caller]
    pub fn booted(&self, image: &Path, arguments: &[&str], code: i32) -> Booted {
        let mut command = self.boot(image, arguments);
        let Outcome { code: ended, stdout, stderr } = outcome(command.arg("--json"));
        assert_eq!(ended, Some(code), "{stdout}\n{stderr}");
        Booted { report: serde_json::from_str(&stdout).unwrap(), stderr }
    }

    /// An image on `good` that holds what is written to it.
    pub fn overlay(&self, good: &Path, name: &str) -> PathBuf {
        let directory = self.path().join("v1/images");
        let base = directory.join("good.qcow2");
        if !base.exists() && fs::hard_link(good, &base).is_err() {
            fs::copy(good, &base).unwrap();
        }
        let image = directory.join(format!("{name}.qcow2"));
        run("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &"-F", &"qcow2", &"-b", &"good.qcow2", &image]);
        image
    }

    /// Images on `good`, each changed by commands of guestfish to a file system whose root is mounted. One appliance makes all.
    pub fn changed(&self, good: &Path, changes: &[(&str, &[&str])]) -> Vec<PathBuf> {
        self.changed_in(3, good, changes)
    }

    /// The same, with the root in the partition of this number.
    pub fn changed_in(&self, root: u8, good: &Path, changes: &[(&str, &[&str])]) -> Vec<PathBuf> {
        let (mut drives, mut script) = (String::new(), String::from("run\n"));
        let mut images = Vec::new();
        for ((name, commands), letter) in changes.iter().zip('a'..='z') {
            let image = self.overlay(good, name);
            drives.push_str(&format!("add-drive {} format:qcow2\n", image.display()));
            script.push_str(&format!("mount /dev/sd{letter}{root} /\n{}\numount /\n", commands.join("\n")));
            images.push(image);
        }
        let file = self.path().join("changes");
        fs::write(&file, drives + &script).unwrap();
        let mut guestfish = std::process::Command::new("guestfish");
        if !super::kvm_works() {
            guestfish.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
        }
        outcome(guestfish.arg("-f").arg(file)).expect(0);
        images
    }

    /// Processes that were started for this place and still run.
    pub fn running(&self) -> Vec<String> {
        let marker = format!("TIB_CACHE_DIR={}", self.path().display()).into_bytes();
        let processes = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == marker)
        });
        let name = |process: fs::DirEntry| {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).replace('\0', " ")
        };
        processes.map(name).collect()
    }

    /// Files of boots that are left.
    pub fn left(&self) -> Vec<PathBuf> {
        let work = self.path().join("v1/work");
        fs::read_dir(work)
            .map_or_else(|_| Vec::new(), |entries| entries.flatten().map(|e| e.path()).collect())
    }

    /// Asserts that nothing runs and nothing is left.
    #[track_caller]
    pub fn is_clean(&self) {
        // A killed process is seen until somebody has waited for it.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !self.running().is_empty() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(self.running(), Vec::<String>::new());
        assert_eq!(self.left(), Vec::<PathBuf>::new());
    }
}

/// What a boot came to.
#[derive(Debug)]
pub struct Booted {
    pub report: Value,
    pub stderr: String,
}

impl Booted {
    /// The milestones that were seen.
    pub fn seen(&self) -> Vec<&str> {
        let milestones = self.report["milestones"].as_array().unwrap().iter();
        milestones.filter(|one| !one["seconds"].is_null()).map(|one| one["name"].as_str().unwrap()).collect()
    }

    /// Those that were not.
    pub fn missing(&self) -> Vec<&str> {
        let milestones = self.report["milestones"].as_array().unwrap().iter();
        milestones.filter(|one| one["seconds"].is_null()).map(|one| one["name"].as_str().unwrap()).collect()
    }

    /// The titles of the checks that ended so: `passed`, `failed`, `not-checked`.
    pub fn titles(&self, outcome: &str) -> Vec<&str> {
        let results = self.report["results"].as_array().unwrap().iter();
        results.filter(|one| one["outcome"] == outcome).map(|one| one["title"].as_str().unwrap()).collect()
    }

    /// The cause that is named first.
    pub fn cause(&self) -> &str {
        self.report["causes"][0]["id"].as_str().unwrap_or_default()
    }

    /// The value of a fact.
    pub fn fact(&self, name: &str) -> Option<&str> {
        let facts = self.report["facts"].as_array().unwrap();
        facts.iter().find(|fact| fact["name"] == name).and_then(|fact| fact["value"].as_str())
    }
}
