//! The testbed of Red Hat's family (`tests/rpm_testbed/`): a guest, and the repositories that it names.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::http::{Body, Reply, Request, Server};
use super::instance::Place;
use super::{built_once, cache, kvm_works, outcome, run_tib, scratch, tib};

/// The variants. Each looks for its repositories at a port of its own on this machine, from [`FIRST_PORT`] on.
const VARIANTS: [&str; 8] =
    ["rocky-9", "fedora", "centos-7", "rocky-8", "rocky-10", "almalinux-9", "centos-stream-9", "rhel-9"];
const FIRST_PORT: u16 = 8790;

/// Where the guests of a variant look for their repositories, on this machine.
pub fn port(variant: &str) -> u16 {
    let number = VARIANTS.iter().position(|&one| one == variant).expect("there is such a variant");
    FIRST_PORT + u16::try_from(number).unwrap()
}

/// A variant of the testbed with its repositories served, which nobody else has until this is dropped: the port is written in
/// the guest.
pub struct Testbed {
    /// Has `image.qcow2`, and `repository/` with a directory for each.
    directory: PathBuf,
    server: Server,
    _lock: std::fs::File,
}

impl Testbed {
    /// Makes the variant if the cache does not have it of the same inputs. That takes minutes.
    pub fn open(variant: &str) -> Self {
        Self::serving(variant, |served| served)
    }

    /// The same, with the repositories in another directory than the one they were made in, which `prepare` is given.
    pub fn serving(variant: &str, prepare: impl FnOnce(PathBuf) -> PathBuf) -> Self {
        fs::create_dir_all(cache()).unwrap();
        let lock = std::fs::File::create(cache().join("rpm-testbed.lock")).unwrap();
        lock.lock().unwrap();
        let directory = made(variant);
        let served = prepare(directory.join("repository"));
        let server = Server::http_at(port(variant), move |request| file(&served, request));
        Self { directory, server, _lock: lock }
    }

    /// The guest.
    pub fn image(&self) -> PathBuf {
        self.directory.join("image.qcow2")
    }

    /// The directory of its repositories.
    pub fn repositories(&self) -> PathBuf {
        self.directory.join("repository")
    }

    /// gpg's home with the key that signs them.
    pub fn key(&self) -> PathBuf {
        self.directory.with_file_name("gpg")
    }

    /// How often somebody has asked for something.
    pub fn requests(&self) -> usize {
        self.server.requests()
    }
}

/// The directory of a variant, made if the cache does not have it of the same inputs. That takes minutes.
pub fn made(variant: &str) -> PathBuf {
    let place = cache().join("rpm-testbed");
    fs::create_dir_all(&place).unwrap();
    let lock = std::fs::File::create(place.join("making.lock")).unwrap();
    lock.lock().unwrap();
    let mut make = Command::new("python3");
    make.args(["-B", "tests/rpm_testbed/make.py", "--variant", variant, "--cache"]).arg(&place);
    make.args(["--url", &format!("http://localhost:{}", port(variant))]);
    if !kvm_works() {
        make.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
    }
    outcome(&mut make).expect(0);
    place.join(variant)
}

/// The image of an embedded recipe on a variant, built once per run. Not to be changed.
pub fn built_on(variant: &str, recipe: &str) -> PathBuf {
    built_once(&format!("{variant}-{recipe}"), |image| {
        let testbed = Testbed::open(variant);
        let (base, image) = (testbed.image(), image.to_str().unwrap());
        run_tib(["build", recipe, "--base", base.to_str().unwrap(), "-o", image, "--force"]).expect(0);
    })
}

/// The image of a recipe of the test's own on a variant, built once per run. `files` are put beside the recipe. Not to be changed.
pub fn built_of(variant: &str, name: &str, recipe: &str, files: &[(&str, &str)]) -> PathBuf {
    built_once(&format!("{variant}-{name}"), |image| {
        let place = scratch();
        fs::write(place.path().join(format!("{name}.toml")), recipe).unwrap();
        for (file, text) in files {
            fs::write(place.path().join(file), text).unwrap();
        }
        let testbed = Testbed::open(variant);
        let mut build = tib();
        build.args(["build", name, "--force", "--recipe-dir"]).arg(place.path());
        build.arg("--base").arg(testbed.image()).arg("-o").arg(image);
        outcome(&mut build).expect(0);
    })
}

/// Boots the image, which must come all the way, and asks the running system. Returns the lines of each answer.
pub fn running<const N: usize>(image: &Path, questions: [&str; N]) -> [Vec<String>; N] {
    let place = Place::new();
    let (goss, logs) = (place.path().join("goss.yaml"), place.path().join("logs"));
    let commands = questions.iter().enumerate().map(|(number, question)| {
        let exec = serde_json::json!(question);
        format!("  question-{number}: {{exec: {exec}, exit-status: 0, timeout: 300000}}\n")
    });
    fs::write(&goss, format!("command:\n{}", commands.collect::<String>())).unwrap();
    let arguments = ["--goss", goss.to_str().unwrap(), "--logs", logs.to_str().unwrap()];
    place.booted(image, &arguments, 0);
    let probe = fs::read_to_string(logs.join("probe.jsonl")).unwrap();
    fs::remove_dir_all(logs).unwrap();
    place.is_clean();
    let told: Vec<serde_json::Value> =
        probe.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    std::array::from_fn(|number| {
        let key = format!("test {number}");
        let answer = told.iter().rfind(|one| one["key"] == key.as_str()).unwrap();
        let lines = answer["value"]["out"].as_array().unwrap().iter();
        lines.map(|line| line.as_str().unwrap().to_owned()).collect()
    })
}

/// A file below a directory, whole.
pub fn file(directory: &Path, request: &Request) -> Reply {
    // Names of packages have these, and some clients quote them.
    let path = request.path.replace("%2B", "+").replace("%2b", "+").replace("%7E", "~").replace("%7e", "~");
    let path = directory.join(path.trim_start_matches('/'));
    match fs::metadata(&path) {
        Ok(found) if found.is_file() => Reply::of(200, Body::File(path, 0..found.len())),
        _ => Reply::new(404, *b"no such file"),
    }
}
