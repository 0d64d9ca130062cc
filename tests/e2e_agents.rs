//! The agent from every source that operators have: each image passes the contract check, and its agent gets as far as a broker.
//!
//! The code is Trove's own, from the package index, in the forms in which code comes; the packages are Debian's, and on the testbed of
//! Red Hat's family some that stand in for RDO's. All images on Debian share the layers below the agent's. Each is booted, which
//! takes minutes, so `make test-all` alone runs this; Debian's package brings more than 400 others, which alone takes half an hour
//! without KVM.

mod common;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::instance::Place;
use common::oracle::guestfish;
use common::standins::{Standins, System, Wanted};
use common::{BASE, Outcome, all_combinations, built_once, outcome, run, run_tib, tib};
use fs_err as fs;
use serde_json::Value;

const VERSION: &str = "26.0.0";
/// The release of OpenStack that this version is of.
const RELEASE: &str = "2026.2";

/// Trove's source distribution or wheel from the package index, kept from run to run.
fn from_index(suffix: &str) -> PathBuf {
    let directory = common::cache().join("agents");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("trove-{VERSION}{suffix}"));
    let lock = std::fs::File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    if !file.exists() {
        let form = if suffix == ".tar.gz" { "--no-binary" } else { "--only-binary" };
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", form, "trove", "--dest"]).arg(&directory);
        outcome(pip.arg(format!("trove=={VERSION}"))).expect(0);
    }
    file
}

/// The source as it is unpacked, below `directory`.
fn source(directory: &Path) -> PathBuf {
    run("tar", &[&"-xzf", &from_index(".tar.gz"), &"--no-same-owner", &"-C", &directory]);
    directory.join(format!("trove-{VERSION}"))
}

/// Makes a repository of a directory, with one commit on the branch of the release.
fn commit(directory: &Path, to: &Path, tag: Option<&str>) {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-C"])
            .arg(directory)
            .args(arguments);
        outcome(&mut git).expect(0);
    };
    git(&["init", "--quiet", &format!("--initial-branch=stable/{RELEASE}")]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message=release"]);
    if let Some(tag) = tag {
        git(&["tag", "--annotate", "--message=release", tag]);
    }
    run("git", &[&"clone", &"--quiet", &"--bare", &directory, &to]);
}

/// git's own server, on loopback. It ends when this is dropped.
struct GitServer {
    daemon: Child,
    port: u16,
}

impl GitServer {
    fn start(directory: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut daemon = Command::new("git");
        daemon.args(["daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"]);
        daemon
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", directory.display()))
            .arg(directory);
        // It has a child that serves; both are to end.
        std::os::unix::process::CommandExt::process_group(&mut daemon, 0);
        let mut daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(daemon.try_wait().unwrap().is_none(), "git daemon runs");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Self { daemon, port }
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.daemon);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        let _ = self.daemon.wait();
    }
}

/// Builds `trove-guest` with an agent, once per run.
fn built(name: &str, agent: &str, more: &[&str]) -> PathBuf {
    built_once(&format!("agent-{name}"), |image| {
        let mut tib = tib();
        tib.args(["build", "trove-guest", "--base", BASE, "--force", "--agent", agent, "-o"]).arg(image);
        outcome(tib.args(more)).expect(0);
    })
}

/// What the manifest says of the agent.
fn manifest(image: &Path) -> Value {
    serde_json::from_slice(&fs::read(format!("{}.manifest.json", image.display())).unwrap()).unwrap()
}

/// Looks at the image by its recipe, boots an instance, and sees its agent answer over the broker.
fn answers(image: &Path, agent: &str) {
    run_tib(["verify", image.to_str().unwrap(), "--recipe", "trove-guest", "--agent", agent]).expect(0);
    boots(image);
}

/// Boots an instance, and sees its agent answer over the broker.
fn boots(image: &Path) {
    let place = Place::new();
    let booted = place.booted(image, &["--timeout", "1500"], 0);
    for milestone in ["files", "agent", "connection", "queues", "ping"] {
        assert!(booted.seen().contains(&milestone), "{milestone}: {:?}", booted.seen());
    }
    place.is_clean();
}

