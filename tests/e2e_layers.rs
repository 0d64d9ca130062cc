//! Layers of real builds under everything that can happen to a cache, and under two builds at once.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::small::{self, Archive, Shape};
use common::{outcome, run, scratch, tib};
use fs_err as fs;

/// A cache of its own, and what is built with it.
struct Lab {
    directory: tempfile::TempDir,
    archive: Archive,
    base: PathBuf,
}

impl Lab {
    fn new() -> Self {
        Self { directory: scratch(), archive: small::archive(), base: small::base(&Shape::default()) }
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image.qcow2")
    }

    fn tib(&self) -> Command {
        let mut command = tib();
        command.env("TIB_CACHE_DIR", self.directory.path().join("cache"));
        command
    }

    /// The build of an image that says `greeting`: four stages, of which two are the same whatever it says.
    fn build(&self, greeting: &str, image: &Path) -> Command {
        let mut command = self.tib();
        command.args(self.archive.build("small-site", &self.base, image));
        command.args(["--force", "--set", &format!("greeting={greeting}")]);
        command
    }

    fn layers(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.directory.path().join("cache/v1/layers")) else {
            return Vec::new();
        };
        let mut layers: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        layers.sort();
        layers
    }

    /// Fails unless e2fsck finds no fault with the root file system, and the image says what it should.
    #[track_caller]
    fn assert_good(&self, greeting: &str, history: &[String]) {
        let image = self.image();
        let raw = self.directory.path().join("image.raw");
        run("qemu-img", &[&"convert", &"-f", &"qcow2", &"-O", &"raw", &image, &raw]);
        let table: serde_json::Value =
            serde_json::from_str(&run("/sbin/sfdisk", &[&"--json", &raw])).unwrap();
        let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
        let largest = partitions.iter().max_by_key(|partition| partition["size"].as_u64()).unwrap();
        let disk = format!("{}?offset={}", raw.display(), largest["start"].as_u64().unwrap() * 512);
        let checked = outcome(Command::new("/sbin/e2fsck").args(["-fn", &disk]));
        assert_eq!(checked.code, Some(0), "{history:#?}\n{}{}", checked.stdout, checked.stderr);
        let found = outcome(self.tib().arg("cat").arg(&image).arg("/etc/pebble/site"));
        assert_eq!(found.stdout, format!("{greeting}\n"), "{history:#?}\n{}", found.stderr);
    }
}

/// Xorshift: the test needs variety, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Does something to the cache that its owner, a bad disk or another tib may do.
fn misfortune(lab: &Lab, random: &mut Random) -> String {
    let layers = lab.layers();
    let what = random.below(8);
    if what == 6 || layers.is_empty() {
        let found = outcome(lab.tib().args(["cache", "verify"]));
        assert!(matches!(found.code, Some(0 | 5)), "{}", found.stderr);
        return format!("verified: {}", found.stdout);
    }
    if what == 7 {
        let found = outcome(lab.tib().args(["cache", "gc", "--keep-days", "1", "--max-size", "150M"]));
        assert_eq!(found.code, Some(0), "{}", found.stderr);
        return format!("collected: {}", found.stdout);
    }
    let layer = &layers[random.below(layers.len())];
    let disk = layer.join("disk.qcow2");
    let name = layer.file_name().unwrap().to_string_lossy()[..12].to_owned();
    let missing = !disk.exists() || !layer.join("meta.json").exists();
    match what {
        0 => fs::remove_dir_all(layer).unwrap(),
        _ if missing => return format!("{name} is no good already"),
        1 => {
            let length = fs::metadata(&disk).unwrap().len();
            fs::OpenOptions::new().write(true).open(&disk).unwrap().set_len(length / 2).unwrap();
        }
        2 | 3 => {
            let mut content = fs::read(&disk).unwrap();
            // Data of the guest, not the tables at the beginning: nobody would notice but its file system.
            let place = content.len() / 2;
            content[place..place + 8192].fill(0x5a);
            fs::write(&disk, content).unwrap();
        }
        4 => fs::remove_file(&disk).unwrap(),
        _ => fs::write(layer.join("meta.json"), "{}").unwrap(),
    }
    format!(
        "{name}: {}",
        ["removed", "cut", "overwritten", "overwritten", "without disk", "without record"][what]
    )
}

#[test]
fn appliance_layers_fit_each_other_whatever_happens_to_the_cache() {
    let lab = Lab::new();
    let seed = u64::from(std::process::id());
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut history = vec![format!("seed {seed}")];
    for round in 0..20 {
        for _ in 0..random.below(3) {
            history.push(misfortune(&lab, &mut random));
        }
        let greeting = ["hello", "goodbye"][random.below(2)];
        let built = outcome(&mut lab.build(greeting, &lab.image()));
        history.push(format!("round {round}: {greeting}"));
        assert_eq!(built.code, Some(0), "{history:#?}\n{}", built.stderr);
        lab.assert_good(greeting, &history);
    }
}

/// How often each stage was run, and how often it was taken from the cache.
fn stages(progress: &str) -> BTreeMap<(String, bool), usize> {
    let mut counts = BTreeMap::new();
    for line in progress.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["event"] == "stage-finished" {
            let key = (event["stage"].as_str().unwrap().to_owned(), event["cached"].as_bool().unwrap());
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

#[test]
fn appliance_equal_builds_at_the_same_time_do_the_work_once() {
    let lab = Lab::new();
    let start = |name: &str| {
        let mut command = lab.build("hello", &lab.directory.path().join(name));
        command.args(["--progress", "json"]).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let builds = [start("one.qcow2"), start("two.qcow2")];
    let progress = builds.map(|build| {
        let output = build.wait_with_output().unwrap();
        let progress = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{progress}");
        progress
    });
    let waited = progress.iter().filter(|text| text.contains("waiting for another tib")).count();
    assert_eq!(waited, 1, "{progress:#?}");
    let all = stages(&progress.concat());
    for stage in ["system", "datastore", "site", "seal"] {
        let count = |cached| all.get(&(stage.to_owned(), cached)).copied().unwrap_or_default();
        assert_eq!((count(false), count(true)), (1, 1), "{stage}: {progress:#?}");
    }
    let [one, two] =
        ["one.qcow2", "two.qcow2"].map(|name| fs::read(lab.directory.path().join(name)).unwrap());
    assert!(one == two, "the same layers give the same image");
}
