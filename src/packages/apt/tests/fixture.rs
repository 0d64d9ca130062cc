//! A throw-away archive, signed and served over loopback, and a directory as a base image.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use fs_err as fs;
use tempfile::TempDir;

pub(crate) use crate::packages::testing::{HostTree, Key};
use crate::packages::testing::{run, serve};

/// A Debian archive with one suite, `test`.
pub(crate) struct Archive {
    directory: TempDir,
    url: String,
    /// Files that are cut when served, by the end of their path.
    pub(crate) cut: Arc<Mutex<Vec<&'static str>>>,
    /// Paths that were asked for.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Archive {
    /// Packages as `(name, version, further control fields)`.
    pub(crate) fn new(packages: &[(&str, &str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        fs::create_dir_all(path.join("pool")).unwrap();
        fs::create_dir_all(path.join("dists/test/main/binary-amd64")).unwrap();
        for (name, version, fields) in packages {
            let tree = path.join("build");
            fs::create_dir_all(tree.join("DEBIAN")).unwrap();
            fs::create_dir_all(tree.join("usr/share").join(name)).unwrap();
            fs::write(tree.join("usr/share").join(name).join("data"), "x".repeat(5000)).unwrap();
            let control = format!(
                "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\nInstalled-Size: 7\nDescription: x\n{fields}"
            );
            fs::write(tree.join("DEBIAN/control"), control).unwrap();
            run(Command::new("dpkg-deb")
                .args(["--root-owner-group", "-b"])
                .arg(&tree)
                .arg(path.join("pool")));
            fs::remove_dir_all(tree).unwrap();
        }
        let index = run(Command::new("apt-ftparchive").args(["packages", "pool"]).current_dir(path));
        fs::write(path.join("dists/test/main/binary-amd64/Packages"), index).unwrap();
        let release = run(Command::new("apt-ftparchive")
            .args([
                "-o",
                "APT::FTPArchive::Release::Suite=test",
                "-o",
                "APT::FTPArchive::Release::Components=main",
            ])
            .args(["-o", "APT::FTPArchive::Release::Architectures=amd64", "release", "dists/test"])
            .current_dir(path));
        fs::write(path.join("dists/test/Release"), release).unwrap();
        let (cut, asked) = (Arc::default(), Arc::default());
        let url = serve(path.to_owned(), Arc::clone(&cut), Arc::clone(&asked));
        Self { directory, url, cut, asked }
    }

    /// Signs the suite.
    pub(crate) fn signed(self, key: &Key) -> Self {
        let suite = self.directory.path().join("dists/test");
        run(key
            .gpg()
            .args(["--yes", "--clearsign", "-o"])
            .arg(suite.join("InRelease"))
            .arg(suite.join("Release")));
        self
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Runs the host's `apt-get update` with a directory as its root, its configuration as it stands there: what the
/// guest's own apt would say. The error is what it says.
pub(crate) fn update_in_root(root: &Path) -> Result<(), String> {
    for directory in ["var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt/preferences.d"]
    {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    // `RootDir` goes before every path but those in sources, so these are made to lead into the root.
    let (own, lists) = (TempDir::new().unwrap(), root.join("etc/apt"));
    let sources = own.path().join("sources.list.d");
    fs::create_dir_all(&sources).unwrap();
    let inside = |text: String| {
        text.replace("/usr/share/keyrings", &root.join("usr/share/keyrings").display().to_string())
    };
    for (from, to) in [("sources.list", "a.list"), ("sources.list.d/debian.sources", "b.sources")] {
        if let Ok(text) = fs::read_to_string(lists.join(from)) {
            fs::write(sources.join(to), inside(text)).unwrap();
        }
    }
    let set = |name: &str, path: &Path| format!("{name}={}", path.display());
    let output = Command::new("apt-get")
        .env("APT_CONFIG", "/dev/null")
        .args(["-o", "Dir::Etc::sourcelist=/dev/null", "-o", "APT::Sandbox::User="])
        .args(["-o", &set("Dir::Etc::sourceparts", &sources)])
        .args(["-o", &set("Dir::State", &root.join("var/lib/apt"))])
        .args(["-o", &set("Dir::State::status", &root.join("var/lib/dpkg/status"))])
        .args(["-o", &set("Dir::Cache", &root.join("var/cache/apt"))])
        .args(["-o", "APT::Architecture=amd64", "-o", "APT::Update::Error-Mode=any", "update"])
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