#[test]
fn appliance_agent_from_a_git_server() {
    if !all_combinations() {
        return;
    }
    let place = common::scratch();
    let tree = source(place.path());
    // What an unpacked distribution has and a repository has not, and the other way round.
    fs::remove_file(tree.join("PKG-INFO")).unwrap();
    fs::remove_dir_all(tree.join("trove.egg-info")).unwrap();
    let review = format!("[gerrit]\nproject=openstack/trove.git\ndefaultbranch=stable/{RELEASE}\n");
    fs::write(tree.join(".gitreview"), review).unwrap();
    let requirements = place.path().join("requirements");
    fs::create_dir(&requirements).unwrap();
    fs::write(requirements.join("upper-constraints.txt"), "Jinja2===3.1.4\n").unwrap();
    let served = place.path().join("git/openstack");
    fs::create_dir_all(&served).unwrap();
    commit(&tree, &served.join("trove.git"), Some(VERSION));
    commit(&requirements, &served.join("requirements.git"), None);
    let server = GitServer::start(&place.path().join("git"));
    let agent = format!("git:git://127.0.0.1:{}/openstack/trove.git@stable/{RELEASE}", server.port);
    // Nobody answers there, so the constraints are those of the repository beside the agent's.
    let image = built("git", &agent, &["--set", "constraints_url=http://127.0.0.1:1/none"]);
    let told = &manifest(&image)["agent"];
    assert_eq!((&told["version"], &told["release"]), (&VERSION.into(), &RELEASE.into()), "{told:#}");
    assert_eq!(told["commit"].as_str().map(str::len), Some(40), "{told:#}");
    let files = told["files"].as_array().unwrap();
    let jinja = files.iter().find(|file| file["name"] == "Jinja2").unwrap();
    assert_eq!(jinja["version"], "3.1.4", "as constrained");
    answers(&image, &agent);
}

#[test]
fn appliance_agent_from_a_source_distribution() {
    if !all_combinations() {
        return;
    }
    let agent = format!("path:{}", from_index(".tar.gz").display());
    let image = built("sdist", &agent, &[]);
    assert_eq!(manifest(&image)["agent"]["version"], VERSION);
    answers(&image, &agent);
}

#[test]
fn appliance_agent_from_a_wheel() {
    if !all_combinations() {
        return;
    }
    let agent = format!("path:{}", from_index("-py3-none-any.whl").display());
    let image = built("wheel", &agent, &[]);
    assert_eq!(manifest(&image)["agent"]["version"], VERSION);
    answers(&image, &agent);
}

#[test]
fn appliance_agent_from_a_directory() {
    if !all_combinations() {
        return;
    }
    let place = common::scratch();
    let agent = format!("path:{}", source(place.path()).display());
    let image = built("path", &agent, &[]);
    assert_eq!(manifest(&image)["agent"]["version"], VERSION);
    answers(&image, &agent);
}

#[test]
fn appliance_agent_from_the_distributions_package() {
    if !all_combinations() {
        return;
    }
    let image = built("package", "package", &[]);
    let packages = manifest(&image)["packages"].clone();
    let has = |name: &str| packages.as_array().unwrap().iter().any(|one| one["name"] == name);
    assert!(has("trove-guestagent") && has("python3-trove"));
    answers(&image, "package");
}

const RDO: &str = "package:rdo@caracal";
/// The partition of the testbed's root.
const TESTBED_ROOT: u8 = 4;

/// What is taken out of an image with RDO's packages, by guestfish, and what the failed checks say of it.
const RDO_LACKS: [(&str, &[&str], &[&str]); 8] = [
    (
        "as-packaged",
        &[
            "rm /etc/systemd/system/openstack-trove-guestagent.service.d/10-trove.conf",
            "rm-rf /usr/share/trove",
        ],
        &[
            "openstack-trove-guestagent.service reads the injected configuration: neither --config-dir=/etc/trove/conf.d",
            "/usr/share/trove/trove-dist.conf does not exist",
            "trove may use sudo without password and terminal: ",
            "openstack-trove-guestagent.service starts after cloud-init: ",
        ],
    ),
    (
        "drop-in",
        &["rm /etc/systemd/system/openstack-trove-guestagent.service.d/10-trove.conf"],
        &["openstack-trove-guestagent.service reads the injected configuration: neither"],
    ),
    ("dist", &["rm /usr/share/trove/trove-dist.conf"], &["/usr/share/trove/trove-dist.conf is a file"]),
    (
        "configuration",
        &["rm-rf /etc/trove/conf.d"],
        &[
            "openstack-trove-guestagent.service reads the injected configuration: /etc/trove/conf.d is no directory",
        ],
    ),
    ("sudo", &["rm /etc/sudoers.d/60_trove_guest"], &["ubuntu may use sudo without password and terminal: "]),
    (
        "enabled",
        &["rm /etc/systemd/system/multi-user.target.wants/openstack-trove-guestagent.service"],
        &["openstack-trove-guestagent.service starts at boot: disabled"],
    ),
    ("docker", &["sh \"gpasswd -d ubuntu docker\""], &["ubuntu may use docker: "]),
    (
        "driver",
        &["rm /etc/systemd/system/docker-hostnic.service", "rm /etc/systemd/system/docker-hostnic.socket"],
        &["docker-hostnic.socket is enabled: ", "/etc/systemd/system/docker-hostnic.service is a file"],
    ),
];

