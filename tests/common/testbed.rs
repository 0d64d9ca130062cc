//! The testbed of Red Hat's family (`tests/rpm_testbed/`): a guest, and the repositories that it names.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::http::{Body, Reply, Request, Server};
use super::{built_once, cache, kvm_works, outcome, run_tib};

/// Where the guests look for their repositories, on this machine.
pub const PORT: u16 = 8790;

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
        let server = Server::http_at(PORT, move |request| file(&served, request));
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
    make.args(["--url", &format!("http://localhost:{PORT}")]);
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
