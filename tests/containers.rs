//! `--embed-container` with a real registry: Debian's, which wants a login, filled and judged by skopeo.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::disks::debian_of_machine;
use common::{Outcome, outcome, run, tib};
use fs_err as fs;
use serde_json::{Value, json};

/// x86-64 in the header of a program.
const X86_64: u16 = 62;
/// The user `user` with the password `secret`, as htpasswd writes it.
const USER: &str = "user:$2b$04$UHLs6P1./LbLGNp6BTvg.OTgSXR7.FIklKx5G9AW59WM2lxsnmnzq\n";

/// docker-registry, on a port of its own.
struct Registry {
    server: Child,
    address: String,
}

impl Registry {
    fn start(directory: &Path) -> Self {
        fs::write(directory.join("htpasswd"), USER).unwrap();
        let config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": directory.join("registry")}},
            "http": {"addr": "127.0.0.1:0"},
            "auth": {"htpasswd": {"realm": "test", "path": directory.join("htpasswd")}},
        });
        // JSON is YAML.
        fs::write(directory.join("registry.yml"), config.to_string()).unwrap();
        // Fedora's name for it is shorter.
        let found = ["docker-registry", "registry"].into_iter().find(|name| is_program(name));
        let mut command = Command::new(found.expect("a registry is installed"));
        command.arg("serve").arg(directory.join("registry.yml")).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(['"', ',']).next().unwrap().to_owned())
        });
        // It must never wait for somebody to read.
        std::thread::spawn(move || lines.for_each(drop));
        Self { server, address: address.expect("the registry says where it listens") }
    }
}

fn is_program(name: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|directory| directory.join(name).exists())
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

struct Place {
    directory: tempfile::TempDir,
    base: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = common::scratch();
        fs::create_dir(directory.path().join("base")).unwrap();
        let base = debian_of_machine(&directory.path().join("base"), X86_64);
        Self { directory, base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `tib build RECIPE --dry-run …` with a cache of its own.
    fn plan(&self, recipe: &str, arguments: &[&str]) -> Outcome {
        let mut command = tib();
        command
            .args(["build", recipe, "--agent", "none", "--dry-run", "--base"])
            .arg(&self.base)
            .args(arguments)
            .current_dir(self.directory.path())
            .env("TIB_CACHE_DIR", self.path("cache"))
            .env("HOME", self.directory.path())
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("REGISTRY_AUTH_FILE");
        outcome(&mut command)
    }
}

fn skopeo(arguments: &[&str]) -> String {
    let all: Vec<&dyn AsRef<std::ffi::OsStr>> =
        arguments.iter().map(|argument| argument as &dyn AsRef<std::ffi::OsStr>).collect();
    run("skopeo", &all)
}

fn container(plan: &Value) -> &Value {
    let steps =
        plan["stages"].as_array().unwrap().iter().flat_map(|stage| stage["steps"].as_array().unwrap());
    let found = steps.into_iter().find(|step| step["step"] == "containers").expect("a step for containers");
    &found["containers"][0]
}

#[test]
fn a_plan_tells_which_container_of_a_registry_will_be_in_the_image() {
    let place = Place::new();
    let registry = Registry::start(place.directory.path());
    common::registry::silent(&place.path("silent"));
    let at = format!("{}/own/silent:10.11", registry.address);
    let (layout, target) =
        (format!("oci:{}:10.11", place.path("silent").display()), format!("docker://{at}"));
    skopeo(&["copy", "-q", "--dest-tls-verify=false", "--dest-creds=user:secret", &layout, &target]);
    let digest =
        skopeo(&["inspect", "--tls-verify=false", "--creds=user:secret", "--format={{.Digest}}", &target]);
    let asked = format!("mariadb:10.11={target}");

    let refused = place.plan("trove-guest", &["--embed-container", &asked]);
    assert!(refused.stderr.contains("it wants a login, and there is none"), "{}", refused.stderr);
    assert_eq!(refused.code, Some(4));
    fs::create_dir(place.path(".docker")).unwrap();
    let auths = json!({"auths": {&registry.address: {"auth": STANDARD.encode("user:secret")}}});
    fs::write(place.path(".docker/config.json"), auths.to_string()).unwrap();
    let plan = place.plan("trove-guest", &["--embed-container", &asked, "--json"]).expect(0);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let found = container(&plan);
    assert_eq!(found["name"], "mariadb:10.11");
    assert_eq!(found["source"], target.as_str());
    assert_eq!(found["digest"], digest.trim().strip_prefix("sha256:").unwrap());
    assert!(!plan.to_string().contains("secret"));
    let without: Value = serde_json::from_str(&place.plan("trove-guest", &["--json"]).expect(0)).unwrap();
    let more = |key: &str| plan[key].as_u64().unwrap() - without[key].as_u64().unwrap();
    assert_eq!(more("needs"), found["size"].as_u64().unwrap());
    assert!(more("min_disk") > more("needs"));
    let text = place.plan("trove-guest", &["--embed-container", &asked]).expect(0);
    assert!(
        text.contains("containers in /var/lib/embedded-containers: mariadb:10.11 from docker://"),
        "{text}"
    );
    assert!(text.contains("enable tib-containers.service"), "{text}");

    let missing =
        place.plan("trove-guest", &["--embed-container", &asked.replace("silent:10.11", "silent:9")]);
    assert!(missing.stderr.contains("there is no container image"), "{}", missing.stderr);
    assert_eq!(missing.code, Some(2));
    drop(registry);
    let offline = place.plan("trove-guest", &["--embed-container", &asked, "--json", "--offline"]).expect(0);
    assert_eq!(container(&serde_json::from_str(&offline).unwrap()), found);

    let listed = outcome(tib().args(["cache", "status", "--json"]).env("TIB_CACHE_DIR", place.path("cache")))
        .expect(0);
    assert!(listed.contains("parts of container images"), "{listed}");
}

#[test]
fn what_cannot_be_embedded_is_said_before_anything_is_asked() {
    let place = Place::new();
    for (recipe, asked, message) in [
        ("mariadb", &["mariadb:11.4"][..], "recipe `mariadb` runs no containers: none can be embedded"),
        ("trove-guest", &["mariadb"], "it has no tag"),
        ("trove-guest", &["mariadb:11.4=ftp://x"], "its source is none of"),
        ("trove-guest", &["mariadb:1", "docker.io/library/mariadb:1=oci:x"], "it is given twice"),
    ] {
        let arguments: Vec<_> = asked.iter().flat_map(|asked| ["--embed-container", asked]).collect();
        let refused = place.plan(recipe, &arguments);
        assert!(refused.stderr.contains(message), "{}", refused.stderr);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    }
}