/// What pip makes of requirements for the Python of the testbed, kept from run to run.
fn installed(name: &str, requirements: &[&str]) -> PathBuf {
    let directory = common::cache().join("agents");
    fs::create_dir_all(&directory).unwrap();
    let lock = std::fs::File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let (tree, stamp) = (directory.join(name), directory.join(format!("{name}.done")));
    let inputs: String =
        requirements.iter().map(|one| fs::read_to_string(one).unwrap_or((*one).to_owned())).collect();
    if fs::read_to_string(&stamp).ok().as_ref() == Some(&inputs) {
        return tree;
    }
    let _ = fs::remove_dir_all(&tree);
    let mut pip = Command::new("python3");
    pip.args("-m pip install --quiet --no-deps --only-binary=:all: --python-version=3.11".split(' '));
    pip.args(
        ["2014_x86_64", "_2_17_x86_64", "_2_24_x86_64", "_2_28_x86_64"]
            .map(|tag| format!("--platform=manylinux{tag}")),
    );
    outcome(pip.arg("--target").arg(&tree).args(requirements)).expect(0);
    // What a package has in other places, and what no package of RDO's has.
    for other in ["bin", "etc", "include", "share", "trove/tests", "__pycache__"] {
        let _ = fs::remove_dir_all(tree.join(other));
    }
    fs::write(&stamp, inputs).unwrap();
    tree
}

#[test]
fn appliance_agent_from_rdos_package() {
    if !all_combinations() {
        return;
    }
    let trove = installed("rdo-trove", &["trove==21.0.0"]);
    let libraries = installed("rdo-libraries", &["--requirement", "tests/standins/data/rdo-caracal.txt"]);
    let system = System("rocky-9");
    let wanted = Wanted {
        recipe: "trove-guest",
        data: "rdo",
        system,
        options: &["--agent", RDO],
        trees: &[("trove", &trove), ("libraries", &libraries)],
    };
    let directory = common::scratch();
    let standins = Standins::of(&wanted, directory.path());
    let image = directory.path().join("image.qcow2");
    let mut build = tib();
    build.arg("build").arg(&standins.recipe).args(["--agent", RDO]).arg("--config").arg(&standins.config);
    outcome(build.arg("--base").arg(system.base()).arg("-o").arg(&image)).expect(0);
    let packages = manifest(&image)["packages"].clone();
    let package = packages.as_array().unwrap().iter().find(|one| one["name"] == "openstack-trove-guestagent");
    assert_eq!(package.unwrap()["version"], "1:21.0.0-1.el9s");
    let verify = |tib: &mut Command, image: &Path| {
        tib.arg("verify").arg(image).arg("--recipe").arg(&standins.recipe);
        outcome(tib.args(["--agent", RDO, "--json"]))
    };
    verify(&mut tib(), &image).expect(0);
    boots(&image);
    // logrotate meets the agent's log in one file alone.
    let log = "touch /var/log/trove/trove-guestagent.log";
    let [_, _, rotation] = guestfish(
        &image,
        ["remount / rw:true", log, "sh \"logrotate -d /etc/logrotate.conf 2>&1; echo ended with $?\""],
    );
    assert!(rotation.contains("considering log /var/log/trove/trove-guestagent.log"), "{rotation}");
    assert!(rotation.contains("ended with 0") && !rotation.contains("error:"), "{rotation}");
    let place = Place::new();
    let changes = RDO_LACKS.map(|(name, commands, _)| (name, commands));
    for (image, (name, _, wanted)) in place.changed_in(TESTBED_ROOT, &image, &changes).iter().zip(RDO_LACKS) {
        // An image may lie on another in the cache alone.
        let Outcome { stdout, stderr, .. } = verify(tib().env("TIB_CACHE_DIR", place.path()), image);
        let report: Value = serde_json::from_str(&stdout).expect(&stderr);
        let results = report["results"].as_array().unwrap().iter();
        let failed: String = results
            .filter(|one| one["outcome"] == "failed")
            .map(|one| format!("{}: {}\n", one["title"].as_str().unwrap(), one["found"].as_str().unwrap()))
            .collect();
        for part in wanted {
            assert!(failed.contains(part), "{name} lacks `{part}`:\n{failed}");
        }
    }
}
