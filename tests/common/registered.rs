//! RHEL as a base, and a server that it registers with.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fs_err as fs;

use super::candlepin::{Candlepin, KEY, ORG, PASSWORD};
use super::disks::{disk_of_tree, elf_header};
use super::gpg::Gpg;
use super::{Outcome, outcome, rpms, scratch, tib};

/// `/etc/os-release`.
pub const RHEL: &str =
    "ID=rhel\nID_LIKE=fedora\nVERSION_ID=9.4\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.4 (Plow)\"\n";

/// What the server has, in a repository with a signature by the base's key. The recipe wants the first.
pub const CONTENT: [rpms::Spec; 2] = [("bash", "5.1-2", "Requires: tib-dep\n"), ("tib-dep", "1.0-1", "")];

/// A base that says it is RHEL 9, a recipe that wants a package, a server, and a cache.
pub struct Place {
    pub directory: tempfile::TempDir,
    pub server: Candlepin,
    /// Whether the host resolves packages of Red Hat's family.
    pub resolves: bool,
}

impl Place {
    /// A base whose packages only its own dnf could install.
    pub fn new(os_release: &str) -> Self {
        Self::make(os_release, false, |_| ())
    }

    /// A base whose packages are resolved on this host. [`CONTENT`] lies on the server, behind the entitlement.
    pub fn with_packages() -> Self {
        Self::make(RHEL, true, |place| {
            let (gpg, tree) = (Gpg::new(), place.path("tree"));
            let key = gpg.key("test", "", "0");
            fs::create_dir_all(tree.join("etc/pki/rpm-gpg")).unwrap();
            fs::write(tree.join("etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release"), gpg.public(&key)).unwrap();
            // What is wrong is found out at once.
            fs::create_dir_all(tree.join("etc/dnf")).unwrap();
            fs::write(tree.join("etc/dnf/dnf.conf"), "[main]\ntimeout=1\nretries=1\n").unwrap();
            let release = "Provides: system-release(releasever) = 9\n";
            rpms::installed(&tree, &[("redhat-release", "9.4-1", release)]);
            let arch = std::env::consts::ARCH;
            let repository = place.path("content").join(format!("content/dist/rhel9/9/{arch}/baseos/os"));
            rpms::repository(&repository, &CONTENT, &gpg);
            place.server.state().content = Some(place.path("content"));
        })
    }

    fn make(os_release: &str, resolves: bool, more: impl FnOnce(&Self)) -> Self {
        let place = Self { directory: scratch(), server: Candlepin::start(), resolves };
        let tree = place.path("tree");
        let machine = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        let program = elf_header(machine);
        let files: [(&str, &[u8]); 6] = [
            ("etc/os-release", os_release.as_bytes()),
            ("usr/lib/os-release", os_release.as_bytes()),
            ("etc/fstab", b""),
            ("bin/sh", &program),
            ("usr/bin/python3", &program),
            ("usr/bin/rpm", &program),
        ];
        for (path, content) in files {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            fs::write(tree.join(path), content).unwrap();
        }
        more(&place);
        disk_of_tree(&place.path("base.raw"), &tree, "", "");
        place.write(
            "wants.toml",
            "name = \"wants\"\nsummary = \"A test\"\nstage = \"site\"\n[[packages]]\ninstall = [\"bash\"]\n",
        );
        fs::create_dir(place.path("tmp")).unwrap();
        fs::create_dir(place.path("home")).unwrap();
        place.write("ca.pem", place.server.authority());
        place.write("key", KEY);
        place.write("password", &format!("{PASSWORD}\n"));
        place
    }

    pub fn rhel() -> Self {
        Self::new(RHEL)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// A command with a cache of its own, and no hypervisor: the build ends where its appliance would start.
    pub fn tib(&self, arguments: &[&str]) -> Command {
        let mut command = tib();
        command.args(arguments).current_dir(self.directory.path());
        command.env("TIB_CACHE_DIR", self.path("cache")).env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
        command.env_remove("REG_METHOD").env("TMPDIR", self.path("tmp")).env("HOME", self.path("home"));
        if !self.resolves {
            command.env("PATH", self.without_rpm());
        }
        command
    }

    /// A `PATH` on which rpm does not run, so that this host resolves no packages of Red Hat's family.
    pub fn without_rpm(&self) -> std::ffi::OsString {
        use std::os::unix::fs::PermissionsExt;
        let programs = self.path("programs");
        fs::create_dir_all(&programs).unwrap();
        fs::write(programs.join("rpm"), "#!/bin/sh\nexit 1\n").unwrap();
        fs::set_permissions(programs.join("rpm"), PermissionsExt::from_mode(0o755)).unwrap();
        let mut path = programs.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        path
    }

    pub fn build(&self, arguments: &[&str]) -> Command {
        let common =
            ["build", "wants.toml", "--base", "base.raw", "--rhsm-ca", "ca.pem", "--progress", "json"];
        self.tib(&[&common, arguments].concat())
    }

    /// The same with a key.
    pub fn with_key(&self, arguments: &[&str]) -> Command {
        let server = self.server.url();
        let key = ["--rhsm-server", &server, "--rhsm-org", ORG, "--rhsm-activation-key-file", "key"];
        let content = self.server.content();
        let content: &[&str] = if self.resolves { &["--rhsm-baseurl", &content] } else { &[] };
        self.build(&[&key, content, arguments].concat())
    }

    /// The records of who is registered.
    pub fn records(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("cache/v1/consumers")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Fails if anything secret that was given to the build, or by the server, is in what is left of it or was told.
    #[track_caller]
    pub fn no_secrets(&self, found: &Outcome) {
        let secrets = self.secrets();
        for secret in &secrets {
            assert!(
                !found.stderr.contains(secret.as_str()) && !found.stdout.contains(secret.as_str()),
                "{secret}: {}",
                found.stderr
            );
        }
        assert_eq!(self.with_secrets(), "", "a secret is left");
    }

    /// What must not be found anywhere.
    fn secrets(&self) -> Vec<String> {
        let state = self.server.state();
        let mut secrets = vec![KEY.to_owned(), PASSWORD.to_owned()];
        secrets.extend(state.gone.iter().cloned());
        secrets.extend(state.consumers.keys().cloned());
        // The body of the PEM, whatever is around it.
        secrets.extend(state.secrets.iter().map(|pem| pem.lines().nth(1).unwrap().to_owned()));
        assert!(secrets.len() > 3, "something was given out");
        secrets
    }

    /// The files in the cache, for temporary files and in the user's directory that have a secret in them.
    pub fn with_secrets(&self) -> String {
        fs::write(self.path("secrets"), self.secrets().join("\n")).unwrap();
        let mut search = Command::new("grep");
        search.args(["-rlaF", "-f"]).arg(self.path("secrets"));
        let found = outcome(search.args(["cache", "tmp", "home"].map(|name| self.path(name))));
        assert!(found.code.is_some_and(|code| code < 2), "{}", found.stderr);
        found.stdout
    }
}

#[track_caller]
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}
